"""What ONNX files say of themselves: labels are taken, networks of another kind refused by what they are."""

from __future__ import annotations

import json
from pathlib import Path

import command_line
import found_graphs
import onnx
import onnx.parser
import pytest
from found_graphs import Kind

import densecast
from densecast.artifact import FloatArtifact
from densecast.errors import BadGraphError
from densecast.spec.preprocess import Letterbox, Native, Preprocess, Stretch
from densecast.spec.tensor import Dim

THREE = ("sky", "tree", "road")
ULTRALYTICS = (
    ("description", "Ultralytics YOLO11n-seg model trained on coco.yaml"),
    ("author", "Ultralytics"),
    ("stride", "32"),
    ("task", "segment"),
    ("batch", "1"),
    ("imgsz", "[64, 64]"),
    ("names", "{0: 'person', 1: 'bicycle', 2: \"Hawker's car\"}"),
)


def saved(folder: Path, metadata: tuple[tuple[str, str], ...]) -> Path:
    onnx.save(found_graphs.graph(Kind(metadata=metadata)), folder / "net.onnx")
    return folder / "net.onnx"


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("names", "{0: 'sky', 1: 'tree', 2: 'road'}"),
        ("names", "['sky', 'tree', 'road']"),
        ("id2label", json.dumps(dict(enumerate(THREE)))),
        ("label2id", json.dumps({name: index for index, name in enumerate(THREE)})),
        ("labels", "sky, tree, road"),
        ("classes", json.dumps(THREE)),
    ],
)
def test_labels_are_taken_from_the_metadata(key: str, text: str, tmp_path: Path) -> None:
    artifact = densecast.export(saved(tmp_path, ((key, text), ("task", "semantic"))), tmp_path / "float")
    assert artifact.spec.labels == THREE
    assert "labels are those of the file's metadata" in artifact.manifest.passes


def test_the_command_line_asks_for_no_labels_where_the_file_has_them(tmp_path: Path) -> None:
    path = saved(tmp_path, (("names", str(dict(enumerate(THREE)))),))
    assert command_line.densecast("export", str(path), "--out", str(tmp_path / "float")).code == 0
    bare = saved(tmp_path, ())
    assert command_line.densecast("export", str(bare), "--out", str(tmp_path / "other")).code == 2


def test_what_is_said_overrules_the_metadata(tmp_path: Path) -> None:
    path = saved(tmp_path, (("names", str(dict(enumerate(THREE)))),))
    artifact = densecast.export(path, tmp_path / "float", labels=["a", "b", "c"])
    assert artifact.spec.labels == ("a", "b", "c")


SEMANTIC = (
    ("author", "Ultralytics"),
    ("stride", "32"),
    ("task", "semantic"),
    ("imgsz", "[64, 96]"),
    ("names", "{0: 'sky', 1: 'tree', 2: 'road'}"),
)


def test_the_size_and_the_stride_of_the_metadata_are_taken_and_said(tmp_path: Path) -> None:
    artifact = densecast.export(saved(tmp_path, SEMANTIC), tmp_path / "float")
    assert artifact.spec.preprocess.resize == Letterbox((64, 96))
    assert artifact.spec.preprocess.std == (255.0, 255.0, 255.0)
    height, width = artifact.spec.input.shape[2:]
    assert isinstance(height, Dim) and isinstance(width, Dim) and (height.multiple, width.multiple) == (32, 32)
    said = " ".join(artifact.manifest.passes)
    assert "letterboxed to 64×96" in said and "multiples of 32" in said


def test_a_stated_resize_overrules_the_size_of_the_metadata(tmp_path: Path) -> None:
    path = saved(tmp_path, SEMANTIC)
    stated = densecast.export(path, tmp_path / "a", preprocess=Preprocess(Stretch((64, 64))))
    assert stated.spec.preprocess.resize == Stretch((64, 64))
    command = ("export", str(path), "--normalise", "imagenet", "--out", str(tmp_path / "b"))
    assert command_line.densecast(*command).code == 0
    typed = FloatArtifact.open(tmp_path / "b").spec.preprocess
    assert typed.resize == Letterbox((64, 96)) and (typed.mean[0], typed.divisor) == (0.485, 255.0)


