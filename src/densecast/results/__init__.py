"""What the verbs return: the values behind every `--json` file, each with the number of its format."""
