"""Networks built from MMSegmentation's configurations: labels that precisions change, speed, and what takes the time.

One network of each of five families by name - SegFormer-B0, DeepLabV3+ and PSPNet on ResNet-50, BiSeNetV2, Fast-SCNN -
and any of the original's configuration files (`stdc/stdc1_512x1024_80k_cityscapes.py` with --configs FOLDER), at
--size. Published weights are out of reach, so weights are by chance, with the statistics of batch normalisation taken
from the photographs and its shifts 1. Such networks make noise grow; `noise_growth` tells how far. The classes are 19
clusters of what the network makes of the photographs: pixels between clusters are decided by little, and change more
easily than a trained network's. Labels are compared with ONNX Runtime's in float32. A build that its own check refuses
is told with the reason. Speed is inference alone, input ready, threads alike, repetitions interleaved: a ratio is the
median of the rounds', beside their quartiles. With --profile, the roofline of each OpenVINO build, by kinds of
operators: their share of the time, and how near they come to what this machine reaches (`benchmark --layers`).

With --work FOLDER builds are kept there and taken from there, so that building (--repetitions 0) and measuring can be
two runs, each for a few networks. CPU time, kept beside the time, is what other programs on the machine change least.
--json FILE keeps what it holds of other networks, and of labels where only speed is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from densecast import BuildOptions, ExportOptions, InputShape, Pipeline, QuantizeOptions, build, export
from densecast.artifact import CompiledArtifact, FloatArtifact
from densecast.errors import DensecastError
from densecast.imaging import folder as image_files
from densecast.imaging.prepare import prepare
from densecast.imaging.read import read_image
from densecast.io import codec, config_files, files
from densecast.networks import openmmlab
from densecast.report.markdown import table
from densecast.runtime import execution, machine
from densecast.runtime.roofline import LayerCost
from densecast.spec.precision import Precision, short
from densecast.spec.preprocess import Preprocess, Stretch
from densecast.spec.tensor import Feeds
from densecast.verbs.benchmark_layers import profile_of
from densecast.verbs.export.openmmlab import recipe

CLASSES = 19
# What operators are told by, in the names of the graph's nodes that they stand for.
PARTS = {"Softmax": "attention", "Erf": "GELU", "LayerNormalization": "layer normalisation", "Resize": "resizing"}
CASES: tuple[tuple[str, Precision], ...] = (
    ("onnxruntime", "force_float32"),
    ("openvino", "force_float32"),
    ("openvino", "force_float16"),
    ("openvino", "qint8_mixed_float16"),
    ("onnxruntime", "qint8_mixed_float16"),
)
BASE = "onnxruntime fp32"
_BN = {"type": "SyncBN", "requires_grad": True}
_RESNET: dict[str, Any] = {
    "type": "ResNetV1c",
    "depth": 50,
    "num_stages": 4,
    "out_indices": (0, 1, 2, 3),
    "dilations": (1, 1, 2, 4),
    "strides": (1, 2, 1, 1),
    "norm_cfg": _BN,
    "contract_dilation": True,
}


def _head(kind: str, width: Any, channels: int, **others: Any) -> dict[str, Any]:
    plain = {"type": kind, "in_channels": width, "channels": channels, "num_classes": CLASSES, "norm_cfg": _BN}
    return {**plain, "align_corners": False, **others}


# The models of the original's own configuration files, without what only training reads.
NETWORKS: dict[str, dict[str, Any]] = {
    "segformer_mit_b0": {
        "backbone": {
            "type": "MixVisionTransformer",
            "embed_dims": 32,
            "num_layers": [2, 2, 2, 2],
            "num_heads": [1, 2, 5, 8],
            "sr_ratios": [8, 4, 2, 1],
            "mlp_ratio": 4,
        },
        "decode_head": _head("SegformerHead", [32, 64, 160, 256], 256, in_index=[0, 1, 2, 3]),
    },
    "deeplabv3plus_r50": {
        "backbone": _RESNET,
        "decode_head": _head(
            "DepthwiseSeparableASPPHead", 2048, 512, in_index=3, dilations=(1, 12, 24, 36), c1_in_channels=256,
            c1_channels=48,
        ),
    },
    "pspnet_r50": {
        "backbone": _RESNET,
        "decode_head": _head("PSPHead", 2048, 512, in_index=3, pool_scales=(1, 2, 3, 6)),
    },
    "bisenetv2": {
        "backbone": {
            "type": "BiSeNetV2",
            "detail_channels": (64, 64, 128),
            "semantic_channels": (16, 32, 64, 128),
            "semantic_expansion_ratio": 6,
            "bga_channels": 128,
            "out_indices": (0, 1, 2, 3, 4),
        },
        "decode_head": _head("FCNHead", 128, 1024, in_index=0, num_convs=1, concat_input=False),
    },
    "fast_scnn": {
        "backbone": {
            "type": "FastSCNN",
            "downsample_dw_channels": (32, 48),
            "global_in_channels": 64,
            "global_block_channels": (64, 96, 128),
            "global_block_strides": (2, 2, 1),
            "global_out_channels": 128,
            "higher_in_channels": 64,
            "lower_in_channels": 128,
            "fusion_out_channels": 128,
            "out_indices": (0, 1, 2),
            "norm_cfg": _BN,
        },
        "decode_head": _head("DepthwiseSeparableFCNHead", 128, 128, in_index=-1, concat_input=False),
    },
}  # fmt: skip


def network_of(name: str, inputs: list[np.ndarray], configs: Path | None, height: int) -> nn.Module:
    """The network with weights by chance, and batch normalisation by the statistics of the photographs."""
    torch.manual_seed(0)
    if name in NETWORKS:
        table: Any = {"type": "EncoderDecoder", **NETWORKS[name]}
    else:
        table = with_classes(recipe.read(config_files.read(Path(configs or ".") / name)).network)
    network = openmmlab.build(openmmlab.Options.of(table))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # as they are, not a moving mean
            nn.init.constant_(module.bias, 1.0)
    network.train()
    with torch.no_grad():  # all in one batch: of one picture, what is pooled to a pixel does not vary
        network(torch.cat([at_most(torch.from_numpy(each[None]), height) for each in inputs]))
    network.eval()
    classify_by_clusters(network, inputs, height)
    return network


def with_classes(value: Any) -> Any:
    """A network's table with as many classes as there are clusters."""
    if isinstance(value, dict):
        return {key: CLASSES if key == "num_classes" else with_classes(each) for key, each in value.items()}
    return [with_classes(each) for each in value] if isinstance(value, (list, tuple)) else value


