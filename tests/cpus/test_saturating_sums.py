"""Int8 sums of CPUs without VNNI are emulated exactly; what a model would lose there is told beforehand."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts
import tiny_graphs
from command_line import densecast, failed
from made_images import carvana

from densecast.artifact import Artifact
from densecast.backends._saturating_sums import Slides, convolution
from densecast.runtime import machine
from densecast.spec.options import BuildOptions, InputShape, QuantizeOptions
from densecast.verbs.builder import build

SHAPE = InputShape((1,), 24, 32)
QUICK = QuantizeOptions(images=6, calibration_method="mean_minmax", bias_correction="none")


def one_by_one(activations: np.ndarray, weights: np.ndarray, slides: Slides, zero: int, groups: int) -> np.ndarray:
    """The same with whole numbers of Python, product by product."""
    height, width = activations.shape[2:]
    outputs, own, kernel_h, kernel_w = weights.shape
    rows, cols = (
        (side + before + after - dilation * (kernel - 1) - 1) // stride + 1
        for side, before, after, dilation, kernel, stride in zip(
            (height, width), slides.pads_begin, slides.pads_end, slides.dilations, (kernel_h, kernel_w), slides.strides,
            strict=True,
        )
    )  # fmt: skip
    result = np.zeros((1, outputs, rows, cols))
    for output, row, col in itertools.product(range(outputs), range(rows), range(cols)):
        first, total = output // (outputs // groups) * own, 0
        for y, x in itertools.product(range(kernel_h), range(kernel_w)):
            at_y = row * slides.strides[0] + y * slides.dilations[0] - slides.pads_begin[0]
            at_x = col * slides.strides[1] + x * slides.dilations[1] - slides.pads_begin[1]
            inside = 0 <= at_y < height and 0 <= at_x < width
            products = []
            for channel in range(own):
                value = int(activations[0, first + channel, at_y, at_x]) if inside else zero
                products.append(value * int(weights[output, channel, y, x]))
                total -= zero * int(weights[output, channel, y, x])
            for pair in range(0, own, 2):
                total += max(-32768, min(32767, sum(products[pair : pair + 2])))
        result[0, output, row, col] = total
    return result


@pytest.mark.parametrize(
    ("channels", "outputs", "groups", "zero", "slides"),
    [
        (4, 3, 1, 0, Slides()),
        (3, 2, 1, 128, Slides(pads_begin=(1, 1), pads_end=(1, 1))),
        (5, 2, 1, 77, Slides((2, 2), (1, 0), (0, 1))),
        (8, 4, 2, 0, Slides(dilations=(2, 1))),
        (4, 4, 4, 9, Slides(pads_begin=(1, 1), pads_end=(1, 1))),
    ],
)
def test_sums_are_those_of_each_pair_clipped_to_16_bits(
    channels: int, outputs: int, groups: int, zero: int, slides: Slides
) -> None:
    random = np.random.default_rng(channels)
    activations = random.integers(0, 256, (1, channels, 6, 7))
    weights = random.integers(-127, 128, (outputs, channels // groups, 3, 2)).astype(np.int8)
    found = convolution(activations, weights, slides, zero=zero, groups=groups)
    np.testing.assert_array_equal(found, one_by_one(activations, weights, slides, zero, groups))
    plain = convolution(activations, weights, slides, zero=zero, groups=groups, saturates=False)
    assert (found != plain).any() == (channels > groups)


def test_weights_of_7_bits_give_the_plain_sums() -> None:
    random = np.random.default_rng(0)
    activations = np.full((1, 6, 5, 5), 255)
    weights = random.integers(-64, 65, (4, 6, 3, 3)).astype(np.int8)
    both = (convolution(activations, weights, saturates=saturates) for saturates in (True, False))
    np.testing.assert_array_equal(*both)


def test_what_cannot_be_predicted_or_need_not_be_is_said(tmp_path: Path) -> None:
    source = tiny_artifacts.exported(tmp_path)
    built = build(source, tmp_path / "fp32", BuildOptions("onnxruntime", shape=SHAPE)).folder
    assert "for no CPU yet" in failed(2, "verify", source.folder, "--cpu", "avx2", "-q")
    assert "ARM's own kernels" in failed(2, "verify", built, "--cpu", "arm64", "-q")
    assert "unknown kind of CPU 'pentium'" in failed(2, "verify", built, "--cpu", "pentium", "-q")
    ended = densecast("verify", built, "--cpu", "avx2")
    assert ended.code == 0 and "nothing is int8" in ended.out


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    pytest.importorskip("nncf")
    if "wide_int8_sums" not in machine.able():
        pytest.skip("weights of 8 bits cannot be built on this CPU")
    root = tmp_path_factory.mktemp("saturating")
    images = carvana(root / "data", count=6) / "imgs"
    source = tiny_artifacts.exported(root, tiny_graphs.segmentation())
    options = BuildOptions("openvino", "qint8_mixed_float16", SHAPE, QUICK)
    return {cpu: build(source, root / cpu, replace(options, cpu=cpu), data=images) for cpu in ("native", "any")}


@pytest.mark.quantize
def test_a_model_is_told_what_it_would_compute_on_a_cpu_without_vnni(builds: dict[str, Artifact]) -> None:
    for cpu, words in (("avx2", "no sum saturates"), ("vnni", "32 bits")):
        ended = densecast("verify", builds["any" if cpu == "avx2" else "native"].folder, "--cpu", cpu)
        assert ended.code == 0 and words in ended.out, ended.out + ended.err
    ended = densecast("verify", builds["native"].folder, "--cpu", "avx512")
    assert "int8 sums saturate" in ended.out and (ended.code == 1) == ("failed  on avx512" in ended.out)


@pytest.mark.slow
@pytest.mark.quantize
@pytest.mark.skipif("avx512bw" not in machine.cpu()[1], reason="this CPU has no AVX-512 to be left with alone")
def test_the_prediction_is_what_such_a_cpu_computes(builds: dict[str, Artifact], tmp_path: Path) -> None:
    """With `ONEDNN_MAX_CPU_ISA=AVX512_CORE`, OpenVINO has AVX-512 and no VNNI."""
    built = builds["native"]
    code = (
        "import sys, numpy; from densecast.artifact import CompiledArtifact, stored_answer\n"
        "from densecast.backends._base import BACKENDS; from densecast.runtime import execution\n"
        "from densecast.session import Session\n"
        "artifact = CompiledArtifact.open(sys.argv[1]); feeds = stored_answer.golden_feeds(artifact.spec)\n"
        "if sys.argv[3] == 'emulated':\n"
        "    found = BACKENDS.load_trusted('openvino').saturating(artifact, feeds)\n"
        "else:\n"
        "    with Session.open(artifact, execution.configure('latency', 1), check_cpu=False) as session:\n"
        "        found = {name: array.copy() for name, array in session.forward(feeds).items()}\n"
        "numpy.save(sys.argv[2], found[artifact.spec.output.name])\n"
    )
    found = {}
    for how, most in (("here", ""), ("emulated", ""), ("there", "AVX512_CORE")):
        environment = {**os.environ, **({"ONEDNN_MAX_CPU_ISA": most} if most else {})}
        command = [sys.executable, "-c", code, str(built.folder), str(tmp_path / f"{how}.npy"), how]
        subprocess.run(command, env=environment, check=True)
        found[how] = np.load(tmp_path / f"{how}.npy").astype(np.float64)
    missed = np.linalg.norm(found["emulated"] - found["there"])
    lost = np.linalg.norm(found["here"] - found["there"])
    assert missed <= 0.1 * max(lost, 0.02 * np.linalg.norm(found["here"]))
