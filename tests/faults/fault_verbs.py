"""The verbs that the campaign disturbs, and how to see that what they leave is whole."""

from __future__ import annotations

import contextlib
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import made_coco
import made_report
import tiny_artifacts
import tiny_graphs
from made_images import carvana, write_jpeg
from PIL import Image

from densecast import report
from densecast.artifact import Artifact
from densecast.errors import DensecastError
from densecast.io import files, temporaries
from densecast.spec.options import BuildOptions, InputShape
from densecast.verbs.handoff import open_handoff


@dataclass(frozen=True)
class Verb:
    """A command line below a folder, what is wrong with what it left there, and the files that it reads."""

    name: str
    arguments: Callable[[Path], tuple[str | Path, ...]]
    wrong: Callable[[Path], str]
    reads: tuple[str, ...] = ()
    planted: Callable[[Path], object] | None = None

    def run(self, root: Path) -> object:
        """Run it in this process, as the command line does."""
        if self.planted:
            return self.planted(root)
        from densecast.cli import main

        sys.argv = ["densecast", *map(str, self.arguments(root))]
        return main()


def prepare(root: Path) -> Path:
    """What every trial begins with: artifacts, images, ground truth, a report."""
    (root / "people").mkdir(parents=True)
    fixed = InputShape(height=24, width=32)
    tiny_artifacts.compiled(root, BuildOptions("onnxruntime", shape=fixed), tiny_graphs.brightness())
    tiny_artifacts.compiled_pose(root / "people", BuildOptions("reference"))
    made_coco.folder(root / "people" / "data", ("val",))
    carvana(root / "data", count=10)
    for index in range(6):
        write_jpeg(root / "images" / f"{index}.jpg", seed=index)
    report.write(made_report.report(root / "report"), root / "report")
    # The engines' code, without any engine at work: what the processes of the trials begin with.
    import onnxruntime
    import openvino

    import densecast.cli
    import densecast.measure.loop
    import densecast.verbs.infer

    assert onnxruntime and openvino and densecast
    return root


def left_over(root: Path) -> str:
    """Temporary files that nobody is writing any more."""
    left = [path.name for path in root.rglob(".densecast-*") if temporaries.is_temporary(path.name)]
    return f"temporary files are left: {left}" if left else ""


def _artifact(name: str) -> Callable[[Path], str]:
    def wrong(root: Path) -> str:
        try:
            if (root / name).exists():
                Artifact.open(root / name)
        except DensecastError as error:
            return str(error)
        return ""

    return wrong


def _json(root: Path) -> str:
    if (root / "out.json").exists():
        try:
            json.loads((root / "out.json").read_text())
        except ValueError as error:
            return f"out.json: {error}"
    return ""


def _masks(root: Path) -> str:
    for path in (root / "masks").glob("[!.]*.png"):
        try:
            with Image.open(path) as image:
                image.load()
        except OSError as error:
            return f"{path.name}: {error}"
    return _json(root)


def _report(root: Path) -> str:
    text = (root / "report" / "report.html").read_text()
    return "" if text.rstrip().endswith("</html>") else "report.html is cut off"


def _handoff(root: Path) -> str:
    if (root / "handoff" / "handoff.json").exists():
        try:
            handoff = open_handoff(root / "handoff")
        except DensecastError as error:
            return str(error)
        for name, digest in handoff.files.items():
            if files.sha256(root / "handoff" / name) != digest:
                return f"{name} is another one"
    return ""


_SIZE = ("--height", "24", "--width", "32", "-q")


def _build(backend: str) -> Verb:
    def arguments(root: Path) -> tuple[str | Path, ...]:
        return ("build", root / "float", "--out", root / "built", "-b", backend, "-p", "fp16", *_SIZE)

    return Verb(f"build {backend}", arguments, _artifact("built"), ("float",))


def _under(root: Path, *words: str) -> tuple[str | Path, ...]:
    """Words of a command line; those with a slash or an ending are files below the folder."""
    return tuple(root / word.removeprefix("./") if "/" in word or "." in word else word for word in words)


