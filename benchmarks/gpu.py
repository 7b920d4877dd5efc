"""Segmentation on a GPU with PyTorch, in five minutes, on a machine that has torch and numpy and nothing else.

    PYTHONPATH=src python benchmarks/gpu.py --json gpu.json
    PYTHONPATH=src python benchmarks/gpu.py --device cpu --model unet_tiny --seconds 5      # a stand-in without a GPU

Every network runs eagerly in float32 and channels first, which is what a user's own loop does, and then channels last
in float32, float16 and bfloat16, in a CUDA graph, and compiled. The pipeline is always the same: bytes of an image are
copied to the device, normalised there, go through the network, are resized to the image and become labels; labels come
back as bytes. Copying back and what the host does with labels run beside the next image's inference: *in turn* is one
image after another, *overlapped* is that. Labels are compared with those of float32 on the CPU, at the pixels whose two
best logits are more than a thousandth apart. Networks without shipped weights have random ones: speed does not depend
on them, and their labels say nothing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from densecast.networks._base import NETWORKS
from densecast.networks._outputs import named_outputs
from densecast.zoo import weights
from densecast.zoo._base import ZOO

# Image and network input, (height, width), as the references use them.
SIZES = {
    "unet_tiny": ((320, 479), (320, 479)),
    "fcn_tiny": ((256, 512), (256, 512)),
    "unet_carvana": ((1280, 1918), (640, 959)),
    "fcn_r50_d8_voc": ((500, 500), (512, 512)),
    "ocrnet_hr18": ((1024, 2048), (1024, 2048)),
    "deeplabv3_r101_d16_mg124": ((1024, 2048), (1024, 2048)),
}
MARGIN = 1e-3
IMAGES, WARM_UP, LEAST_RUNS = 4, 3, 5
STAGES = ("upload and normalise", "network", "labels")


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run a network."""

    name: str
    type: torch.dtype = torch.float32
    channels_last: bool = True
    graph: bool = False
    compiled: bool = False


VARIANTS = (
    Variant("eager float32", channels_last=False),
    Variant("channels last float32"),
    Variant("channels last float16", torch.float16),
    Variant("channels last bfloat16", torch.bfloat16),
    Variant("CUDA graph float16", torch.float16, graph=True),
    Variant("CUDA graph bfloat16", torch.bfloat16, graph=True),
    Variant("compiled float16", torch.float16, compiled=True),
)


class OnDevice:
    """A network in one variant, from bytes of an image on the host to labels on the device."""

    def __init__(self, model: str, variant: Variant, device: torch.device) -> None:
        preprocess = ZOO.load(model).spec.preprocess
        self.image_hw, self.model_hw = SIZES[model]
        self.variant, self.device, self.is_cuda = variant, device, device.type == "cuda"
        layout = torch.channels_last if variant.channels_last else torch.contiguous_format
        # As a copy of its own: another variant has another type.
        self.network: Any = loaded(model).to(device, variant.type).to(memory_format=layout)
        if variant.compiled:
            self.network = torch.compile(self.network, mode="max-autotune-no-cudagraphs" if self.is_cuda else "default")
        self.layout = layout
        scale, mean, std = (torch.tensor(each) for each in (preprocess.divisor, preprocess.mean, preprocess.std))
        self.factor = (1 / (scale * std)).view(1, 3, 1, 1).to(device)
        self.shift = (mean / std).view(1, 3, 1, 1).to(device)
        self.input = torch.zeros((1, 3, *self.model_hw), dtype=variant.type, device=device)
        self.input = self.input.to(memory_format=layout)
        self.forward: Callable[[], torch.Tensor] = self._graphed() if variant.graph else self._run

    def upload(self, image: torch.Tensor) -> None:
        """(H, W, 3) bytes on the host -> the network's normalised input on the device."""
        planes = image.to(self.device, non_blocking=True).permute(2, 0, 1)[None].float()
        if self.image_hw != self.model_hw:
            planes = functional.interpolate(planes, self.model_hw, mode="bilinear", antialias=True)
        self.input.copy_(planes * self.factor - self.shift)

    def logits(self) -> torch.Tensor:
        """The network's output for the input that was uploaded last."""
        return self.forward()

    def labels(self, logits: torch.Tensor) -> torch.Tensor:
        """(H, W) bytes on the device."""
        resized = functional.interpolate(logits.float(), self.image_hw, mode="bilinear")
        return resized.argmax(1)[0].to(torch.uint8)

    def _run(self) -> torch.Tensor:
        return next(iter(named_outputs(self.network(self.input)).values()))

    def _graphed(self) -> Callable[[], torch.Tensor]:
        """The network as one CUDA graph, recorded after a warm-up on a stream of its own."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._run()
        torch.cuda.current_stream().wait_stream(stream)
        recorded = torch.cuda.CUDAGraph()
        with torch.cuda.graph(recorded):
            output = self._run()

        def replay() -> torch.Tensor:
            recorded.replay()
            return output

        return replay


def loaded(model: str) -> torch.nn.Module:
    """The network with its shipped weights, else with random ones, in evaluation mode."""
    entry = ZOO.load(model)
    assert entry.network is not None
    plugin = NETWORKS.load(entry.network)
    torch.manual_seed(0)
    network = plugin.build(plugin.options_type(**entry.options))
    if entry.checkpoint.shipped:
        network.load_state_dict(read_safetensors(Path(weights.__path__[0]) / entry.checkpoint.file))
    return network.eval()


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a file: a length, JSON with types, shapes and places, and then the values."""
    kinds = {"F32": np.float32, "F16": np.float16, "I64": np.int64}
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    found = {}
    for name, words in json.loads(raw[8 : 8 + length]).items():
        if name != "__metadata__":
            begin, end = (8 + length + place for place in words["data_offsets"])
            values = np.frombuffer(raw[begin:end], kinds[words["dtype"]]).reshape(words["shape"])
            found[name] = torch.from_numpy(values.copy())
    return found


