"""A script that starts processes when it is imported is told what to change; others run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WORK = """
    with WorkerPool(1, "counts letters") as pool:
        print(pool.result(pool.submit(len, "abc")))
"""
IMPORT = "from densecast.runtime.processes import WorkerPool\n"


def run(path: Path, text: str) -> subprocess.CompletedProcess[str]:
    path.write_text(text, encoding="utf-8")
    return subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)


def test_a_script_without_a_guard_is_told_of_it(tmp_path: Path) -> None:
    ended = run(tmp_path / "script.py", IMPORT + "if True:" + WORK)
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert "a process that counts letters could not start" in last and 'if __name__ == "__main__":' in last


def test_a_script_with_a_guard_runs(tmp_path: Path) -> None:
    ended = run(tmp_path / "script.py", IMPORT + 'if __name__ == "__main__":' + WORK)
    assert ended.stdout.strip() == "3", ended.stderr
