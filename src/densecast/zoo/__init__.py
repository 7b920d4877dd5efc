"""One file per published model, named after it; its `ENTRY` is the complete description."""
