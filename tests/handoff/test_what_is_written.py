"""What files of a handoff and of a simulated tool say, number by number, for images and inputs that are no squares."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

import cv2
import made_label_maps
import numpy as np
import onnx
import pytest
import tiny_artifacts
import tiny_graphs
from command_line import densecast

from densecast.artifact import Artifact
from densecast.errors import BadInputError
from densecast.spec.handoff_options import PrepareOptions
from densecast.spec.model import Evaluation
from densecast.spec.options import QuantizeOptions
from densecast.spec.preprocess import Preprocess, Stretch
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.export import export_file
from densecast.verbs.handoff import collect, prepare, simulate

HEIGHT, WIDTH = 32, 56


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_label_maps.voc2012(tmp_path_factory.mktemp("data"), classes=2)


def exported(folder: Path, *, align_corners: bool = False) -> Artifact:
    folder.mkdir(exist_ok=True)
    onnx.save(tiny_graphs.segmentation(), folder / "tiny.onnx")
    spec = replace(
        tiny_artifacts.spec(),
        preprocess=Preprocess(Stretch((HEIGHT, WIDTH)), mean=(10.0, 20.0, 30.0), std=(4.0, 5.0, 6.0)),
        decode=SegmentationDecode(align_corners=align_corners, to_image="nearest_labels"),
        evaluation=Evaluation("voc2012", "iou"),
    )
    return export_file(folder / "tiny.onnx", spec, folder / "float")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return exported(tmp_path_factory.mktemp("source"))


def images_of(data: Path, split: str) -> list[Path]:
    root = data / "VOCdevkit/VOC2012"
    ids = (root / f"ImageSets/Segmentation/{split}.txt").read_text().split()
    return [root / f"JPEGImages/{each}.jpg" for each in ids]


def test_lists_hold_width_before_height(source: Artifact, data: Path, tmp_path: Path) -> None:
    made = prepare(source, tmp_path / "out", PrepareOptions(processes=1), data=data)
    images = images_of(data, "val")
    sizes = [cv2.imread(str(image)).shape[1::-1] for image in images]
    assert all(width != height for width, height in sizes)
    assert (tmp_path / "out/images.info").read_text().splitlines() == [
        f"{index} {image.name} {width} {height}"
        for index, (image, (width, height)) in enumerate(zip(images, sizes, strict=True))
    ]
    assert (tmp_path / "out/inputs.info").read_text().splitlines() == [
        f"{index} ./inputs/{image.stem}.bin {WIDTH} {HEIGHT}" for index, image in enumerate(images)
    ]
    assert f"-input_width={WIDTH} -input_height={HEIGHT}" in made.commands["benchmark"]
    assert f'"image:1,3,{HEIGHT},{WIDTH}"' in made.commands["atc"]


def test_the_last_calibration_batch_begins_again_from_the_first_image(
    source: Artifact, data: Path, tmp_path: Path
) -> None:
    options = PrepareOptions(precision="qint8_mixed_float16", batch=2, processes=1, quantize=QuantizeOptions(images=0))
    prepare(source, tmp_path / "out", options, data=data)
    first, last = (
        np.fromfile(tmp_path / f"out/calibration/{number:06d}.bin", "<f4").reshape(2, 3, HEIGHT, WIDTH)
        for number in (0, 1)
    )
    np.testing.assert_array_equal(last[1], first[0])
    assert not np.array_equal(last[1], last[0]) and not np.array_equal(last[1], first[1])


@pytest.mark.parametrize(("align_corners", "mode"), [(True, "align_corners"), (False, "pytorch_half_pixel")])
def test_the_devices_graph_resizes_as_the_model_does(
    align_corners: bool, mode: str, data: Path, tmp_path: Path
) -> None:
    source = exported(tmp_path / "source", align_corners=align_corners)
    prepare(source, tmp_path / "out", PrepareOptions(output_form="int32", processes=1), data=data)
    (resize,) = [node for node in onnx.load(tmp_path / "out/model.onnx").graph.node if node.name == "labels_resize"]
    modes = {each.name: each.s.decode() for each in resize.attribute}
    assert modes["coordinate_transformation_mode"] == mode


def test_a_bin_cut_short_is_written_again(source: Artifact, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(source, out, PrepareOptions(processes=1), data=data)
    (out / "handoff.json").unlink()
    cut = out / "inputs" / f"{images_of(data, 'val')[1].stem}.bin"
    whole = cut.read_bytes()
    cut.write_bytes(whole[:-4])
    prepare(source, out, PrepareOptions(processes=1), data=data)
    assert cut.read_bytes() == whole


@pytest.mark.parametrize(("tool", "number"), [("benchmark", 1), ("ais_bench", 0)])
def test_each_tool_counts_its_outputs_from_its_own_number(
    tool: str, number: int, source: Artifact, data: Path, tmp_path: Path
) -> None:
    prepare(source, tmp_path / "handoff", PrepareOptions(processes=1), data=data)
    folder = simulate(tmp_path / "handoff", tmp_path / "result", tool).folder  # type: ignore[arg-type]
    assert {path.name for path in folder.glob("*.bin")} == {
        f"{image.stem}_{number}.bin" for image in images_of(data, "val")
    }


def test_the_number_of_classes_is_itself_no_class(source: Artifact, data: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "handoff", PrepareOptions(output_form="int32", processes=1), data=data)
    outputs = simulate(tmp_path / "handoff", tmp_path / "result").folder
    classes = len(source.spec.labels)
    first = outputs / f"{images_of(data, 'val')[0].stem}_1.bin"
    for label, is_taken in ((classes - 1, True), (classes, False)):
        np.full((HEIGHT, WIDTH), label, "<i4").tofile(first)
        if is_taken:
            collect(tmp_path / "handoff", tmp_path / "result", data=data)
            continue
        with pytest.raises(BadInputError, match=f"hold {classes}"):
            collect(tmp_path / "handoff", tmp_path / "result", data=data)


def test_the_five_lines_are_what_was_measured(
    source: Artifact, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(source, tmp_path / "handoff", PrepareOptions(batch=2, processes=1), data=data)
    # The n-th look at the clock is n seconds after the one before. Three images are two batches: the start is the first
    # look, each batch takes five, the end is the twelfth, 2 + ... + 12 = 77 s after the start.
    clock = itertools.accumulate(itertools.count(1))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    simulate(tmp_path / "handoff", tmp_path / "result")
    monkeypatch.undo()
    text = (tmp_path / "result/perf_vision_batchsize_2_device_0.txt").read_text()
    read, prepared, infer, post = 3 + 8, 4 + 9, 5 + 10, 6 + 11
    found = [[float(number) for number in re.findall(r": ([0-9.e+]+)", line)] for line in text.splitlines()]
    expected = [
        [3 / 77, 77_000],
        [3 / read, 1000 * read / 3],
        [3 / prepared, 1000 * prepared / 3],
        [3 / infer, 3 / infer, 1000 * infer / 3],
        [2 / post, 1000 * post / 2],  # of batches
    ]
    for line, numbers in zip(found, expected, strict=True):
        assert line == pytest.approx(numbers, rel=1e-5)  # six digits are printed


def test_progress_counts_every_file_of_every_view(source: Artifact, data: Path, tmp_path: Path) -> None:
    """A bar that ends early or late says that something is missing, or hides it."""
    prepare(source, tmp_path / "handoff", PrepareOptions(batch=2, processes=1), data=data)
    seen: list[tuple[int, int]] = []
    simulate(tmp_path / "handoff", tmp_path / "result", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 3), (3, 3)]
    seen.clear()
    collect(
        tmp_path / "handoff", tmp_path / "result", data=data, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_simulation_is_collected_as_one(source: Artifact, data: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "handoff", PrepareOptions(processes=1), data=data)
    outputs = simulate(tmp_path / "handoff", tmp_path / "result").folder
    ended = densecast("handoff", "collect", tmp_path / "handoff", tmp_path / "result", "--data", data, "-q")
    assert ended.code == 0 and "simulated on a CPU" in ended.out
    assert collect(tmp_path / "handoff", tmp_path / "result", data=data).is_simulated
    (outputs / "SIMULATED").unlink()  # what a tool on a card leaves
    found = collect(tmp_path / "handoff", tmp_path / "result", data=data)
    assert not found.is_simulated and "simulated" not in found.hardware