def images(model: str, *, pinned: bool) -> list[torch.Tensor]:
    """(H, W, 3) bytes of smooth shapes in noise: of no data set, the same every time."""
    height, width = SIZES[model][0]
    rng = np.random.default_rng(3)
    found = []
    for _ in range(IMAGES):
        coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 6, 8)).astype(np.float32))
        smooth = functional.interpolate(coarse, (height, width), mode="bicubic")[0].permute(1, 2, 0)
        image = (smooth + torch.from_numpy(rng.normal(0, 8, (height, width, 3)).astype(np.float32))).clamp(0, 255)
        found.append(image.to(torch.uint8).contiguous().pin_memory() if pinned else image.to(torch.uint8).contiguous())
    return found


def reference(model: str) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Labels of float32 on the CPU, and where they are sure: the best logit is further than `MARGIN` from the next."""
    exact = OnDevice(model, VARIANTS[0], torch.device("cpu"))
    labels, sure = [], []
    for image in images(model, pinned=False):
        exact.upload(image)
        logits = functional.interpolate(exact.logits().float(), exact.image_hw, mode="bilinear")
        best = logits.topk(2, dim=1).values[0]
        labels.append(logits.argmax(1)[0].to(torch.uint8))
        sure.append(best[0] - best[1] > MARGIN)
    return labels, sure


def measure(model: str, variant: Variant, device: torch.device, expected: Any, seconds: float) -> dict[str, Any]:
    """One variant's stages, images a second in turn and overlapped, and the share of labels that are the CPU's."""
    begun = time.perf_counter()
    ready, files = OnDevice(model, variant, device), images(model, pinned=device.type == "cuda")
    for _ in range(WARM_UP):
        _in_turn(ready, files)
    labels, sure = expected
    same = [
        float((_one(ready, image)[0] == label)[place].float().mean())
        for image, label, place in zip(files, labels, sure, strict=True)
    ]
    prepared_s = time.perf_counter() - begun
    rates: dict[str, list[float]] = {"in turn": [], "overlapped": []}
    stages: list[tuple[float, ...]] = []
    begun, rounds = time.perf_counter(), 0
    while rounds < LEAST_RUNS or time.perf_counter() - begun < seconds:
        for name, way in (("in turn", _in_turn), ("overlapped", _overlapped)):
            start = time.perf_counter()
            way(ready, files)
            rates[name].append(len(files) / (time.perf_counter() - start))
        stages.append(_one(ready, files[0])[1])
        rounds += 1
    memory = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else None
    return {
        "images_per_s": {name: statistics.median(values) for name, values in rates.items()},
        "rounds_images_per_s": rates,
        "stages_ms": {
            name: statistics.median(each) for name, each in zip(STAGES, zip(*stages, strict=True), strict=True)
        },
        "labels_as_cpu": min(same),
        "prepared_s": prepared_s,
        "peak_device_mb": memory,
    }


def _one(ready: OnDevice, image: torch.Tensor) -> tuple[torch.Tensor, tuple[float, ...]]:
    """One image's labels on the host, and the milliseconds of its stages, with a wait after each."""
    with torch.inference_mode():
        marks = [_now(ready)]
        ready.upload(image)
        marks.append(_now(ready))
        logits = ready.logits()
        marks.append(_now(ready))
        labels = ready.labels(logits).cpu()
        marks.append(_now(ready))
    return labels, tuple(1e3 * (end - begin) for begin, end in itertools.pairwise(marks))


