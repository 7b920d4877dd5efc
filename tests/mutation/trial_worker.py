"""A copy of the tree in which a change is tried, and the process that runs tests there."""

from __future__ import annotations

import compileall
import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from chosen_tests import PACKAGE, readers
from source_changes import Change

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


# Imported before the first fork; none of them starts threads by that. densecast itself is not: it is what changes.
_HEAVY = (
    *("numpy", "cv2", "numba", "onnx", "onnxruntime", "openvino", "torch", "scipy.ndimage", "pytest"),
    *(
        "pydantic",
        "PIL.Image",
        "typer",
        "jinja2",
        "yaml",
        "hypothesis.extra.numpy",
        "onnx.reference",
        "concurrent.futures",
    ),
    *("hypothesis.strategies", "pycocotools.cocoeval", "xml.etree.ElementTree", "asyncio", "http.server"),
)


# Compiling all of them takes longer than most runs. numba tells by a file's time that it is another one; of a run that
# was ended while a change was in the source, code of that change might be left.
_KERNELS = ".numba"
_IN_ORDER = "ended_in_order"


class Answer(NamedTuple):
    """pytest's exit status, or -1 at the limit of time; the first test that failed."""

    code: int
    failed: str


def copied(folder: Path) -> Path:
    """The tracked files and those not yet added; of what is compiled only kernels of a run that ended in order stay."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    kernels, kept = folder / _KERNELS, folder.with_name(f"{folder.name}{_KERNELS}")
    if (kernels / _IN_ORDER).exists():
        kernels.rename(kept)
    shutil.rmtree(folder, ignore_errors=True)
    if kept.exists():
        folder.mkdir(parents=True)
        kept.rename(kernels)
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for each in (PACKAGE, "tests/support"):
        compileall.compile_dir(folder / each, quiet=2)
    return folder


def environment(tree: Path) -> dict[str, str]:
    """Where a process finds the package and keeps what it makes: in the copy."""
    path = os.pathsep.join([str(tree / "src"), str(tree / "tests" / "support")])
    return {
        **os.environ,
        "PYTHONPATH": path,
        "NUMBA_CACHE_DIR": str(tree / _KERNELS),
        # Where a test lets no file grow, Python leaves bytecode behind that ends in the middle.
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(tree / ".hypothesis"),
    }


class Worker:
    """One copy of the tree and one process that forks to run tests in it."""

    def __init__(self, tree: Path, log: Path) -> None:
        self.tree = tree
        self._log = log
        self._stamp = 1_000_000_000
        self._is_changed = False
        (tree / _KERNELS / _IN_ORDER).unlink(missing_ok=True)
        self._sound: dict[str, bool] = {}
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "forked_tests.py"), str(os.getpid()), *_HEAVY],
            cwd=tree,
            env=environment(tree),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, tests: Sequence[str], limit_s: float) -> Answer:
        """Run the tests until one fails."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"tests": list(tests), "limit_s": limit_s, "log": str(self._log)}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Answer(int(answer["code"]), str(answer["failed"]))

    def sound(self, test: str, limit_s: float) -> bool:
        """Whether a test passes on untouched code, alone: what it says of a change means something."""
        if test not in self._sound:
            self._sound[test] = self.run([test], limit_s).code == 0
        return self._sound[test]

    @functools.cached_property
    def _readers(self) -> dict[str, set[str]]:
        return readers(self.tree)

    @contextlib.contextmanager
    def _without_compiled(self, path: str) -> Iterator[None]:
        """numba sees that a file changed, and not that one which it took functions from did.

        What was compiled of the sound code is put back afterwards: to compile it again takes longer than most trials.
        """
        waiting, seen = [path], {path}
        while waiting:
            for reader in self._readers[waiting.pop()] - seen:
                seen.add(reader)
                waiting.append(reader)
        stems = {Path(each).stem for each in seen}

        def kept() -> list[Path]:
            """The files named as one of the modules, as `labels.label_part-12.py311.nbi`."""
            return [each for each in (self.tree / _KERNELS).glob("*/*") if each.name.partition(".")[0] in stems]

        aside = self.tree / f"{_KERNELS}.aside"
        aside.mkdir(exist_ok=True)
        places = {each.rename(aside / f"{each.parent.name}.{each.name}"): each for each in kept()}
        try:
            yield
        finally:
            for each in kept():
                each.unlink()
            for each, place in places.items():
                each.rename(place)

    def try_change(self, change: Change, tests: Sequence[str], limit_s: float) -> Answer:
        """As `run`, with the change in the source meanwhile."""
        file = self.tree / change.path
        source = file.read_text(encoding="utf-8")
        times = file.stat()
        self._is_changed = True
        file.write_text(change.apply(source), encoding="utf-8")
        # Every version has a time of its own: bytecode of another one is never taken for it.
        self._stamp += 2
        os.utime(file, (self._stamp, self._stamp))
        compiled = "njit" in source
        try:
            with self._without_compiled(change.path) if compiled else contextlib.nullcontext():
                return self.run(tests, limit_s)
        finally:
            file.write_text(source, encoding="utf-8")
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
            self._is_changed = False

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        if not self._is_changed:
            (self.tree / _KERNELS).mkdir(exist_ok=True)
            (self.tree / _KERNELS / _IN_ORDER).touch()
