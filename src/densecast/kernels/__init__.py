"""Compiled kernels (numba) for the loops that dominate pre- and postprocessing time."""
