"""What an int8 build costs in CPU seconds, what it chooses, and whether another version of the code chooses the same.

    python benchmarks/build_seconds.py --model unet_tiny fcn_tiny --json after.json
    python benchmarks/build_seconds.py --against before.json after.json
    python benchmarks/build_seconds.py --model unet_tiny fcn_tiny --before CHECKOUT/src --json build_seconds.json

Each network is built as `densecast build --int8` does it, each in a process of its own, with nothing in the cache. CPU
seconds are the process's and its children's: other programs stretch wall time, and hardly these. With every build the
range of every quantiser of the model that was written is noted. `--against` compares two such files: what was chosen,
by what measurements, and how far apart the ranges lie. `--before` builds with two versions of the code, one after the
other, and says whether they wrote the same model, bit for bit.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from densecast import BuildOptions, Data, ExportOptions, InputShape, QuantizeOptions, build, export_zoo
from densecast.artifact import CompiledArtifact, FloatArtifact
from densecast.io import codec, files
from densecast.report.markdown import table
from densecast.runtime import machine
from densecast.scenes import SCENES
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


def data_of(model: str, work: Path) -> Path:
    """The model's procedural data set, drawn once."""
    entry = ZOO.load(model)
    assert entry.data is not None
    root = work / entry.data.writer
    if not root.is_dir():
        SCENES.load(entry.data.writer)(root, entry.data.count, seed=entry.data.seed)
    return root


def one(model: str, work: Path, images: int, graph: Path | None, photos: Path | None, drop: float) -> dict[str, Any]:
    """Build one network in this process; its costs, choices and ranges."""
    entry = ZOO.load(model)
    folder = work / "float" / model
    if not (folder / "manifest.json").is_file():
        export_zoo(model, folder, ExportOptions(), given=graph)
    source = FloatArtifact.open(folder)
    height, width = (TENSORFLOW_SIDE,) * 2 if graph else entry.example_size_hw
    data: Data | Path = photos if photos is not None else data_of(model, work)
    quantize = QuantizeOptions(images=images, split="all" if photos is not None else "train")
    # People come in all sizes: the pose networks stay open to them.
    shape = InputShape() if entry.spec.task == "pose" else InputShape(height=height, width=width)
    options = BuildOptions("openvino", "qint8_mixed_float16", shape, quantize)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["DENSECAST_CACHE"] = str(Path(scratch) / "cache")
        cpu, start = cpu_s(), time.perf_counter()
        if drop:
            from densecast import MaxDrop
            from densecast.verbs.mixed_precision import build_within

            limit = MaxDrop(drop, "disagreement", images=60)
            built = build_within(source, Path(scratch) / "int8", options, limit, data=data)
        else:
            built = build(source, Path(scratch) / "int8", options, data=data)
        found = {"cpu_s": cpu_s() - cpu, "wall_s": time.perf_counter() - start}
        assert built.manifest.calibration is not None or drop
        if built.manifest.search is not None:
            search = built.manifest.search
            found["search"] = {"chosen": search.chosen, "trials": [[t.name, t.drop.value] for t in search.trials]}
        found["model"] = content(built)
        return {**found, "record": codec.to_plain(built.manifest.calibration), "ranges": ranges(built)}


