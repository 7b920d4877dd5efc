"""One file per published model: its name is the file's, its `ENTRY` says everything about it."""