def _now(ready: OnDevice) -> float:
    if ready.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter()


def _in_turn(ready: OnDevice, files: list[torch.Tensor]) -> list[torch.Tensor]:
    """Each image to its labels on the host before the next one begins."""
    with torch.inference_mode():
        found = []
        for image in files:
            ready.upload(image)
            found.append(ready.labels(ready.logits()).cpu())
        return found


def _overlapped(ready: OnDevice, files: list[torch.Tensor]) -> list[torch.Tensor]:
    """Labels are copied on a stream of their own while the next image is in the network."""
    if not ready.is_cuda:
        return _in_turn(ready, files)
    found, copying = [], torch.cuda.Stream()
    with torch.inference_mode():
        for image in files:
            ready.upload(image)
            labels = ready.labels(ready.logits())
            copying.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(copying):
                host = torch.empty(labels.shape, dtype=labels.dtype, pin_memory=True)
                host.copy_(labels, non_blocking=True)
                labels.record_stream(copying)
                found.append(host)
        copying.synchronize()
    return found


def run(models: list[str], device: torch.device, seconds: float, limit_s: float, *, compiled: bool) -> dict[str, Any]:
    """All variants of all networks, until the time is over: what was left out says so."""
    begun, found = time.perf_counter(), dict[str, Any]()
    for model in models:
        expected = reference(model)
        found[model] = ways = dict[str, Any]()
        for variant in VARIANTS:
            if variant.graph and device.type != "cuda":
                ways[variant.name] = {"left_out": "no CUDA"}
            elif variant.compiled and not compiled:
                ways[variant.name] = {"left_out": "not asked for"}
            elif time.perf_counter() - begun > limit_s:
                ways[variant.name] = {"left_out": f"after {limit_s:g} s"}
            else:
                ways[variant.name] = measure(model, variant, device, expected, seconds)
                _print(model, variant.name, ways)
    return found


def _print(model: str, name: str, ways: dict[str, Any]) -> None:
    way, eager = ways[name], ways[VARIANTS[0].name]["images_per_s"]["in turn"]
    stages = ", ".join(f"{stage} {ms:.2f} ms" for stage, ms in way["stages_ms"].items())
    rate = way["images_per_s"]["overlapped"]
    print(
        f"{model}: {name}: {rate:.1f} images/s, {rate / eager:.2f} times eager in turn; {stages}; "
        f"labels as on the CPU {way['labels_as_cpu']:.4%}",
        flush=True,
    )


def main() -> None:
    """Measure, print lines, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--seconds", type=float, default=2.0, help="of rounds for each variant")
    parser.add_argument("--limit", type=float, default=240.0, help="begin no variant after so many seconds")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out, which takes longest")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no CUDA device here: --device cpu is a stand-in that tests the program alone")
    device = torch.device(chosen.device)
    torch.backends.cudnn.benchmark = True
    found = run(chosen.model, device, chosen.seconds, chosen.limit, compiled=not chosen.no_compile)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU stand-in"
    if chosen.json:
        facts = {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda, "cpus": os.cpu_count()}
        chosen.json.write_text(json.dumps({"machine": facts, "models": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