def cpu_s() -> float:
    """CPU seconds of this process, its threads, and the children that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def content(built: CompiledArtifact) -> str:
    """A hash over every operator of the model: type, attributes, what it reads, and each constant's bytes.

    Left out are names, in which the engine counts everything that the process has made before.
    """
    import openvino as ov

    digest, place = hashlib.sha256(), {}
    for number, node in enumerate(ov.Core().read_model(built.file("model.xml")).get_ordered_ops()):
        place[node.get_friendly_name()] = number
        read = [node.input_value(port) for port in range(node.get_input_size())]
        reads = [(place[each.get_node().get_friendly_name()], each.get_index()) for each in read]
        digest.update(repr((node.get_type_name(), sorted(node.get_attributes().items(), key=str), reads)).encode())
        if node.get_type_name() == "Constant":
            digest.update(np.ascontiguousarray(node.get_data()).tobytes())
    return digest.hexdigest()


def ranges(built: CompiledArtifact) -> dict[str, list[float]]:
    """The least and the largest value of every quantiser of activations, by what it follows."""
    import openvino as ov

    found = {}
    for node in ov.Core().read_model(built.file("model.xml")).get_ordered_ops():
        if node.get_type_name() == "FakeQuantize" and node.input_value(0).get_node().get_type_name() != "Constant":
            ends = [node.input_value(place).get_node() for place in (1, 2)]
            if all(end.get_type_name() == "Constant" for end in ends):
                low, high = (np.asarray(end.get_data()) for end in ends)
                found[node.get_friendly_name()] = [float(low.min()), float(high.max())]
    return found


def compared(before: dict[str, Any], after: dict[str, Any]) -> list[list[str]]:
    """One line for each network that both files hold."""
    lines = []
    for model in [model for model in before if model in after]:
        old, new = before[model], after[model]
        names = sorted(set(old["ranges"]) & set(new["ranges"]))
        apart = [_apart(old["ranges"][name], new["ranges"][name]) for name in names]
        choices = [f"{(each['record'] or {}).get('calibration_method')}, {_biases(each)}" for each in (old, new)]
        lines.append(
            [
                model,
                choices[0],
                "the same" if choices[0] == choices[1] else choices[1],
                _tried(old, new),
                f"{len(names)} of {len(old['ranges'])}, {max(apart, default=0.0):.2%} at most",
                f"{old['cpu_s']:.0f}",
                f"{new['cpu_s']:.0f}",
                f"{old['cpu_s'] / new['cpu_s']:.1f}",
            ]
        )
    return lines


def _apart(left: list[float], right: list[float]) -> float:
    """The largest difference of two ranges' ends, as a share of the first range's width."""
    return max(abs(left[0] - right[0]), abs(left[1] - right[1])) / max(left[1] - left[0], 1e-12)


def _biases(found: dict[str, Any]) -> str:
    return f"biases {(found['record'] or {}).get('bias_correction') or 'none'}"


def _tried(old: dict[str, Any], new: dict[str, Any]) -> str:
    """The measured changes of the outputs, before and after."""
    parts = []
    for key in ("tried", "tried_biases"):
        for name, value in ((old["record"] or {}).get(key) or {}).items():
            now = ((new["record"] or {}).get(key) or {}).get(name)
            parts.append(f"{name} {value:.3%} → {'not tried' if now is None else f'{now:.3%}'}")
    return "; ".join(parts)


def in_process(model: str, chosen: argparse.Namespace, source: Path | None) -> dict[str, Any]:
    """Build one network in a process of its own, with the code in the folder `source` if one is given."""
    command = [sys.executable, __file__, "--here", "--model", model, "--images", str(chosen.images)]
    command += ["--work", str(chosen.work), "--max-drop", str(chosen.max_drop)]
    if model == TENSORFLOW:
        command += ["--graph", str(chosen.graph), "--photos", str(chosen.photos)]
    environment = {**os.environ, **({"PYTHONPATH": str(source.absolute())} if source else {})}
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def both_versions(chosen: argparse.Namespace) -> None:
    """Build every network with an earlier version and this one; what the file holds of other builds is kept."""
    what = f"--max-drop {chosen.max_drop:g}" if chosen.max_drop else f"int8, {chosen.images} images"
    own = Path(machine.__file__).parents[2]
    builds: list[dict[str, Any]] = []
    if chosen.json and chosen.json.is_file():
        builds = json.loads(chosen.json.read_text(encoding="utf-8"))["builds"]
    for model in chosen.model:
        sides = {}
        for side, source in (("before", chosen.before), ("after", own)):
            made = in_process(model, chosen, source)
            sides[side] = {key: made[key] for key in ("cpu_s", "wall_s", "model", "search") if key in made}
            print(f"{model} {side}: {made['cpu_s']:.1f} CPU s, {made['model'][:12]}", flush=True)
        builds = [each for each in builds if (each["model"], each["what"]) != (model, what)]
        builds.append({"model": model, "what": what, **sides, "machine": codec.to_plain(machine.describe())})
        if chosen.json:
            files.write_text(chosen.json, codec.json_text({"builds": builds}))


def main() -> None:
    """Measure each network in a process of its own, print a table, write JSON; or compare two such files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=[*MODELS, TENSORFLOW], default=list(MODELS))
    parser.add_argument("--images", type=int, default=QuantizeOptions().images, help="calibration images")
    parser.add_argument("--max-drop", type=float, default=0.0, help="build within such a drop, in points of labels")
    parser.add_argument("--graph", type=Path, help=f"the frozen graph of {TENSORFLOW}")
    parser.add_argument("--photos", type=Path, help=f"a folder of photographs for {TENSORFLOW}")
    parser.add_argument("--work", type=Path, default=Path("runs/bench/build_seconds"), help="where data and floats lie")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--against", nargs=2, type=Path, help="compare two files that were written with --json")
    parser.add_argument("--before", type=Path, help="the src folder of an earlier version, to build with as well")
    parser.add_argument("--here", action="store_true", help="in this process; prints JSON")
    chosen = parser.parse_args()
    if chosen.against:
        before, after = (json.loads(path.read_text())["models"] for path in chosen.against)
        header = ["network", "chosen", "now", "outputs changed", "ranges apart", "CPU s", "now", "times"]
        print(table(header, compared(before, after), "<<<<<>>>"))
        return
    if chosen.here:
        (model,) = chosen.model
        with contextlib.redirect_stdout(sys.stderr):
            found = one(model, chosen.work, chosen.images, chosen.graph, chosen.photos, chosen.max_drop)
        print(json.dumps(found))
        return
    if chosen.before:
        both_versions(chosen)
        return
    models: dict[str, Any] = {}
    for model in chosen.model:
        models[model] = in_process(model, chosen, None)
        record = models[model]["record"] or {}
        words = f"{record.get('calibration_method')}, {_biases(models[model])}"
        print(f"{model}: {models[model]['cpu_s']:.1f} CPU s, {models[model]['wall_s']:.1f} s, {words}", flush=True)
        if chosen.json:
            here = codec.to_plain(machine.describe())
            files.write_text(chosen.json, codec.json_text({"machine": here, "models": models}))


if __name__ == "__main__":
    main()