def at_most(image: torch.Tensor, height: int) -> torch.Tensor:
    """An image no higher than that, as large maps of all photographs take long."""
    height = min(height, image.shape[2])
    return nn.functional.interpolate(image, size=(height, height * image.shape[3] // image.shape[2]), mode="bilinear")


def classify_by_clusters(network: Any, inputs: list[np.ndarray], height: int, sampled: int = 400) -> None:
    """Make the last convolution tell which of 19 centres of its own input on the photographs a pixel is nearest to."""
    head = network.decode_head
    last, seen = (head[-1] if isinstance(head, nn.ModuleList) else head).conv_seg, []
    hook = last.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for each in inputs:
            network(at_most(torch.from_numpy(each[None]), height))
        hook.remove()
        pixels = [maps.flatten(2)[0].T for maps in seen]
        pixels = [each[torch.randperm(len(each), generator=generator)[:sampled]] for each in pixels]
        features = torch.cat(pixels)
        centres = features[torch.randperm(len(features), generator=generator)[:CLASSES]]
        for _ in range(20):
            nearest = torch.cdist(features, centres).argmin(dim=1)
            for index in range(CLASSES):
                if (nearest == index).any():
                    centres[index] = features[nearest == index].mean(dim=0)
        # The nearest centre has the largest 2 x c - c c. What all centres share adds the same to every class; it is
        # left out, so that logits differ by as much as they are large, as a trained network's do.
        shared = centres.mean(dim=0)
        last.weight.copy_(2 * (centres - shared)[:, :, None, None])
        last.bias.copy_((shared**2).sum() - (centres**2).sum(dim=1))


def built_cases(
    exported: FloatArtifact,
    photos: Path,
    where: Path,
    quantize: QuantizeOptions,
    size_hw: tuple[int, int],
    arguments: argparse.Namespace,
) -> dict[str, CompiledArtifact | str]:
    """Every case's artifact, or in words why there is none; but for cases that are left out."""
    made: dict[str, CompiledArtifact | str] = {}
    for backend, precision in CASES:
        name = f"{backend} {short(precision)}"
        if name in arguments.without:
            continue
        folder = where / name.replace(" ", "_")
        refused = where / f"{folder.name}.refused"
        if folder.is_dir() or refused.is_file():
            made[name] = refused.read_text() if refused.is_file() else CompiledArtifact.open(folder)
            continue
        options = BuildOptions(
            backend,
            precision,
            InputShape(height=size_hw[0], width=size_hw[1]),
            # ONNX Runtime corrects no biases.
            quantize if backend == "openvino" else replace(quantize, bias_correction="auto"),
            half_type=arguments.half_type if backend == "openvino" else "auto",
        )
        try:
            made[name] = build(exported, folder, options, data=photos)
        except DensecastError as error:
            made[name] = str(error)
            refused.write_text(str(error))
    return made


def changed_labels(pipelines: dict[str, Pipeline], inputs: list[np.ndarray]) -> dict[str, float]:
    """The share of pixels, at the logits' own size, whose label is not ONNX Runtime's in float32."""
    different: Counter[str] = Counter()
    total = 0
    for image in inputs:
        labels = {}
        for name, pipeline in pipelines.items():
            outputs = pipeline.session.forward({"image": image[None]})
            labels[name] = next(iter(outputs.values())).argmax(axis=1)
        total += labels[BASE].size
        for name, each in labels.items():
            different[name] += int((each != labels[BASE]).sum())
    return {name: different[name] / total for name in pipelines}


def noise_growth(pipeline: Pipeline, image: np.ndarray, share: float = 1 / 256) -> float:
    """How many times as large noise of the input is in the logits, both as shares of the values' deviation.

    Weights by chance make noise grow where trained ones damp it; what growing does to labels no precision can help.
    """
    noise = np.random.default_rng(0).standard_normal(image.shape, dtype=np.float32) * image.std() * share
    plain, noisy = (
        next(iter(pipeline.session.forward({"image": each[None]}).values())) for each in (image, image + noise)
    )
    return float((noisy - plain).std() / plain.std() / share)


def times_ms(
    pipelines: dict[str, Pipeline], repetitions: int, size_hw: tuple[int, int]
) -> dict[str, list[tuple[float, float]]]:
    """Inference alone and its CPU time, one case after the other in every round; the first round warms up."""
    feed: Feeds = {"image": np.random.default_rng(0).standard_normal((1, 3, *size_hw), dtype=np.float32)}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in pipelines}
    for repetition in range(repetitions + 1):
        for name, pipeline in pipelines.items():
            time.sleep(0.02)  # an engine's threads may wait awhile for more to do, in another's time
            with pipeline.session.lease() as slot:
                start = np.array((time.perf_counter_ns(), time.process_time_ns()))
                slot.run(feed)
                elapsed_ms = (np.array((time.perf_counter_ns(), time.process_time_ns())) - start) / 1e6
            if repetition:
                taken[name].append((float(elapsed_ms[0]), float(elapsed_ms[1])))
    return taken


def profile(pipeline: Pipeline, size_hw: tuple[int, int], runs: int = 5, kept: int = 7) -> dict[str, Any]:
    """Where an OpenVINO build's time goes, by kinds of operators, and how near each comes to the machine's roofline."""
    feed: Feeds = {"image": np.random.default_rng(0).standard_normal((1, 3, *size_hw), dtype=np.float32)}
    found = profile_of(pipeline)(execution.configure("latency", machine.usable_cpus()), feed, runs)
    groups: dict[str, list[LayerCost]] = {}
    for layer in found.layers:
        parts = [word for part, word in PARTS.items() if any(part in node for node in layer.nodes)]
        kind = layer.kind
        if "Convolution" in kind:
            shown = {"1x1": "1x1 convolution", "_dw": "depthwise convolution"}
            kind = next((words for mark, words in shown.items() if mark in layer.kernel), "convolution")
        groups.setdefault(f"{kind}{f' ({parts[0]})' if parts else ''}, {layer.type}", []).append(layer)
    whole = found.timed_ms
    rows = []
    for name, layers in sorted(groups.items(), key=lambda item: -sum(each.ms for each in item[1]))[:kept]:
        spent, least = sum(each.ms for each in layers), sum(each.least_ms(found.peaks) for each in layers)
        by_memory = sum(each.least_ms(found.peaks) for each in layers if each.bound(found.peaks) == "memory")
        macs = sum(each.macs for each in layers)
        peak = found.peaks.macs_per_s.get(layers[0].type, 0.0)
        rows.append({
            "operators": name,
            "count": len(layers),
            "ms": spent,
            "share_of_time": spent / whole,
            "gmacs": macs / 1e9,
            "share_of_peak_macs": macs / (spent / 1e3) / peak if peak else 0.0,
            "share_of_roofline": least / spent,
            "bound": "memory" if 2 * by_memory > least else "arithmetic",
        })  # fmt: skip
    return {
        "inference_ms": found.inference_ms,
        "timed_ms": whole,
        "least_ms": found.least_ms,
        "gmacs": found.macs / 1e9,
        "peak_gmacs_per_s": {name: rate / 1e9 for name, rate in found.peaks.macs_per_s.items()},
        "peak_gbytes_per_s": found.peaks.bytes_per_s / 1e9,
        "kinds": rows,
    }


def measure(name: str, photos: Path, arguments: argparse.Namespace, where: Path) -> dict[str, Any]:
    """Everything of one network."""
    size_hw: tuple[int, int] = arguments.size
    preprocess = Preprocess(
        Stretch(size_hw), "bilinear_opencv", "RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), use_exif=True
    )
    paths = image_files.images_in(photos)
    paths = paths[:: max(1, len(paths) // arguments.images)][: arguments.images]
    inputs = [np.asarray(prepare(read_image(path, use_exif=True), preprocess)[0]) for path in paths]
    labels = [f"class_{index}" for index in range(CLASSES)]
    options = ExportOptions(size_hw=size_hw, batch=1)  # two images at once would be proven, too
    if (where / "float").is_dir():
        exported = FloatArtifact.open(where / "float")
    else:
        network = network_of(name, inputs, arguments.configs, arguments.statistics_height)
        exported = export(network, where / "float", labels=labels, preprocess=preprocess, options=options)
    quantize = QuantizeOptions(split="all", images=len(paths), calibration_method=arguments.calibration)
    quantize = quantize if arguments.calibration == "auto" else replace(quantize, bias_correction="fast")
    made = built_cases(exported, photos, where, quantize, size_hw, arguments)
    opened = {case: Pipeline.open(each) for case, each in made.items() if not isinstance(each, str)}
    changed = changed_labels(opened, inputs) if not arguments.only_speed else {}
    taken = times_ms(opened, arguments.repetitions, size_hw) if arguments.repetitions else {}
    found: dict[str, Any] = {}
    for case, each in made.items():
        if isinstance(each, str):
            found[case] = {"fails": each}
            continue
        found[case] = {"ran": str(opened[case].precision)}
        if changed:
            found[case]["changed_labels"] = changed[case]
        if changed and case == BASE:
            found[case]["noise_growth"] = noise_growth(opened[case], inputs[0])
        if taken:
            ratios = np.asarray(taken[BASE]) / np.asarray(taken[case])
            (low, low_cpu), (middle, middle_cpu), (high, high_cpu) = np.percentile(ratios, (25, 50, 75), axis=0)
            found[case] |= {
                "median_ms": float(np.median(taken[case], axis=0)[0]),
                "times_faster": float(middle),
                "quartiles": [float(low), float(high)],
                "cpu_ms": float(np.median(taken[case], axis=0)[1]),
                "times_less_cpu": float(middle_cpu),
                "cpu_quartiles": [float(low_cpu), float(high_cpu)],
                "rounds": len(taken[case]),
            }
        if arguments.profile and case.startswith("openvino"):
            found[case]["profile"] = profile(opened[case], size_hw)
    return found


def size_hw_of(text: str) -> tuple[int, int]:
    """Height and width, as 512x1024."""
    height, width = (int(side) for side in text.split("x"))
    return height, width


def gathered(root: Path, where: Path) -> Path:
    """One folder of links to all photographs below a root."""
    where.mkdir()
    for index, path in enumerate(sorted(root.rglob("*"))):
        is_photo = path.suffix == ".jpg" or path.name.endswith("_leftImg8bit.png")
        if is_photo and "mask" not in path.as_posix():
            (where / f"{index:05}{path.suffix}").symlink_to(path.resolve())
    return where


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), metavar="NETWORK", help=", ".join(NETWORKS))
    parser.add_argument("--photos", type=Path, default=os.environ.get("DENSECAST_TEST_DATA"))
    parser.add_argument("--repetitions", type=int, default=7, help="0: labels alone")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--images", type=int, default=21, help="photographs that calibrate and are compared")
    parser.add_argument("--calibration", default="auto", help="another than auto takes less time, such as minmax")
    parser.add_argument("--only-speed", action="store_true", help="labels are not compared")
    parser.add_argument("--work", type=Path, help="where builds are kept")
    parser.add_argument("--size", type=size_hw_of, default=(512, 1024), metavar="HxW")
    parser.add_argument("--without", action="append", default=[], metavar="CASE", help="such as 'openvino fp32'")
    parser.add_argument("--half-type", default="auto", choices=["auto", "bf16", "f16"], help="auto times both")
    parser.add_argument("--statistics-height", type=int, default=256, help="of photographs that statistics are of")
    parser.add_argument("--configs", type=Path, help="the folder that configuration files are named from")
    arguments = parser.parse_args()
    if arguments.photos is None:
        parser.error("say where photographs are: --photos FOLDER")
    known = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.is_file() else {}
    found: dict[str, Any] = known.get("networks", {})
    rows = []
    for name in arguments.networks:
        with tempfile.TemporaryDirectory() as folder:
            photos = gathered(Path(arguments.photos), Path(folder) / "photos")
            work = (arguments.work or Path(folder)) / name.removesuffix(".py").replace("/", "_")
            work.mkdir(parents=True, exist_ok=True)
            for case, each in measure(name, photos, arguments, work).items():
                before = {} if "fails" in each else found.get(name, {}).get(case, {})
                found.setdefault(name, {})[case] = {key: before[key] for key in before if key != "fails"} | each
        for case, each in found[name].items():
            speed = [f"{each[key]:.{digits}f}" if key in each else "" for key, digits in
                     (("median_ms", 0), ("times_faster", 1))]  # fmt: skip
            share = f"{each['changed_labels']:.2%}" if "changed_labels" in each else each.get("fails", "")[:80]
            rows.append([name, case, each.get("ran", ""), share, *speed])
            for part in each.get("profile", {}).get("kinds", ()):
                print(
                    f"{name} {case}: {part['share_of_time']:5.1%} {part['operators']}, {part['share_of_roofline']:.0%}"
                )
        print(f"{name} done", flush=True)
        if arguments.json:
            here = codec.to_plain(machine.describe())
            files.write_text(
                arguments.json, codec.json_text({"machine": here, "size_hw": arguments.size, "networks": found})
            )
    heads = ["network", "case", "ran", "labels changed", "median ms", "times ONNX Runtime fp32"]
    print(table(heads, rows, "<<<>>>"))


if __name__ == "__main__":
    main()
