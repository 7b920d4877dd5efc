"""One module or package for each thing that densecast does; the command line calls nothing else."""
