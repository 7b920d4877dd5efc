"""What an int8 build costs, what it chooses and what its outputs lose: an earlier version of the code and this one.

    python benchmarks/build_seconds.py --before CHECKOUT/src --model unet_tiny fcn_tiny --json build_seconds.json
    python benchmarks/build_seconds.py --before CHECKOUT/src --model unet_tiny --max-drop 0.05 --json build_seconds.json

Each version exports the network and builds it by its own command line, with nothing in its cache. CPU seconds are those
of all processes of `densecast build`, also of those that outlive it: other programs stretch wall time, and hardly
these. Both models are then run by this version on the same images, which neither has seen: how far their outputs are
from float32's. What the file holds of other builds is kept. Builds are kept in `--work`: an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from densecast import BuildOptions, InputShape, QuantizeOptions
from densecast.artifact import FloatArtifact
from densecast.io import codec, files
from densecast.report.markdown import table
from densecast.runtime import machine
from densecast.scenes import SCENES
from densecast.spec.tensor import Feeds
from densecast.tasks._base import TASKS
from densecast.verbs.builder import calibration_methods
from densecast.verbs.builder.compile_plan import prepare
from densecast.zoo._base import ZOO

MODELS = (
    "unet_tiny",
    "fcn_tiny",
    "deeplabv3_tiny",
    "ocrnet_hr18s_tiny",
    "hrnet_w32_ae_tiny",
    "mobilenetv2_ae_tiny",
)
TENSORFLOW, TENSORFLOW_SIDE = "deeplabv3_mnv2_voc", 513
SUBREAPER = 36  # of prctl: processes whose parent has ended become this one's


def data_of(model: str, work: Path) -> Path:
    """The model's procedural data set, drawn once."""
    entry = ZOO.load(model)
    assert entry.data is not None
    root = work / entry.data.writer
    if not root.is_dir():
        SCENES.load(entry.data.writer)(root, entry.data.count, seed=entry.data.seed)
    return root


def size_of(model: str) -> tuple[int, int] | None:
    """Height and width to build for; None for the pose networks, which stay open to all: people come in all sizes."""
    entry = ZOO.load(model)
    if entry.spec.task == "pose":
        return None
    return (TENSORFLOW_SIDE, TENSORFLOW_SIDE) if model == TENSORFLOW else entry.example_size_hw


def densecast(source: Path, cache: Path, *words: str) -> tuple[float, float]:
    """Run a command with the code in `source`; CPU seconds of all its processes, and seconds."""
    environment = {**os.environ, "PYTHONPATH": str(source.absolute()), "DENSECAST_CACHE": str(cache)}
    used, start = _children_s(), time.perf_counter()
    subprocess.run([sys.executable, "-m", "densecast", *words, "-q"], check=True, env=environment, stdout=sys.stderr)
    seconds = time.perf_counter() - start
    while True:  # servers end when the process that they serve has
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return _children_s() - used, seconds


