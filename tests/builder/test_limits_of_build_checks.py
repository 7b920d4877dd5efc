"""By how much a build may differ from its float graph; what is remarked of calibration images, and divided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
import tiny_artifacts
import tiny_specs
from PIL import Image

from densecast.backends._base import Traits
from densecast.errors import ParityError, UsageError
from densecast.runtime import execution
from densecast.session import Session
from densecast.spec.options import BuildOptions, QuantizeOptions
from densecast.spec.preprocess import Native
from densecast.verbs.builder import build, build_check, calibration, calibration_images, float_check


@pytest.mark.parametrize(
    ("left", "right", "value"),
    [
        ([1, 2, 3], [2, 4, 6], 1.0), ([1, 2, 3], [3, 2, 1], -1.0), ([1, 2, 3], [5, 5, 5], 0.0), ([4, 4], [4, 4], 1.0),
        ([4, 4], [9, 9], 1.0), ([4, 4], [1, 2], 0.0), ([0, 0, 1, 1], [0, 1, 0, 1], 0.0),
        ([1, 2, 4], [2, 1, 4], 11 / 14),
    ],
)  # fmt: skip
def test_a_correlation_is_pearsons(left: list[float], right: list[float], value: float) -> None:
    assert build_check.correlation(np.array(left), np.array(right)) == pytest.approx(value, abs=1e-12)


def graph(folder: Path, nodes: str, outputs: str) -> Path:
    text = f'<ir_version: 8, opset_import: ["" : 17]> tiny (float[N, 3, H, W] image) => ({outputs}) {{ {nodes} }}'
    onnx.save(onnx.parser.parse_model(text), folder / "graph.onnx")
    return folder / "graph.onnx"


IMAGE = np.random.default_rng(0).uniform(0.5, 1.0, (1, 3, 10, 10)).astype(np.float32)


def is_taken(folder: Path, precision: Any, outputs: list[np.ndarray], **how: Any) -> bool:
    """Whether a build passes whose float graph gives the image itself."""
    spec = tiny_artifacts.spec()
    spec = spec.with_output(replace(spec.output, name="y"))
    feeds = {spec.input.name: IMAGE}
    path = graph(folder, f"y = Identity ({spec.input.name})", "float[N, 3, H, W] y")
    if spec.input.name != "image":
        model = onnx.load(path)
        model.graph.input[0].name = spec.input.name
        onnx.save(model, path)
    try:
        build_check.check(path, spec, [(feeds, outputs)], precision, "openvino", **how)
    except ParityError:
        return False
    return True


@pytest.mark.parametrize(
    ("precision", "off", "taken"),
    [
        ("force_float32", 0.0, True), ("force_float32", 0.9e-3, True), ("force_float32", 1.1e-3, False),
        # Nothing in this graph is rounded: the floor is what 16 bits may change.
        ("force_float16", 0.9e-2, True), ("force_float16", 1.1e-2, False),
    ],
)  # fmt: skip
def test_floats_may_be_off_by_a_share_of_the_output(tmp_path: Path, precision: str, off: float, taken: bool) -> None:
    assert is_taken(tmp_path, precision, [IMAGE * np.float32(1 + off)]) is taken
    assert is_taken(tmp_path, precision, [IMAGE * np.float32(1 - off)]) is taken


def test_another_shape_or_what_is_no_number_never_passes(tmp_path: Path) -> None:
    for precision in ("force_float32", "force_float16", "qint8_mixed_float16"):
        assert not is_taken(tmp_path, precision, [IMAGE[..., :-1]])
        assert not is_taken(tmp_path, precision, [np.full_like(IMAGE, np.nan)])
    assert is_taken(tmp_path, "qint8_mixed_float16", [IMAGE])


@pytest.mark.parametrize(
    ("precision", "most"), [("force_float32", 0.01), ("force_float16", 0.2), ("qint8_mixed_float16", 0.35)]
)
def test_so_many_whole_numbers_may_be_others(tmp_path: Path, precision: Any, most: float) -> None:
    path = graph(tmp_path, "b = ArgMax <axis = 1, keepdims = 0> (image) y = Mul (b, b)", "int64[N, H, W] y")
    spec = tiny_artifacts.spec()
    spec = spec.with_output(replace(spec.output, name="y", dtype="int64"))
    image = np.repeat(IMAGE, 1, axis=0)
    right = image.argmax(axis=1) ** 2
    for more, passes in ((0, True), (1, False)):
        wrong = right.reshape(-1).copy()
        wrong[: round(most * wrong.size) + more] += 1
        pairs = [({spec.input.name: image}, [wrong.reshape(right.shape)])]
        model = onnx.load(path)
        model.graph.input[0].name = spec.input.name
        for node in model.graph.node:
            node.input[:] = [spec.input.name if name == "image" else name for name in node.input]
        onnx.save(model, path)
        if passes:
            build_check.check(path, spec, pairs, precision, "openvino")
        else:
            with pytest.raises(ParityError, match="gives other whole numbers at"):
                build_check.check(path, spec, pairs, precision, "openvino")


MERGED = Traits("p", merged_methods=("mean_minmax",))


@pytest.mark.parametrize(
    ("traits", "method", "bias", "why"),
    [
        (Traits("p"), None, "none", "openvino's quantiser gathers ranges in one process"),
        (MERGED, None, "full", "NNCF corrects biases in full"),
        (MERGED, "histogram", "none", "ranges by histogram depend on the order"),
        (MERGED, "mean_minmax", "fast", None), (MERGED, None, "none", None),
    ],
)  # fmt: skip
def test_what_is_calibrated_on_one_machine_alone(traits: Traits, method: Any, bias: Any, why: str | None) -> None:
    found = calibration.undivided("openvino", traits, method, bias)
    assert found is None if why is None else found is not None and found.startswith(why)


def test_other_machines_calibrate_int8_alone() -> None:
    int8 = BuildOptions("openvino", "qint8_mixed_float16")
    calibration.check_division("ray", int8, MERGED)
    for options, traits in ((BuildOptions("openvino"), MERGED), (int8, Traits("p")), (
        replace(int8, quantize=QuantizeOptions(calibration_method="histogram")), MERGED
    )):  # fmt: skip
        with pytest.raises(UsageError) as raised:
            calibration.check_division("ray", options, traits)
        assert raised.value.field == "on"
    with pytest.raises(UsageError):
        calibration.check_division("somewhere", int8, MERGED)


@pytest.mark.parametrize(
    ("count", "order"),
    [(0, []), (1, [0]), (2, [0, 1]), (3, [0, 2, 1]), (5, [0, 4, 2, 1, 3]), (8, [0, 4, 2, 6, 1, 5, 3, 7])],
)
def test_places_are_ordered_by_their_bits_from_the_other_end(count: int, order: list[int]) -> None:
    assert calibration.in_spread_order(count) == order


def pictures(folder: Path, count: int, made: Callable[[int], np.ndarray]) -> list[Path]:
    folder.mkdir(parents=True)
    for index in range(count):
        Image.fromarray(made(index)).save(folder / f"{index:03}.png")
    return sorted(folder.iterdir())


def noise(mean: int) -> Callable[[int], np.ndarray]:
    return lambda seed: np.random.default_rng(seed).integers(mean - 40, mean + 40, (12, 12, 3), dtype=np.uint8)


SPEC = tiny_specs.segmentation(resize=Native())


@pytest.mark.parametrize(
    ("count", "remark"), [(16, ""), (15, "few images (15); values"), (1, "few images (1); values"), (40, "")]
)
def test_sixteen_images_that_differ_are_enough(tmp_path: Path, count: int, remark: str) -> None:
    found = calibration_images.remarks(SPEC, pictures(tmp_path / "a", count, noise(100)))
    assert found == () if not remark else len(found) == 1 and remark in found[0]


def test_copies_count_once_and_of_many_images_two_dozen_are_looked_at(tmp_path: Path) -> None:
    same = pictures(tmp_path / "a", 20, lambda index: noise(100)(index % 15))
    (remark,) = calibration_images.remarks(SPEC, same)
    assert "few images (20, of which 15 differ)" in remark
    many = pictures(tmp_path / "b", 30, lambda index: noise(100)(0))
    (remark,) = calibration_images.remarks(SPEC, many)
    assert "few images (24 looked at of 30, of which 1 differ)" in remark
    (tmp_path / "a" / "000.png").write_bytes(b"no picture")
    assert "(19 looked at of 20, of which 15 differ)" in calibration_images.remarks(SPEC, same)[0]
    assert calibration_images.remarks(SPEC, [tmp_path / "none.png"]) == ()


@pytest.mark.parametrize(("step", "is_blank"), [(0, True), (1, True), (2, False)])
def test_a_picture_of_one_colour_is_named(tmp_path: Path, step: int, is_blank: bool) -> None:
    def made(index: int) -> np.ndarray:
        image = noise(100)(index)
        if index == 3:
            image[:] = 90
            image[0, 0] += step
        return image

    found = calibration_images.remarks(SPEC, pictures(tmp_path / "a", 20, made))
    assert found == (("1 of 20 images are one colour throughout, the first is 003.png",) if is_blank else ())


@pytest.mark.parametrize(("mean", "is_unlike"), [(100, False), (136, False), (142, True), (60, True)])
def test_images_unlike_those_that_are_evaluated_are_remarked(tmp_path: Path, mean: int, is_unlike: bool) -> None:
    here, there = pictures(tmp_path / "a", 20, noise(100)), pictures(tmp_path / "b", 20, noise(mean))
    found = calibration_images.remarks(SPEC, here, there)
    assert len(found) == is_unlike and all(
        "unlike those that are evaluated: mean 39, 39, 39 %" in each for each in found
    )


def test_only_the_model_that_was_built_is_kept_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENSECAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(float_check, "passed", set())
    source = tiny_artifacts.exported(tmp_path)
    built = build(source, tmp_path / "built", BuildOptions("onnxruntime", precision="force_float16"))
    (kept,) = (tmp_path / "cache" / "compiled").iterdir()
    kept.unlink()
    Session.open(built, execution.configure("latency")).close()
    assert list((tmp_path / "cache" / "compiled").iterdir()) == [kept]