def _verb(line: str, wrong: Callable[[Path], str], *reads: str, name: str = "") -> Verb:
    words = line.split()
    return Verb(name or words[0], lambda root: _under(root, *words), wrong, reads)


VERBS = (
    _build("openvino"),
    _build("onnxruntime"),
    _verb("export ./tiny.onnx --labels a,b --out ./float -q", _artifact("float")),
    _verb("infer ./built ./images --out ./masks --json ./out.json -q", _masks, "built"),
    _verb("evaluate ./built --data ./data --split all --json ./out.json -q", _json, "built"),
    _verb("report ./report -q", _report, "report"),
    _verb(
        "handoff prepare ./people/float --out ./handoff --data ./people/data --processes 2 -q",
        _handoff,
        "people/float",
        name="handoff prepare",
    ),
)


def tamper(verb: Verb, root: Path, rng: random.Random) -> str:
    """Change one file that the verb reads, and say which; of a manifest's or report's values, one."""
    folder = root / rng.choice(verb.reads)
    name = rng.choice(
        sorted(path.name for path in folder.iterdir() if path.is_file() and path.suffix not in (".html", ".md"))
    )
    path = folder / name
    if path.suffix == ".json":
        plain = json.loads(path.read_text())
        kept = "manifest_sha256" in plain and rng.random() < 0.3
        said = _change_value(plain, rng)
        if not kept:
            plain.pop("manifest_sha256", None)
        path.write_text(json.dumps(plain))
        return f"{name} {said}, {'hash kept' if kept else 'without digest'}"
    content = bytearray(path.read_bytes())
    place = rng.randrange(len(content))
    content[place] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(content))
    return f"{name} byte {place}, {'hash kept' if (folder / 'manifest.json').exists() else 'no hash'}"  # fmt: skip


_VALUES: tuple[object, ...] = (
    *(None, True, 0, -1, 1.5, 10**38, 2**63, 1e308, float("nan"), float("inf"), "", "x" * 5000, "../x", "\x00"),
    *([], {}, [[]], {"x": 1}, [1, 2, 3, 4, 5]),
)


def _change_value(plain: object, rng: random.Random) -> str:
    """Replace one value, at any depth, by one that it is not."""
    where = ""
    while isinstance(plain, (dict, list)) and plain:
        key = rng.choice(list(plain) if isinstance(plain, dict) else range(len(plain)))
        where += f"/{key}"
        inner = plain[key]  # type: ignore[index]
        if not isinstance(inner, (dict, list)) or not inner or rng.random() < 0.2:
            old, plain[key] = inner, rng.choice([each for each in _VALUES if repr(each) != repr(inner)])  # type: ignore[index]
            return f"{where}: {plain[key]!r:.40} for {old!r:.40}"  # type: ignore[index]
        plain = inner
    return where


# Failures of the kinds that are looked for.


def _half_written(root: Path) -> None:
    with (root / "out.json").open("w") as stream:
        stream.write('{"a": ')
        stream.flush()
        time.sleep(0.3)
        stream.write("1}")


def _deaf(root: Path) -> None:
    del root
    end = time.monotonic() + 2
    while time.monotonic() < end:
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(0.1)
    sys.exit(5)


def _untyped(root: Path) -> None:
    with (root / "out.json").open("wb", buffering=0) as stream:
        for _ in range(100):
            stream.write(bytes(1000))
    (root / "out.json").unlink()


def _gullible(root: Path) -> None:
    Artifact.open(root / "built").manifest.files["absent"].lower()


PLANTED = {
    "half a file": Verb("killed", lambda root: (), _json, planted=_half_written),
    "a wrong exit code": Verb("told to end", lambda root: (), _json, planted=_deaf),
    "a traceback of a full disk": Verb("disk full", lambda root: (), _json, planted=_untyped),
    "a traceback of a changed file": Verb("files changed", lambda root: (), _json, ("built",), planted=_gullible),
}
