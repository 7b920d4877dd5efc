"""Whether the check after a build refuses planted faults, and what it allows sound builds: of the shipped networks.

    python benchmarks/build_check.py --images FOLDER --json build_check.json
    python benchmarks/build_check.py --images FOLDER --sound-only  # of all small networks

Faults are planted into the float graph and judged as if they were what an engine computes: on the test images for
float32 and 16 bits, on two photographs for int8, where weights and activations of the faulty graph are rounded to 8
bits. "int8 alone" is that; "int8" is what a build does, which has the engine compute the graph in float32 as well.
Sound builds are those of both engines.
A fault that changes no output of the graph, because it lies in the decoding, is left out of the count and listed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import densecast
from densecast import BuildOptions, build, export_zoo, read_image
from densecast.artifact.stored_answer import golden_feeds, noisy_feeds, relative_l2
from densecast.errors import ParityError
from densecast.graph import _rounded
from densecast.imaging.folder import images_in
from densecast.imaging.prepare import prepare
from densecast.io import codec
from densecast.runtime import machine
from densecast.spec.precision import Precision, short
from densecast.spec.preprocess import Stretch
from densecast.verbs.builder import build_check
from densecast.verbs.export.onnx_file import graph_runner

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import planted_faults

NETWORKS = ("unet_tiny", "ocrnet_hr18s_tiny", "deeplabv3_tiny")
SOUND = (*NETWORKS, "fcn_tiny", "hrnet_w32_ae_tiny", "mobilenetv2_ae_tiny", "smp")
SIZE_HW = (256, 384)
PRECISIONS: tuple[tuple[Precision, str], ...] = (
    ("force_float32", ""),
    ("force_float16", "bf16"),
    ("force_float16", "f16"),
    ("qint8_mixed_float16", ""),
)
OUTSIDE_THE_GRAPH = ("BGR for RGB", "mean and deviation off", "another resampling of images", "orientation tag ignored")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="a folder of photographs")
    parser.add_argument(
        "--networks", nargs="+", help=f"default: {' '.join(NETWORKS)}; {' '.join(SOUND)} if --sound-only"
    )
    parser.add_argument("--sound-only", action="store_true", help="sound builds only")
    parser.add_argument("--places", type=int, default=3)
    parser.add_argument("--skip-builds", action="store_true", help="planted faults only")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    faults: list[dict[str, Any]] = []
    sound: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.networks or (SOUND if options.sound_only else NETWORKS):
            artifact = exported(name, Path(scratch) / name)
            if not options.sound_only:
                faults += planted(artifact, options.images, options.places)
            if not options.skip_builds:
                sound += builds(artifact, Path(scratch), options.images)
    keys = [f"{short(precision)} {half_type}".strip() for precision, half_type in PRECISIONS]
    for key in () if options.sound_only else (*keys, "int8 alone"):
        judged = [each for each in faults if each["relative_l2"] > 0]
        passed = [f"{each['network']}: {each['kind']}" for each in judged if not each[key]]
        print(f"{key}: {len(judged) - len(passed)} of {len(judged)} faults are refused; passed: {passed or 'none'}")
    refused = [each for each in sound if not each["passed"]]
    print(f"{len(sound) - len(refused)} of {len(sound)} sound builds pass; refused: {refused or 'none'}")
    if options.json:
        told = {"machine": codec.to_plain(machine.describe()), "faults": faults, "sound": sound}
        options.json.write_text(json.dumps(told, indent=1))


def exported(name: str, out: Path) -> Any:
    """A zoo network, or for `smp` a UNet of segmentation_models_pytorch with random weights."""
    if name != "smp":
        return export_zoo(name, out)
    import torch
    import torchvision_on_cpu

    torchvision_on_cpu.prepare()
    import segmentation_models_pytorch as smp

    torch.manual_seed(0)
    return densecast.export(smp.Unet("resnet18", encoder_weights=None, classes=3), out, labels=3, preprocess="imagenet")


def planted(artifact: Any, images: Path, places: int) -> list[dict[str, Any]]:
    """Every kind of fault at so many places, and by which precisions it is refused."""
    graph = onnx.load(artifact.folder / "model.onnx")
    spec = artifact.spec.with_input(replace(artifact.spec.input, shape=(1, 3, *SIZE_HW)))
    rule = replace(spec.preprocess, resize=Stretch(SIZE_HW))
    photos = [prepare(read_image(path), rule)[0] for path in images_in(images)[:2]]
    test_images = [golden_feeds(spec), noisy_feeds(spec)]
    calibrated = [{spec.input.name: photo[None]} for photo in photos]
    right = graph_runner(graph.SerializeToString())
    rows = []
    for kind, plant in planted_faults.KINDS.items():
        for seed in range(places):
            if kind in OUTSIDE_THE_GRAPH or kind == "saturating int8 range":
                continue
            try:
                fault = plant(graph, spec, np.random.default_rng(seed))
            except planted_faults.NotHere:
                break
            if fault.reference is not None:
                break
            wrong = graph_runner(fault.graph.SerializeToString())
            rounded = _rounded.int8(fault.graph)
            assert rounded is not None, "the shipped networks have an opset above 10"
            coarse = graph_runner(rounded.SerializeToString())
            row: dict[str, Any] = {"network": spec.name, "kind": kind, "place": seed}
            row["relative_l2"] = max(
                relative_l2(next(iter(right(feeds).values())), next(iter(wrong(feeds).values())))
                for feeds in (*test_images, *calibrated)
            )
            for precision, half_type in PRECISIONS:
                is_int8 = precision == "qint8_mixed_float16"
                engine, feeds_of = (coarse, calibrated) if is_int8 else (wrong, test_images)
                pairs = [(feeds, list(engine(feeds).values())) for feeds in feeds_of]
                try:
                    build_check.check(artifact.folder / "model.onnx", spec, pairs, precision, "engine", half_type)
                    row[f"{short(precision)} {half_type}".strip()] = False
                except ParityError:
                    row[f"{short(precision)} {half_type}".strip()] = True
            row["int8 alone"] = row["int8"]
            row["int8"] = row["int8 alone"] or row["fp32"]
            rows.append(row)
    return rows


def builds(artifact: Any, scratch: Path, images: Path) -> list[dict[str, Any]]:
    """Whether sound builds of both engines pass."""
    rows = []
    for backend in ("openvino", "onnxruntime"):
        for precision, half_type in PRECISIONS:
            if backend == "onnxruntime" and half_type == "bf16":
                continue
            options = BuildOptions(backend, precision)  # open sizes: photographs have any aspect
            if half_type and backend == "openvino":
                options = replace(options, half_type="bf16" if half_type == "bf16" else "f16")
            data = images if precision == "qint8_mixed_float16" else None
            try:
                build(artifact, scratch / "built", options, data=data)
                passed = True
            except ParityError:
                passed = False
            row = {"network": artifact.spec.name, "backend": backend, "precision": precision, "half_type": half_type}
            rows.append(row | {"passed": passed})
            print(rows[-1], flush=True)
    return rows


if __name__ == "__main__":
    main()
