"""One package per task: how outputs become predictions, and how these are compared, drawn and saved."""
