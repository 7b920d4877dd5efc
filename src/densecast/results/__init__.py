"""Result types of the verbs: the contents of every `--json` file, each with a format number."""
