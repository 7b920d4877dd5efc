"""Compiled kernels (numba) for the loops that dominate pre- and postprocessing time."""

from pathlib import Path

from densecast.runtime.process_settings import give_numba_a_cache

give_numba_a_cache(Path(__file__).parent)
