"""Commands end when they are told to, with all that they started, and say how in their exit code."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from command_line import densecast, failed
from made_images import write_jpeg

from densecast.errors import WorkerError
from densecast.io import temporaries
from densecast.runtime.processes import WorkerPool

# A command that writes a folder, has two busy workers, and computes on in a call that no Python signal interrupts.
_BUSY = """
import sys, time
from pathlib import Path
from unittest import mock
from densecast.cli import doctor, main
from densecast.io import files
from densecast.runtime.processes import WorkerPool

def work():
    {how}
    with files.new_folder(Path(sys.argv[-1]) / "target") as scratch:
        with WorkerPool(2, "sleeps") as pool:
            first = [pool.submit(time.sleep, 60) for _ in range(2)]
            print(*pool._pool._processes, flush=True)
            wait(first)

if __name__ == "__main__":
    import densecast.cli as cli
    sys.argv = ["densecast", "busy", *sys.argv[1:]]
    @cli.app.command("busy")
    def busy(folder: str) -> None:
        work()
    main()
"""
_POLITE = "wait = lambda futures: futures[0].result()"
_DEAF = """wait = lambda futures: [hold() for _ in iter(int, 1)]
    def hold():
        try:
            time.sleep(60)
        except BaseException:
            pass"""


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "number"),
    [(_POLITE, signal.SIGTERM), (_POLITE, signal.SIGINT), (_POLITE, signal.SIGKILL), (_DEAF, signal.SIGTERM)],
    ids=["term", "int", "kill", "term-deaf"],
)
def test_a_signal_ends_a_command_and_all_its_processes(tmp_path: Path, how: str, number: signal.Signals) -> None:
    script = tmp_path / "busy.py"
    script.write_text(_BUSY.replace("{how}", how))
    (tmp_path / "out").mkdir()
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that is not interactive has its background jobs ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None and process.stderr is not None
    workers = [int(pid) for pid in process.stdout.readline().split()]
    assert len(workers) == 2 and not any(gone(pid) for pid in workers)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    assert "Traceback" not in said
    deadline = time.monotonic() + 10
    while not all(gone(pid) for pid in workers):
        assert time.monotonic() < deadline, "workers outlive the command"
        time.sleep(0.01)
    if number != signal.SIGKILL:
        assert not list((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_a_signal_inside_a_librarys_callback_prints_no_traceback() -> None:
    # Nothing that a finaliser raises is passed on, as from a callback of C code.
    code = (
        "import os, signal, time\n"
        "from densecast.runtime.signals import ending_on_signals\n"
        "class Swallows:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(0.1)\n"
        "with ending_on_signals():\n"
        "    swallows = Swallows()\n"
        "    del swallows\n"
        "    time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (143, "")


def test_a_worker_that_is_killed_is_an_error_in_words() -> None:
    with pytest.raises(WorkerError, match="a process that computes died"), WorkerPool(1, "computes") as pool:
        pool.result(pool.submit(os.kill, pool.result(pool.submit(os.getpid)), signal.SIGKILL))
    assert WorkerError.exit_code == 3


def test_errors_of_the_work_itself_come_through() -> None:
    with pytest.raises(ZeroDivisionError), WorkerPool(1, "divides") as pool:
        pool.result(pool.submit(divmod, 1, 0))


def process(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "densecast", *map(str, arguments)]
    given = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=given)


@pytest.mark.parametrize("command", ["models", "--help", "models --json -"])
def test_a_reader_that_has_seen_enough_is_no_error(command: str) -> None:
    shell = f"set -o pipefail; {sys.executable} -m densecast {command} | true"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_standard_output_ends_with_3() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "densecast", "models"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 3 and done.stderr.count("\n") == 1 and "No space left" in done.stderr


@pytest.mark.parametrize(
    "error", [ValueError("broken\nsecond line"), KeyError("x"), AssertionError(), RecursionError(), SystemError("x")]
)
def test_any_unexpected_error_ends_with_70_and_one_line(
    error: Exception, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from densecast.verbs import doctor

    def breaks() -> None:
        raise error

    monkeypatch.setattr(doctor, "examine", breaks)
    message = failed(70, "doctor")
    trace = own_cache / "last_internal_error.txt"
    assert message.startswith("internal error: ") and str(trace) in message
    assert "in breaks" in trace.read_text()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("Exception from src/inference/core.cpp:84: std::bad_alloc"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
    ],
)
def test_running_out_of_memory_ends_with_3_in_words(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    from densecast.verbs import doctor

    def breaks() -> None:
        raise error

    monkeypatch.setattr(doctor, "examine", breaks)
    assert "memory ran out" in failed(3, "doctor")


def test_file_names_that_are_not_utf_8_are_taken_and_printed(artifacts: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    write_jpeg(tmp_path / f"{name}.jpg")
    image, report = tmp_path / f"{name}.jpg", tmp_path / "a.json"
    ended = densecast("infer", artifacts / "built", image, "--out", tmp_path / name, "--json", report, "-q")
    assert ended.code == 0, ended.err
    assert (tmp_path / name / f"{name}.png").is_file()
    results = json.loads(report.read_bytes())["results"]
    assert results[0]["file"] == str(tmp_path / name / f"{name}.png")


def test_a_file_name_is_printed_as_its_own_bytes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "densecast", "verify", b"caf\xe9"], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 3 and done.stderr.count(b"\n") == 1 and b"caf" in done.stderr


# Becomes a user without a name, who may read everything, as of a container's image, and write what is open to all.
_NAMELESS = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
assert libc.prctl(8, 1, 0, 0, 0) == 0  # PR_SET_KEEPCAPS
os.setgroups([])
os.setgid(54321)
os.setuid(54321)
read_anything = 1 << 2  # CAP_DAC_READ_SEARCH
assert libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(read_anything, read_anything)) == 0
for name in ("HOME", "XDG_CACHE_HOME", "DENSECAST_CACHE", "NUMBA_CACHE_DIR", "TMPDIR"):
    os.environ.pop(name, None)
"""
_NOWHERE = """os.environ.update(DENSECAST_CACHE="/proc/none", TMPDIR="/proc")
"""
_MAIN = """
from densecast.cli import main
main()
"""


@pytest.mark.slow  # kernels are compiled anew
@pytest.mark.parametrize(
    ("environment", "words"), [("", ""), (_NOWHERE, "compiled kernels")], ids=["no home", "nothing can be written"]
)
def test_a_user_without_a_name_or_a_home_can_infer(environment: str, words: str, artifacts: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become a user without a name: nothing was asserted about such users")
    # pytest's own folders are closed to others.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(artifacts / "built", folder / "built")
        image, out = write_jpeg(folder / "images" / "a.jpg"), folder / "out"
        out.mkdir()
        out.chmod(0o777)
        arguments = ["densecast", "infer", str(folder / "built"), str(image), "--out", str(out)]
        done = subprocess.run(
            [sys.executable, "-c", f"{_NAMELESS}{environment}sys.argv = {arguments!r}{_MAIN}"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.returncode == 0, done.stderr
        assert (out / "a.png").stat().st_uid == 54321
        ours = densecast("infer", folder / "built", image, "--out", folder / "ours", "-q")
        assert ours.code == 0 and (folder / "ours" / "a.png").read_bytes() == (out / "a.png").read_bytes()
        assert "Traceback" not in done.stderr and words in done.stderr


def test_no_name_of_a_temporary_file_is_left_in_the_process(tmp_path: Path) -> None:
    before = temporaries.beside(tmp_path / "a")
    before.write_text("")
    temporaries.remove_own()
    assert not before.exists()
