"""A package for each task: what outputs mean, how predictions differ, are drawn and saved."""