def _children_s() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def built(model: str, source: Path, chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Build one network into `folder` with the code in `source`, once; costs and choices."""
    kept = folder / "found.json"
    if kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return found
    given = ["--checkpoint", str(chosen.graph)] if model == TENSORFLOW else []
    exported = folder / "float"
    if not (exported / "manifest.json").is_file():
        densecast(source, folder / "cache", "export", model, "--out", str(exported), *given)
    shutil.rmtree(folder / "cache", ignore_errors=True)
    words = ["build", str(exported), "--out", str(folder / "int8"), "-p", "int8"]
    if (size := size_of(model)) is not None:
        words += ["--height", str(size[0]), "--width", str(size[1])]
    data = chosen.photos if model == TENSORFLOW else data_of(model, chosen.work)
    words += ["--data", str(data), "--images", str(chosen.images)]
    if chosen.max_drop:
        words += ["--max-drop", f"{chosen.max_drop:g}", "--metric", "disagreement", "--drop-images", "60"]
        words += ["--drop-split", "all"] if model == TENSORFLOW else []
    cpu_s, wall_s = densecast(source, folder / "cache", *words)
    found = {"cpu_s": round(cpu_s, 2), "wall_s": round(wall_s, 2), **choices(folder / "int8")}
    files.write_text(kept, codec.json_text(found))
    return found


def choices(artifact: Path) -> dict[str, Any]:
    """What a build has chosen, and by what measurements."""
    manifest = json.loads((artifact / "manifest.json").read_text(encoding="utf-8"))
    record, search = manifest.get("calibration") or {}, manifest.get("search") or manifest.get("max_drop")
    found = {key: record.get(key) for key in ("bias_correction", "count", "tried", "tried_biases")}
    found["calibration_method"] = record.get("calibration_method") or record.get("estimator")
    if search:
        trials = [{key: each.get(key) for key in ("name", "drop", "speed")} for each in search.get("trials", [])]
        found["search"] = {"winner": search.get("winner"), "trials": trials}
    return found


class Judge:
    """Float32's outputs on images that no build has seen, and how far another model's are from them."""

    def __init__(self, model: str, source: FloatArtifact, chosen: argparse.Namespace, folder: Path) -> None:
        data, split = (chosen.others, "all") if model == TENSORFLOW else (data_of(model, chosen.work), "val")
        size = size_of(model)
        options = BuildOptions(
            "openvino",
            "qint8_mixed_float16",
            InputShape() if size is None else InputShape(height=size[0], width=size[1]),
            QuantizeOptions(images=chosen.judged, split=split),
        )
        plan = prepare(source, folder / "none", options, data=data)
        self._spec, self._task = plan.spec, TASKS.load_trusted(plan.spec.task)
        self._images: list[Feeds] = [plan.feeds[index] for index in range(len(plan.feeds))]
        graph = folder / "graph.onnx"
        plan.write_graph(graph)
        self._expected = self._outputs(graph, {"INFERENCE_PRECISION_HINT": "f32"})

    def change(self, artifact: Path) -> float:
        """Of an artifact's outputs: the share of labels that change, or the relative L2 distance."""
        settings = json.loads((artifact / "manifest.json").read_text(encoding="utf-8"))["settings"]
        outputs = self._outputs(artifact / "model.xml", settings)
        return calibration_methods.output_change(self._task, self._expected, outputs, self._spec)

    def _outputs(self, model: Path, settings: dict[str, str]) -> list[Any]:
        import openvino as ov

        compiled = ov.Core().compile_model(model, "CPU", settings)
        place = [tensor.name for tensor in self._spec.outputs].index(self._spec.output.name)
        return [np.array(compiled(feeds)[place], np.float32) for feeds in self._images]


def both_versions(model: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """Build one network with both versions, and judge what they made."""
    what = f"--max-drop {chosen.max_drop:g}" if chosen.max_drop else f"int8, {chosen.images} images"
    found: dict[str, Any] = {"model": model, "what": what}
    kept = chosen.work / "builds" / model / what.replace(" ", "_")
    sides = {"before": chosen.before, "after": Path(machine.__file__).parents[2]}
    for side, source in sides.items():
        found[side] = built(model, source, chosen, kept / side)
        print(f"{model} {side}: {found[side]}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        judge = Judge(model, FloatArtifact.open(kept / "after" / "float"), chosen, Path(scratch))
        for side in sides:
            found[side]["change"] = judge.change(kept / side / "int8")
    return {**found, "judged": chosen.judged, "machine": codec.to_plain(machine.describe())}


def rows(builds: Sequence[dict[str, Any]]) -> list[list[str]]:
    """One line for each build."""
    lines = []
    for each in builds:
        old, new = each["before"], each["after"]
        line = [each["model"], each["what"], f"{old['cpu_s']:.0f}", f"{new['cpu_s']:.0f}"]
        line += [f"{old['cpu_s'] / new['cpu_s']:.1f}", f"{old['calibration_method']}, {old['bias_correction']}"]
        lines.append(
            [
                *line,
                f"{new['calibration_method']}, {new['bias_correction']}",
                f"{old['change']:.3%}",
                f"{new['change']:.3%}",
            ]
        )
    return lines


def main() -> None:
    """Build each network with both versions, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=[*MODELS, TENSORFLOW], default=list(MODELS))
    parser.add_argument("--before", type=Path, required=True, help="the src folder of an earlier version")
    parser.add_argument("--images", type=int, default=QuantizeOptions().images, help="calibration images")
    parser.add_argument("--judged", type=int, default=32, help="images to judge models on")
    parser.add_argument("--max-drop", type=float, default=0.0, help="build within such a drop, in points of labels")
    parser.add_argument("--graph", type=Path, help=f"the frozen graph of {TENSORFLOW}")
    parser.add_argument("--photos", type=Path, help=f"a folder of photographs for {TENSORFLOW}")
    parser.add_argument("--others", type=Path, help="and one of others, to judge it on")
    parser.add_argument("--work", type=Path, default=Path("runs/bench/build_seconds"), help="where data and floats lie")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    builds: list[dict[str, Any]] = []
    if chosen.json and chosen.json.is_file():
        builds = json.loads(chosen.json.read_text(encoding="utf-8"))["builds"]
    done = []
    for model in chosen.model:
        done.append(both_versions(model, chosen))
        builds = [each for each in builds if (each["model"], each["what"]) != (model, done[-1]["what"])]
        builds.append(done[-1])
        if chosen.json:
            files.write_text(chosen.json, codec.json_text({"builds": builds}))
    header = ["network", "what", "CPU s", "now", "times", "chosen", "now", "outputs changed", "now"]
    print(table(header, rows(done), "<<>>><<>>"))


if __name__ == "__main__":
    main()
