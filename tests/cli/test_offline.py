"""Nothing leaves the machine, and no file is written but where the user said: seen from outside, by strace."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import brief_runs
import pytest
import recording_resolver
import tiny_artifacts
from made_images import carvana, write_jpeg

from densecast import kernels

_CALLS = "socket,connect,sendto,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat"
_NETWORK = re.compile(r"AF_INET")
_WRITES = re.compile(r'(?:openat\([^"]*"([^"]+)", [^,)]*O_(?:WRONLY|RDWR|CREAT)|(?:mkdir|creat)\("([^"]+)")[^=]*= \d')
# What the system itself gives every process: devices, its own entries in /proc, shared memory.
_SYSTEM = ("/dev/", "/proc/", "/sys/")

# Each line of standard input is a command line.
_VERBS = f"""
import sys
sys.path.append({str(Path(brief_runs.__file__).parent)!r})
{brief_runs.PROGRAM}
from densecast.cli import main
for line in sys.stdin:
    sys.argv = ["densecast", *line.rstrip().split("\\t")]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (sys.argv, ended.code)
"""


def kernels_in(cache: Path) -> Path:
    """A folder for numba with the kernels that are compiled beside the package, so that few are compiled anew."""
    home = Path(kernels.__file__).parent
    # Where numba looks for those of a file: a folder for each folder of files.
    place = cache / f"{home.name}_{hashlib.sha1(str(home).encode()).hexdigest()}"
    place.mkdir(parents=True)
    for compiled in (home / "__pycache__").glob("*.nb[ic]"):
        shutil.copy2(compiled, place)
    return cache


def traced(folder: Path, code: str, given: str = "") -> tuple[list[str], set[str]]:
    """Calls that reach for the network, and names of what was written, of a program with an empty home."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed: nothing was asserted about the network")
    home, log = folder / "home", folder / "strace.log"
    home.mkdir(exist_ok=True)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("ORT_", "NNCF", "XDG"))},
        "HOME": str(home),
        "DENSECAST_CACHE": str(folder / "cache"),
        "TMPDIR": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_CACHE_DIR": str(kernels_in(folder / "cache" / "kernels")) if given else "",
    }
    command = [strace, "-f", "--seccomp-bpf", "-qq", "-s", "300", "-e", f"trace={_CALLS}", "-o", str(log)]
    done = subprocess.run(
        [*command, sys.executable, "-c", code],
        input=given,
        text=True,
        env=environment,
        capture_output=True,
        check=False,
    )
    if "ptrace" in done.stderr and done.returncode:
        pytest.skip(f"strace is not permitted here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    lines = log.read_text(errors="replace").splitlines()
    written = {found[1] or found[2] for line in lines if (found := _WRITES.search(line))}
    assert not list(home.iterdir())
    return [line for line in lines if _NETWORK.search(line)], {
        name for name in written if not name.startswith((*_SYSTEM, str(folder)))
    }


def test_the_trace_sees_a_look_up_and_a_file_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    inside = tmp_path / "inside"
    inside.mkdir()
    code = (
        "import socket, pathlib\n"
        f"pathlib.Path({str(elsewhere)!r}).write_text('')\n"
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
    )
    network, written = traced(inside, code)
    assert len(network) == 1 and written == {str(elsewhere)}


def test_engines_that_are_imported_after_densecast_are_silent(tmp_path: Path) -> None:
    code = "import densecast, onnxruntime, openvino\nonnxruntime.SessionOptions()\nopenvino.Core()"
    assert traced(tmp_path, code) == ([], set())


def every_verb(folder: Path) -> str:
    """Command lines of all verbs below a folder, for the program `_VERBS`."""
    float_artifact = tiny_artifacts.exported(folder).folder
    write_jpeg(folder / "images" / "a.jpg")
    carvana(folder / "data", 10)
    built, out, tmp_path = folder / "ov", folder / "out", folder
    common = ["--height", "24", "--width", "32", "-q"]
    handed = ["--data", folder / "data", "--split", "all", "--processes", "2", "-q"]
    verbs: list[list[str | Path]] = [
        ["models"],
        ["doctor"],
        ["export", tmp_path / "tiny.onnx", "--labels", "a,b", "--out", tmp_path / "again", "-q"],
        ["build", float_artifact, "--out", built, *common],
        ["build", float_artifact, "--out", tmp_path / "ort", "-b", "onnxruntime", *common],
        ["build", float_artifact, "--out", tmp_path / "int8", "-p", "int8", "--data", tmp_path / "images", *common],
        ["verify", built],
        ["infer", built, tmp_path / "images", "--out", out, "-q"],
        ["diagnose", float_artifact, "--images", tmp_path / "images"],
        ["compare", built, tmp_path / "ort", "--images", tmp_path / "images", "-q"],
        ["benchmark", built, tmp_path / "images" / "a.jpg", "--count", "2", "--seconds", "0", "-q"],
        ["report", built],
        ["evaluate", built, "--data", folder / "data", "--split", "all", "--json", folder / "score.json", "-q"],
        ["data", "check", folder / "data", "--model", float_artifact, "-q"],
        ["handoff", "prepare", float_artifact, "--out", folder / "handoff", *common[:-1], *handed],
        ["handoff", "simulate", folder / "handoff", "--out", folder / "device", "-q"],
        ["handoff", "collect", folder / "handoff", folder / "device", "--data", folder / "data", "-q"],
        ["compare", "results", folder / "score.json", folder / "score.json"],
        ["run", float_artifact, "--out", folder / "run", "--data", folder / "data", "--split", "all", *common],
    ]
    return "".join("\t".join(map(str, verb)) + "\n" for verb in verbs)


@pytest.mark.slow
@pytest.mark.quantize
def test_every_verb_is_silent_and_writes_only_where_it_was_told(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    assert traced(tmp_path, _VERBS, every_verb(tmp_path)) == ([], set())


def recorded(folder: Path, code: str, given: str = "") -> list[str]:
    """Names that a program looks up and connections that it opens, where any name is found and any address answers."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rnm", "true"], check=False).returncode:
        pytest.skip("new name spaces are not permitted here: nothing was asserted about look-ups")
    home, log = folder / "home", folder / "network.log"
    home.mkdir(exist_ok=True)
    log.touch()
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("ORT_", "NNCF", "XDG", "HF_"))},
        "HOME": str(home),
        "DENSECAST_CACHE": str(folder / "cache"),
    }
    machine = ["unshare", "-rnm", sys.executable, recording_resolver.__file__, str(log), str(folder / "resolv.conf")]
    done = subprocess.run(
        [*machine, sys.executable, "-c", code],
        input=given,
        text=True,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return log.read_text().splitlines()


def test_the_resolver_hears_a_look_up_and_a_connection(tmp_path: Path) -> None:
    code = (
        "import socket\n"
        "assert socket.gethostbyname('events.example.org') == '192.0.2.1'\n"
        "socket.create_connection(('127.0.0.1', 443), 5)\n"
    )
    assert recorded(tmp_path, code) == ["name events.example.org", "connection to port 443"]


@pytest.mark.slow
@pytest.mark.quantize
def test_no_verb_looks_anybody_up_where_names_would_be_found(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    assert recorded(tmp_path, _VERBS, every_verb(tmp_path)) == []


def test_a_choice_that_the_user_has_made_is_kept() -> None:
    code = "import os, densecast; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
