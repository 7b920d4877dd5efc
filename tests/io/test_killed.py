"""A process killed at any call that changes files leaves the old or the new, and nothing that piles up."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import tree

from densecast.io import files, temporaries

# Replaces a folder and a file beside it, and dies by SIGKILL before the call of that number that changes files.
_PROGRAM = """
import os, signal, sys
from pathlib import Path
from densecast.io import files

if sys.argv[3] == "without":
    files.exchange = lambda one, other: False
fatal, seen = int(sys.argv[2]), 0

def audit(event, arguments):
    global seen
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes or event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "ctypes.dlopen", "shutil.rmtree"):
        seen += 1
        if seen == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

root = Path(sys.argv[1])
sys.addaudithook(audit)
with files.new_folder(root / "folder") as scratch:
    (scratch / "a.txt").write_text("new")
    (scratch / "b.txt").write_text("new")
files.write_text(root / "file.txt", "new")
print(seen, flush=True)
os._exit(0)
"""
_OLD = {"folder": b"", "folder/a.txt": b"old", "file.txt": b"old"}
_NEW = {"folder": b"", "folder/a.txt": b"new", "folder/b.txt": b"new", "file.txt": b"new"}


def old(root: Path) -> None:
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "a.txt").write_text("old")
    (root / "file.txt").write_text("old")


def run(root: Path, fatal: int, exchange: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _PROGRAM, str(root), str(fatal), exchange]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("exchange", ["with", "without"])
def test_killed_at_every_call_nothing_is_lost_and_nothing_stays(tmp_path: Path, exchange: str) -> None:
    old(tmp_path / "whole")
    done = run(tmp_path / "whole", 0, exchange)
    assert done.returncode == 0 and tree(tmp_path / "whole") == _NEW
    calls = int(done.stdout)
    assert calls >= 8
    for fatal in range(1, calls + 1):
        root = tmp_path / str(fatal)
        old(root)
        assert run(root, fatal, exchange).returncode == -9
        temporaries.recover(root / "folder")
        there = tree(root)
        folder = {name: value for name, value in there.items() if name.startswith("folder")}
        assert folder in [{name: each[name] for name in each if name.startswith("folder")} for each in (_OLD, _NEW)]
        assert there["file.txt"] in (b"old", b"new")
        with files.new_folder(root / "folder") as scratch:
            (scratch / "a.txt").write_text("new")
            (scratch / "b.txt").write_text("new")
        files.write_text(root / "file.txt", "new")
        assert tree(root) == _NEW, f"killed before call {fatal}"


def test_what_a_living_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    with files.new_folder(tmp_path / "one") as scratch:
        (scratch / "a").write_text("1")
        with files.new_folder(tmp_path / "two") as other:
            (other / "b").write_text("2")
        assert scratch.is_dir()
    assert tree(tmp_path) == {"one": b"", "one/a": b"1", "two": b"", "two/b": b"2"}


def test_another_machines_temporaries_go_when_a_week_old(tmp_path: Path) -> None:
    name = temporaries.beside(tmp_path / "a").name
    place = name.split("-")[2]
    foreign = tmp_path / name.replace(place, "0" * 8)
    foreign.write_text("")
    temporaries.sweep(tmp_path / "a")
    assert foreign.exists()
    os.utime(foreign, (1e9, 1e9))
    temporaries.sweep(tmp_path / "a")
    assert not foreign.exists()


def test_a_users_own_hidden_files_are_never_swept(tmp_path: Path) -> None:
    for name in (".a.12345678", ".densecast-notes", ".densecast", ".git"):
        (tmp_path / name).write_text("precious")
    before = tree(tmp_path)
    temporaries.sweep(tmp_path / "a")
    assert tree(tmp_path) == before


def test_every_name_that_is_allowed_can_be_written(tmp_path: Path) -> None:
    longest = "x" * (os.pathconf(tmp_path, "PC_NAME_MAX"))
    files.write_text(tmp_path / longest, "text")
    assert (tmp_path / longest).read_text() == "text"
    with files.new_folder(tmp_path / ("y" * len(longest))) as scratch:
        (scratch / "a").write_text("")
    assert len(list(tmp_path.iterdir())) == 2


def test_links_are_followed_and_pipes_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    files.write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real.txt").read_text() == "new"
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with files.new_folder(tmp_path / "link") as scratch:
        (scratch / "a").write_text("")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "a").is_file()
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    files.write_text(tmp_path / "pipe", "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_an_exchange_is_one_step(tmp_path: Path) -> None:
    if not hasattr(ctypes.CDLL(None), "renameat2"):
        pytest.skip("this C library has no renameat2")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").write_text("b")
    assert files.exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").is_file() and (tmp_path / "b").is_dir()


def test_a_full_disk_names_the_file_asked_for(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        files.write_text(tmp_path / ("x" * 300), "text")
    assert "densecast-" not in str(caught.value)


def test_file_names_that_are_not_utf_8_are_written_as_they_are(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    files.write_text(tmp_path / "list.txt", name + "\n")
    assert (tmp_path / "list.txt").read_bytes() == b"caf\xe9.png\n"
