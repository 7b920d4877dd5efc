"""Whether `compare --locate` names the right layer or step: faults of many kinds, planted into the shipped networks.

    python benchmarks/planted_faults.py --places 3 --printed benchmarks/results/printed/planted-faults.json

Each kind is planted at so many places of each network, drawn by seed. What is named has to be the very layer, or the
very step, that was changed. Sound builds of the same networks are looked at as well: there nothing must be named.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from PIL import Image

from densecast import BuildOptions, InputShape, QuantizeOptions, build, export_zoo, read_image
from densecast.datasets._base import DATASETS
from densecast.imaging.prepare import prepare as prepare_image
from densecast.runtime import machine
from densecast.runtime.execution import configure
from densecast.scenes import SCENES
from densecast.spec.model import ModelSpec
from densecast.spec.precision import PRECISIONS, short
from densecast.verbs.builder.compile_plan import prepare
from densecast.verbs.compare import ChainStage, Findings, localise, open_stage
from densecast.verbs.compare.divergence_search import TOLERATED
from densecast.verbs.compare.stage import graph_stage

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import planted_faults

NETWORKS = ("unet_tiny", "ocrnet_hr18s_tiny", "deeplabv3_tiny")
_UPRIGHT_TAG = 6  # the camera was turned by 90°


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--kinds", nargs="+", default=list(planted_faults.all_kinds()))
    parser.add_argument("--places", type=int, default=3)
    parser.add_argument("--reference", choices=("graph", "framework"), default="graph")
    parser.add_argument("--work", type=Path, help="folder to keep artifacts in")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--printed", type=Path, help="file of the table in docs/numbers.md, written anew")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows, sound = [], []
        for name in options.networks:
            work = (options.work or Path(scratch)) / name
            rows_of, sound_of = examine(name, work, options)
            rows += rows_of
            sound += sound_of
    right = sum(row["right"] for row in rows)
    print(f"{right} of {len(rows)} named; {sum(row['named'] for row in sound)} of {len(sound)} sound builds suspected")
    result = {"machine": machine.describe().cpu, "faults": rows, "sound": sound}
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    if options.printed:
        kept = json.loads(options.printed.read_text(encoding="utf-8"))
        kept["columns"], *kept["rows"] = table(rows)
        kept["says"] = summary(rows, sound)
        options.printed.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def examine(name: str, work: Path, options: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    artifact = export_zoo(name, work / "float")
    assert artifact.spec.evaluation is not None
    data = work / "data"
    writer = "write_carvana" if artifact.spec.evaluation.dataset == "carvana" else "write_cityscapes"
    if not data.exists():
        SCENES.load(writer)(data, 24, seed=11)
    dataset = DATASETS.load(artifact.spec.evaluation.dataset).open(data, "all")
    image = dataset.samples[0].image
    turned = work / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = _UPRIGHT_TAG
    Image.open(image).convert("RGB").save(turned, exif=exif, quality=95)
    larger = work / "larger.png"
    with Image.open(image) as opened:
        opened.convert("RGB").resize((opened.width * 3 // 2, opened.height * 3 // 2)).save(larger)
    array, _ = prepare_image(read_image(image), artifact.spec.preprocess)
    shape = InputShape((1,), *array.shape[1:])
    engines = {
        (backend, precision): build(
            artifact,
            work / f"{backend}_{precision}",
            BuildOptions(backend, precision, shape, QuantizeOptions(images=12)),
            data=data,
        )
        for backend in ("openvino", "onnxruntime")
        for precision in PRECISIONS
        if (backend, precision) != ("onnxruntime", "force_float16")
    }
    plan = prepare(artifact, work / "none", BuildOptions("onnxruntime", shape=shape))
    plan.write_graph(work / "graph.onnx")
    int8 = onnx.load(engines["onnxruntime", "qint8_mixed_float16"].file("model.onnx"))
    graph = onnx.load(work / "graph.onnx")
    base = planted_faults.Sound(artifact, graph, int8, plan.spec)
    reference = open_stage(artifact.folder, None, None, framework=options.reference == "framework")
    rows = []
    for kind in options.kinds:
        for place in range(options.places):
            rng = np.random.default_rng([place, len(kind), len(name)])
            try:
                planted = planted_faults.plant(kind, base, rng)
            except planted_faults.NotHere:
                break
            start = time.perf_counter()
            left = reference if planted.reference is None else as_stage(planted.reference, planted.spec)
            photo = {"network": image, "decode": turned}.get(planted.stage, larger)
            graph_of, spec = planted.graph, planted.spec
            if planted.stage != "network":  # the network is the sound one, for images of any size
                graph_of, spec = onnx.load(artifact.file("model.onnx")), spec.with_input(artifact.spec.input)
            findings = localise(left, as_stage(graph_of, spec), [photo])
            rows.append(row_of(name, kind, planted, findings, time.perf_counter() - start))
            print(rows[-1], flush=True)
            if planted.stage != "network":
                break  # a step has no places
    sound = []
    for (backend, precision), built in engines.items():
        stage = open_stage(built.folder, None, None)
        findings = localise(reference, stage, [image])
        share = findings.curve[-1].times_expected / TOLERATED[stage.stored]
        sound.append(
            {
                "network": name,
                "build": f"{backend} {short(precision)}",
                "named": findings.location is not None,
                "output_share_of_limit": share,
                "cause": str(findings.location),
            }
        )
        print(sound[-1], flush=True)
    return rows, sound


def as_stage(graph: onnx.ModelProto, spec: ModelSpec) -> ChainStage:
    return graph_stage("candidate", Path("candidate.onnx"), spec, graph, configure())


def row_of(name: str, kind: str, planted: Any, findings: Findings, seconds: float) -> dict[str, Any]:
    location = findings.location
    right = location is not None and location.stage == planted.stage and location.layer == planted.layer
    right = right and (not planted.node or (location is not None and location.node == planted.node))
    return {
        "network": name,
        "kind": kind,
        "planted": planted.layer or planted.node or planted.stage,
        "named": "nothing" if location is None else (location.layer or location.node or location.stage),
        "right": bool(right),
        "symptom": "" if location is None else location.symptom,
        "runs": findings.runs,
        "seconds": round(seconds, 2),
    }


def table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """The heading, and a row for each kind of fault: how many were named rightly in each network, and a symptom."""
    networks = list(dict.fromkeys(row["network"] for row in rows))
    lines = [["fault", *networks, "symptom, for one of them"]]
    for kind in dict.fromkeys(row["kind"] for row in rows):
        own = [row for row in rows if row["kind"] == kind]
        cells = []
        for name in networks:
            places = [row for row in own if row["network"] == name]
            cells.append(f"{sum(row['right'] for row in places)} of {len(places)}" if places else "–")
        example = next((row for row in own if row["right"]), own[0])
        lines.append([kind, *cells, f"`{example['named']}`: {example['symptom']}".replace("|", "/")])
    return lines


def summary(rows: list[dict[str, Any]], sound: list[dict[str, Any]]) -> str:
    """What stands above the table."""
    right = sum(row["right"] for row in rows)
    suspected = [f"{row['network']} {row['build']}" for row in sound if row["named"]]
    return (
        "Faults planted into three small networks; what is named has to be the very layer, node or step that was "
        f"changed. Named rightly: {right} of {len(rows)} ({right / len(rows):.0%}), in at most "
        f"{max(row['runs'] for row in rows)} runs of each network. Sound builds in float32, 16 bits and int8: "
        f"{len(sound)}; suspected of them: {', '.join(suspected) or 'none'}."
    )


if __name__ == "__main__":
    main()
