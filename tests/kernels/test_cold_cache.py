"""A confined process whose kernels nobody has compiled before compiles them for itself, and keeps nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Labels of a kernel, in a confined process; "[[1, 0], [0, 1]]" by hand: where the second logit is the larger.
_CODE = """
import json, sys
from pathlib import Path
from densecast.runtime import cell
bounds = cell.Limits(memory_bytes=1 << 30, cpu_s=120, wall_s=600, file_bytes=1 << 20)
job = {"what": "kernel", "argument": ""}
scratch = Path(sys.argv[1])
print(json.dumps(cell.run_in_cell(
    "cell_attempts:attempt", job, scratch, subject="it", bounds=bounds, preload=("cell_attempts",))))
"""


@pytest.mark.slow  # kernels are compiled anew
@pytest.mark.parametrize("folder", ["kernels", "absent/kernels", ""], ids=["empty", "not there", "beside the package"])
def test_a_kernel_runs_in_a_cell_without_a_cache(tmp_path: Path, folder: str) -> None:
    (tmp_path / "scratch").mkdir()
    cache = tmp_path / folder
    if folder == "kernels":
        cache.mkdir()
    path = os.pathsep.join([str(Path(__file__).parents[1] / "support"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache) if folder else "", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", _CODE, str(tmp_path / "scratch")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[1, 0], [0, 1]]
    assert done.stderr == "", "what it keeps is nobody's affair"
    assert not folder or not list(cache.rglob("*.nb*"))
