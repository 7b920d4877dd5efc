"""What verbs give back: the values behind every --json."""
