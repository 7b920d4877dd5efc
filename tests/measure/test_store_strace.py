"""A store write that is killed at every system call that changes files leaves whole parts or none."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made_stores import evaluated, prepare, rows

from densecast.io import temporaries
from densecast.measure.store.store import Store

pytest.importorskip("pyarrow")
pytestmark = [pytest.mark.store, pytest.mark.slow]

CALLS = (
    "openat,creat,mkdir,mkdirat,write,pwrite64,writev,fsync,fdatasync,ftruncate,rename,renameat,renameat2,"
    "link,linkat,unlink,unlinkat,rmdir"
)
# Waits until the tracer is there, then appends the records of another store to the one that is given.
PROGRAM = """
import sys
from densecast.measure.store import parts
from densecast.measure.store.store import Store
store, source = Store.at(sys.argv[1]), Store.at(sys.argv[2])
found = [parts.Part(name, source.read(name)) for name in source.names("done")]
print("ready", flush=True)
sys.stdin.readline()
for part in found:
    store.put(part)
"""


def write_killed(store: Path, source: Path, call: int) -> int:
    """The exit code of a write that is killed before its `call`-th system call that changes files."""
    command = [sys.executable, "-c", PROGRAM, str(store), str(source)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        inject = f"inject={CALLS}:signal=SIGKILL:when={call}"
        tracing = ["strace", "-f", "-p", str(process.pid), "-e", f"trace={CALLS}", "-e", inject]
        with subprocess.Popen(tracing, stderr=subprocess.PIPE) as tracer:
            assert tracer.stderr is not None
            if b"attached" not in tracer.stderr.readline():
                process.kill()
                pytest.skip("strace may not attach to processes here")
            process.stdin.write(b"\n")
            process.stdin.close()
            tracer.stderr.read()
        return process.wait(timeout=60)


def test_a_write_killed_at_every_call_leaves_whole_parts_or_none(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    root = prepare(tmp_path / "made", count=6)
    evaluated(root / "built", root / "data", tmp_path / "source")
    expected = sorted(row["id"] for row in rows(tmp_path / "source"))
    (part,) = Store.at(str(tmp_path / "source")).names("done")
    call, code = 0, -9
    while code != 0:
        call += 1
        assert call < 200
        store = tmp_path / "run"
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(tmp_path / "source", store, ignore=shutil.ignore_patterns("done"))
        code = write_killed(store, tmp_path / "source", call)
        assert code in (0, -9)
        opened = Store.at(str(store))
        names = opened.names("done")
        assert names in ([], [part])
        for name in names:
            opened.read(name)
        assert sorted(opened.scan().done) == (expected if names else [])
        assert evaluated(root / "built", root / "data", store).score.count == 6
        assert sorted(row["id"] for row in rows(store)) == expected
        temporaries.sweep(store / "done" / "x")
        assert not [path for path in store.rglob(".densecast-*")]
    assert call > 4
