"""Pipes, loops of links, closed streams, folders that are gone: one line, an exit code, and never a wait for ever."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import densecast, failed
from made_images import write_jpeg

from densecast import cli
from densecast.errors import MissingFileError, UsageError
from densecast.io import files
from densecast.runtime import execution


@pytest.mark.parametrize(
    "command",
    [
        "export {pipe}.onnx --labels a,b --out out",
        "export {pipe}.pt --labels a,b --out out",
        "export {pipe}.pt2 --labels a,b --out out",
        "export {pipe}.pb --labels a,b --out out",
        "export {folder}/tiny.onnx --spec {pipe}.toml --out out",
        "export unet_tiny --checkpoint {pipe}.pth --out out",
        "compare results {pipe}.json {pipe}.json",
        "infer {artifact} {pipe}.jpg --out out",
        "data check {pipe}.toml",
        "report {pipe}.json",
    ],
)
def test_a_pipe_that_nobody_writes_to_is_refused(command: str, artifacts: Path, tmp_path: Path) -> None:
    # A pipe of nobody's never ends: the alarm ends the test if it is opened after all.
    signal.alarm(60)
    for ending in re.findall(r"\{pipe\}(\.\w+)", command):
        if not (tmp_path / f"pipe{ending}").exists():
            os.mkfifo(tmp_path / f"pipe{ending}")
    (tmp_path / "tiny.onnx").write_bytes((artifacts / "float" / "model.onnx").read_bytes())
    names = {"pipe": tmp_path / "pipe", "folder": tmp_path, "artifact": artifacts / "built"}
    words = [each.format(**names).replace(" out", f" {tmp_path / 'out'}") for each in command.split()]
    ended = densecast(*words)
    signal.alarm(0)
    assert ended.code in (2, 3), ended.err
    assert ended.err.count("\n") == 1 and "Traceback" not in ended.err
    assert not (tmp_path / "out").exists()


def test_a_tilde_that_the_shell_left_is_the_home_folder(
    artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir(), here.mkdir()
    write_jpeg(home / "a.jpg", (32, 32), 0)
    (home / "model").symlink_to(artifacts / "built")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    assert densecast("infer", "~/model", "~/a.jpg", "--out=~/results", "-q").code == 0
    assert (home / "results" / "a.png").is_file() and not list(here.iterdir())
    assert densecast("infer", "~/model", "~/a.jpg", "--out", "./~/x", "-q").code == 0
    assert (here / "~" / "x" / "a.png").is_file()


def test_a_place_that_cannot_be_written_is_named_as_it_was_given(artifacts: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in ("/proc/out", tmp_path / "file" / "out"):
        message = failed(3, "build", artifacts / "float", "-b", "onnxruntime", "--out", place, "-q")
        assert str(Path(place).parent) in message and "Errno" not in message and ".densecast-" not in message


@pytest.mark.parametrize(
    ("place", "words"), [("none", "does not exist"), ("a.txt", "is no folder"), ("", "holds no report.json")]
)
def test_a_place_without_a_report_is_told_apart_and_not_offered_for_one(place: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("mine")
    for more in ((), (tmp_path,)):
        message = failed(3, "report", tmp_path / place, *more)
        assert words in message and "run MODEL --out FOLDER" in message


def test_an_artifact_that_is_not_there_is_not_called_one_of_another_kind(tmp_path: Path) -> None:
    for verb in ("evaluate", "benchmark", "verify"):
        assert "none does not exist. Make one" in failed(3, verb, tmp_path / "none", "-q")


def test_a_pipe_of_this_process_is_read(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"some text")
    os.close(writing)
    assert files.read_bounded(Path(f"/dev/fd/{reading}"), 100) == b"some text"
    os.close(reading)
    (tmp_path / "long").write_bytes(bytes(50))
    assert len(files.read_bounded(tmp_path / "long", 10)) == 11
    with pytest.raises(OSError, match="is no file"):
        files.read_bounded(tmp_path, 10)


def test_links_that_go_round_in_circles_beside_a_file_do_no_harm(artifacts: Path, tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(tmp_path / "one")
    (tmp_path / "itself.onnx").symlink_to("itself.onnx")
    model = tmp_path / "tiny.onnx"
    model.write_bytes((artifacts / "float" / "model.onnx").read_bytes())
    from densecast.verbs.export.foreign import first_run

    first_run(model)
    assert "link to nothing" in failed(
        3, "export", tmp_path / "itself.onnx", "--labels", "a,b", "--out", tmp_path / "o"
    )
    assert "link to nothing" in failed(3, "infer", artifacts / "built", tmp_path / "one", "--out", tmp_path / "o")
    assert files.real(tmp_path / "one").name in ("one", "other")


def test_no_path_is_resolved_in_a_way_that_fails_on_circles() -> None:
    source = Path(cli.__file__).parents[1]
    found = [path.name for path in source.rglob("*.py") if ".resolve()" in path.read_text()]
    assert not found, "use io.files.real"


def test_what_is_there_instead_of_a_file_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    for name, words in (("pipe", "is no file"), ("link", "is a link to nothing"), (".", "is a folder")):
        assert words in str(MissingFileError.at(tmp_path / name))
    assert str(MissingFileError.at(Path("/absent"), "checkpoint")) == "checkpoint /absent does not exist."


@pytest.mark.slow
@pytest.mark.parametrize(
    "closed", ["2>&-", *(pytest.param(each, marks=pytest.mark.slow) for each in (">&-", "<&- >&- 2>&-"))]
)
def test_closed_streams_change_no_result(closed: str, artifacts: Path, tmp_path: Path) -> None:
    image = write_jpeg(tmp_path / "a.jpg")
    shell = f"{sys.executable} -m densecast infer {artifacts / 'built'} {image} --out {tmp_path / 'out'} {closed}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, check=False, timeout=120)
    assert done.returncode == 0
    written = (tmp_path / "out" / "a.png").read_bytes()
    failed_shell = f"{sys.executable} -m densecast verify {tmp_path} {closed}"
    refused = subprocess.run(["bash", "-c", failed_shell], capture_output=True, check=False, timeout=120)
    assert refused.returncode == 3 and refused.stdout == b"", "errors are not results"
    assert written.startswith(b"\x89PNG") and b"densecast:" not in written


def test_a_folder_that_is_gone_is_said(artifacts: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os, sys; os.rmdir({str(gone)!r}); from densecast.cli import main; sys.argv = sys.argv[1:]; main()"
    command = [sys.executable, "-c", code, "densecast", "verify", "relative"]
    done = subprocess.run(command, cwd=gone, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 3 and done.stderr.count("\n") == 1


def test_a_special_file_that_cannot_be_written_is_named(artifacts: Path) -> None:
    assert "/dev/full" in failed(3, "verify", artifacts / "built", "--json", "/dev/full")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("infer", "{artifact}", "{image}", "--out", ""), "--out has an empty value"),
        (("infer", "{artifact}", "{image}", "--out="), "--out has an empty value"),
        (("infer", "{artifact}", "", "--out", "{out}"), "an argument is empty"),
        (("verify", ""), "an argument is empty"),
        (("verify", "{artifact}", "--json", ""), "--json has an empty value"),
        (("export", "", "--out", "{out}"), "an argument is empty"),
    ],
)
def test_an_empty_argument_is_no_folder(
    words: tuple[str, ...], said: str, artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image = write_jpeg(tmp_path / "a.jpg")
    names = {"artifact": artifacts / "built", "image": image, "out": tmp_path / "out"}
    assert failed(2, *(each.format(**names) for each in words)).startswith(said)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


@pytest.mark.parametrize("threads", [100_000, 10**9])
def test_more_threads_than_could_ever_help_are_refused(threads: int, artifacts: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="threads must be 1 to"):
        execution.configure("latency", threads)
    image = write_jpeg(tmp_path / "a.jpg")
    message = failed(2, "infer", artifacts / "built", image, "--threads", str(threads), "--out", tmp_path / "out")
    assert message.startswith("--threads") or "threads must be" in message
