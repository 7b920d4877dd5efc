"""What other systems lack is in one module, and without it built models run the same; those systems are not tried."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts
from made_images import carvana, write_jpeg

import densecast
from densecast.spec.options import BuildOptions

PACKAGE = Path(densecast.__file__).parent
# Confined processes are Linux's through and through; one file asks the CPU itself by its instructions.
_ITSELF = {"io/system.py", "runtime/cell_server.py", "runtime/confinement.py", "runtime/cpuid.py"}
_OF_OS = {
    *("fork", "sched_getaffinity", "sched_setaffinity", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"),
    *(
        "geteuid",
        "getuid",
        "pathconf",
        "sysconf",
        "killpg",
        "setpgid",
        "setsid",
        "waitpid",
        "getloadavg",
        "WNOHANG",
        "getpgid",
        "register_at_fork",
        "getpriority",
        "setpriority",
    ),
}
# What Python's own modules for processes use on this system.
_OF_PYTHONS_OWN = {"waitpid", "WNOHANG"}
_OF_SIGNAL = {"SIGHUP", "SIGKILL", "SIGALRM", "SIGXCPU", "setitimer", "pthread_sigmask", "SIGCHLD", "SIGUSR1"}
_MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "syslog"}
# What a confined process may read, and whether a path is one of this process's own descriptors: texts, not files.
_TEXTS = {"runtime/cell.py", "io/files.py", "runtime/machine.py"}
# Without one of these words a module has none of these names.
_WORDS = re.compile(rf"\b({'|'.join(sorted(_OF_OS | _OF_SIGNAL | _MODULES))})\b|/(proc|sys)/")


def faults(path: Path) -> list[str]:
    """Names in a module that only some systems have."""
    name, found = str(path.relative_to(PACKAGE)), list[str]()
    text = path.read_text(encoding="utf-8")
    if not _WORDS.search(text):  # parsing all of them takes a while
        return []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            wanted = {"os": _OF_OS, "signal": _OF_SIGNAL}.get(node.value.id, set())
            found += [f"{name}: {node.value.id}.{node.attr}"] * (node.attr in wanted)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = [each.name for each in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [f"{name}: import {each}" for each in modules if each in _MODULES]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and name not in _TEXTS:
            found += [f"{name}: {node.value}"] * node.value.startswith(("/proc/", "/sys/"))
    return found


def test_what_only_some_systems_have_is_in_one_module() -> None:
    modules = [path for path in PACKAGE.rglob("*.py") if str(path.relative_to(PACKAGE)) not in _ITSELF]
    assert [each for path in modules for each in faults(path)] == []
    assert faults(PACKAGE / "io" / "system.py"), "nothing would be found"


_PROGRAM = """
import io, json, os, signal, sys
import cv2, numba, numpy, onnx, onnxruntime, openvino, PIL.Image
import concurrent.futures.process, multiprocessing, subprocess
import asyncio, tempfile, shutil, pathlib

for name in {os!r}:
    if hasattr(os, name):
        delattr(os, name)
for name in {signal!r}:
    if hasattr(signal, name):
        delattr(signal, name)
for name in {modules!r}:
    sys.modules[name] = None
plain = io.open
def opened(file, *rest, **named):
    if str(file).startswith(("/proc/", "/sys/")):
        raise FileNotFoundError(2, "No such file or directory", str(file))
    return plain(file, *rest, **named)
io.open = opened

import densecast
from densecast.errors import DensecastError
from densecast.runtime import machine
from densecast.spec.options import BuildOptions

folder, image = map(pathlib.Path, sys.argv[1:])
found = {{"cpus": machine.describe().usable_cpus, "quota": machine.cgroup_quota()}}
built = {{}}
for backend in ("reference", "onnxruntime", "openvino"):
    artifact = densecast.build(folder / "float", folder / f"elsewhere_{{backend}}", BuildOptions(backend))
    with densecast.Pipeline.open(artifact) as pipeline:
        built[backend] = pipeline(image).class_id.tolist()
found["built"] = built
found["score"] = densecast.evaluate(
    folder / "elsewhere_onnxruntime", folder / "data", densecast.EvaluateOptions(split="all")
).score.value
try:
    densecast.export(folder / "tiny.onnx", folder / "again")
except DensecastError as error:
    found["export"] = str(error)
from densecast.cli import main
sys.argv = ["densecast", "infer", str(folder / "elsewhere_openvino"), str(image), "--out", str(folder / "out"), "-q"]
try:
    main()
except SystemExit as ended:
    found["exit"] = ended.code
print(json.dumps(found))
"""


@pytest.mark.slow
def test_without_what_other_systems_lack_built_models_predict_the_same_and_foreign_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tiny_artifacts.exported(tmp_path)
    image = write_jpeg(tmp_path / "photo.jpg", seed=1)
    carvana(tmp_path / "data", count=4)
    program = _PROGRAM.format(os=sorted(_OF_OS - _OF_PYTHONS_OWN), signal=sorted(_OF_SIGNAL), modules=sorted(_MODULES))
    monkeypatch.setenv("DENSECAST_CACHE", str(tmp_path / "cache"))
    command = [sys.executable, "-c", program, str(tmp_path), str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["cpus"] >= 1 and found["quota"] is None and found["exit"] in (0, None)
    assert "that needs Linux" in found["export"]
    assert (tmp_path / "out" / "photo.png").is_file()
    for backend, labels in found["built"].items():
        here = densecast.build(source, tmp_path / f"here_{backend}", BuildOptions(backend))
        with densecast.Pipeline.open(here) as pipeline:
            np.testing.assert_array_equal(pipeline(image).class_id, np.array(labels))
    here = densecast.evaluate(tmp_path / "here_onnxruntime", tmp_path / "data", densecast.EvaluateOptions(split="all"))
    assert here.score.value == found["score"]
