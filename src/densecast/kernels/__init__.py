"""Compiled kernels (numba) for the loops that dominate pre- and postprocessing time.

A number or a truth that is written where a compiled function is called is part of its type to numba, which compiles the
function anew for each: `np.int64(0)` has the type of all others.
"""

from pathlib import Path

from densecast.runtime.process_settings import give_numba_a_cache

give_numba_a_cache(Path(__file__).parent)