@pytest.mark.parametrize("form", ["file", "table"])
def test_a_spec_that_is_silent_of_labels_and_preprocessing_leaves_the_metadata_s(tmp_path: Path, form: str) -> None:
    path = saved(tmp_path, SEMANTIC)

    def spec_of(name: str, **said: object) -> FloatArtifact:
        (tmp_path / f"{name}.json").write_text(json.dumps(said), encoding="utf-8")
        return densecast.export(path, tmp_path / name, spec=tmp_path / f"{name}.json" if form == "file" else said)

    silent = spec_of("silent", palette=[[0, 0, 1], [0, 0, 2], [0, 0, 3]]).spec
    assert silent.labels == THREE and silent.preprocess.resize == Letterbox((64, 96))
    assert silent.palette[2] == (0, 0, 3)
    labelled = spec_of("labelled", labels=["a", "b", "c"]).spec
    assert labelled.labels == ("a", "b", "c") and labelled.preprocess.resize == Letterbox((64, 96))
    # What is said counts, even if it is what an empty file means.
    native = spec_of("native", preprocess={"resize": {"kind": "native"}}).spec
    assert native.labels == THREE and native.preprocess.resize == Native()


def test_the_size_of_nobody_s_metadata_is_not_taken_for_a_resize(tmp_path: Path) -> None:
    artifact = densecast.export(saved(tmp_path, SEMANTIC[1:]), tmp_path / "float")
    assert artifact.spec.preprocess.resize == Native()


def instances() -> onnx.ModelProto:
    """Boxes with mask coefficients, and prototypes, as Ultralytics exports its instance segmentation."""
    return onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        seg (float[1,3,64,64] images) => (float[1,39,H] output0, float[1,3,16,16] output1)
        <float[3,3,1,1] w = {1,0,0,0,1,0,0,0,1}, int64[3] s = {1, 39, -1}>
        {
            output1 = AveragePool <kernel_shape = [4, 4], strides = [4, 4]> (images)
            wide = Conv <pads = [7, 7, 7, 7]> (output1, w)
            many = Concat <axis = 1> (wide, wide, wide, wide, wide, wide, wide, wide, wide, wide, wide, wide, wide)
            output0 = Reshape (many, s)
        }"""
    )


@pytest.mark.parametrize("labels", [None, ["person", "bicycle", "car"]])
def test_instance_segmentation_is_refused_by_what_it_says(labels: list[str] | None, tmp_path: Path) -> None:
    model = instances()
    for key, value in ULTRALYTICS:
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, tmp_path / "yolo11n-seg.onnx")
    with pytest.raises(BadGraphError, match=r"'segment' network of Ultralytics.*output0, output1.*mask of its own"):
        densecast.export(tmp_path / "yolo11n-seg.onnx", tmp_path / "float", labels=labels)


def test_a_map_that_is_named_is_taken_all_the_same(tmp_path: Path) -> None:
    path = saved(tmp_path, ULTRALYTICS)
    name = onnx.load(path).graph.output[0].name
    assert densecast.export(path, tmp_path / "float", output=name).spec.labels[2] == "Hawker's car"


@pytest.mark.parametrize(
    "text",
    ["{0: 'a', 2: 'c'}", "['a', 'a', 'b']", "{0: ['a'], 1: ['b']}", "__import__('os').system('true')", "[" * 5000, "a"],
)
def test_labels_that_make_no_sense_are_not_taken(text: str, tmp_path: Path) -> None:
    path = saved(tmp_path, (("names", text),))
    ended = command_line.densecast("export", str(path), "--out", str(tmp_path / "float"))
    assert ended.code == 2 and "Traceback" not in ended.err
