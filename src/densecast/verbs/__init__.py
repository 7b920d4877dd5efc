"""One module or package per verb; the command line calls nothing else."""
