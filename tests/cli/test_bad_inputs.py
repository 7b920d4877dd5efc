"""Images, artifacts, names and files that cannot be used: one line, a fixed exit code, nothing half-written."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_artifacts
import tiny_graphs
from command_line import densecast, failed, tree
from made_pictures import carvana, png_that_claims, write_jpeg, write_mask
from PIL import Image

from densecast.core.options import BuildOptions, InputShape, Range

OPEN = BuildOptions("onnxruntime", shape=InputShape(batch=Range(1, 4)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`float` and `built`: the tiny network for sides of 8 to 512 pixels, images halved."""
    made = tmp_path_factory.mktemp("artifacts")
    tiny_artifacts.compiled(made, OPEN)
    return made


def refused_image(folder: Path, tmp_path: Path, name: str, content: bytes) -> str:
    (tmp_path / name).write_bytes(content)
    before = tree(tmp_path)
    message = failed(3, "infer", folder / "built", tmp_path / name, "--out", tmp_path / "out", "-q")
    assert tree(tmp_path) == before
    assert name in message
    return message


# Images


@pytest.fixture(scope="module")
def jpeg(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_jpeg(tmp_path_factory.mktemp("jpeg") / "a.jpg", (96, 128)).read_bytes()


@pytest.fixture(scope="module")
def png(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("png") / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)).save(path)
    return path.read_bytes()


def test_empty_image(folder: Path, tmp_path: Path) -> None:
    assert "is empty" in refused_image(folder, tmp_path, "a.jpg", b"")


@pytest.mark.parametrize("content", [b"text, not pixels", bytes(999), b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_unreadable_image(folder: Path, tmp_path: Path, content: bytes) -> None:
    assert "image" in refused_image(folder, tmp_path, "a.png", content)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_image_that_is_cut_off(folder: Path, tmp_path: Path, jpeg: bytes, png: bytes, share: float) -> None:
    for name, whole in (("a.jpg", jpeg), ("a.png", png)):
        message = refused_image(folder, tmp_path, name, whole[: int(len(whole) * share)])
        assert "damaged or cut off" in message


def test_png_with_a_changed_byte(folder: Path, tmp_path: Path, png: bytes) -> None:
    changed = bytearray(png)
    changed[len(png) // 2] ^= 0xFF
    assert "damaged" in refused_image(folder, tmp_path, "a.png", bytes(changed))


@pytest.mark.parametrize("side", [100_000, 20_000, 2**31 - 1])
def test_enormous_image_is_refused_by_its_header(folder: Path, tmp_path: Path, side: int) -> None:
    message = refused_image(folder, tmp_path, "a.png", png_that_claims(side, side))
    assert "pixels" in message


def test_image_without_pixels(folder: Path, tmp_path: Path) -> None:
    refused_image(folder, tmp_path, "a.png", png_that_claims(0, 10))


def test_image_outside_the_artifacts_sizes(folder: Path, tmp_path: Path) -> None:
    wide = write_jpeg(tmp_path / "source" / "a.jpg", (40, 1400)).read_bytes()
    (tmp_path / "a.jpg").write_bytes(wide)
    message = failed(3, "infer", folder / "built", tmp_path / "a.jpg", "--out", tmp_path / "out", "-q")
    assert "1400×40 pixels becomes 700 wide" in message and "W in 8..512" in message
    assert not (tmp_path / "out").exists()


def test_missing_image(folder: Path, tmp_path: Path) -> None:
    message = failed(3, "infer", folder / "built", tmp_path / "no.jpg", "--out", tmp_path / "out")
    assert "no.jpg does not exist" in message
    assert not list(tmp_path.iterdir())


def test_empty_folder_of_images(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for verb in ("infer", "benchmark"):
        out = ("--out", tmp_path / "out") if verb == "infer" else ()
        assert "holds no images" in failed(3, verb, folder / "built", tmp_path / "images", *out)
    message = failed(3, "compare", folder / "built", folder / "built", "--images", tmp_path / "images")
    assert "holds no images" in message


def test_two_images_of_one_name_are_not_written_over_each_other(folder: Path, tmp_path: Path) -> None:
    images = [write_jpeg(tmp_path / side / "a.jpg") for side in ("left", "right")]
    assert "a.*" in failed(2, "infer", folder / "built", *images, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_images_before_a_broken_one_keep_their_results_and_no_other_appears(folder: Path, tmp_path: Path) -> None:
    images = [write_jpeg(tmp_path / "images" / f"{name}.jpg") for name in "abc"]
    images[1].write_bytes(images[1].read_bytes()[:500])
    message = failed(3, "infer", folder / "built", tmp_path / "images", "--out", tmp_path / "out", "-q")
    assert "b.jpg" in message
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


# Data sets


def test_mask_of_another_size_than_its_image(folder: Path, tmp_path: Path) -> None:
    root = carvana(tmp_path / "data", count=3)
    write_mask(next((root / "masks").iterdir()), np.zeros((10, 12), np.uint8))
    message = failed(3, "evaluate", folder / "built", "--data", root, "--split", "all", "-q")
    assert "the mask is 12×10 pixels, its image 64×48" in message


def test_data_set_folder_that_is_none(folder: Path, tmp_path: Path) -> None:
    assert "does not exist" in failed(3, "evaluate", folder / "built", "--data", tmp_path / "absent", "-q")
    assert "imgs/*.jpg" in failed(3, "evaluate", folder / "built", "--data", tmp_path, "-q")


# Artifacts


@pytest.fixture
def damaged(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder / "built", tmp_path / "built"))


def refused_artifact(artifact: Path, tmp_path: Path) -> str:
    image = write_jpeg(tmp_path / "a.jpg")
    message = failed(3, "infer", artifact, image, "--out", tmp_path / "out", "-q")
    assert not (tmp_path / "out").exists()
    return message


def manifest_with(artifact: Path, **changes: object) -> None:
    path = artifact / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_artifact_with_a_changed_byte(damaged: Path, tmp_path: Path) -> None:
    content = bytearray((damaged / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / "model.onnx").write_bytes(content)
    assert "model.onnx does not have the hash" in refused_artifact(damaged, tmp_path)


def test_artifact_with_a_missing_file(damaged: Path, tmp_path: Path) -> None:
    (damaged / "model.onnx").unlink()
    assert "model.onnx is missing" in refused_artifact(damaged, tmp_path)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", ".."])
def test_artifact_with_a_file_name_that_leaves_it(damaged: Path, tmp_path: Path, name: str) -> None:
    manifest_with(damaged, files={name: "0" * 64})
    assert "leaves the artifact's folder" in refused_artifact(damaged, tmp_path)


def test_artifact_of_another_format(damaged: Path, tmp_path: Path) -> None:
    manifest_with(damaged, format=99)
    assert "manifest format 99" in refused_artifact(damaged, tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"kind": "float"}', "\x00\x01", "[" * 100_000, '{"kind": 1, "files": {"a": []}}']
)
def test_artifact_with_a_malformed_manifest(damaged: Path, tmp_path: Path, text: str) -> None:
    (damaged / "manifest.json").write_text(text)
    assert "damaged artifact" in refused_artifact(damaged, tmp_path)


def test_artifact_with_an_unknown_key_names_it(damaged: Path, tmp_path: Path) -> None:
    manifest_with(damaged, passess=[])
    message = refused_artifact(damaged, tmp_path)
    assert "unknown key 'passess'" in message and "'passes'" in message


def test_folder_that_is_no_artifact(tmp_path: Path) -> None:
    assert "is no artifact" in refused_artifact(tmp_path, tmp_path)


def test_float_artifact_where_a_built_one_is_needed(folder: Path, tmp_path: Path) -> None:
    assert "densecast build" in refused_artifact(folder / "float", tmp_path)


def test_built_artifact_where_a_float_one_is_needed(folder: Path, tmp_path: Path) -> None:
    assert "already compiled" in failed(3, "build", folder / "built", "--out", tmp_path / "out", "-q")
    assert not list(tmp_path.iterdir())


# Folders that would be lost


def test_a_folder_of_something_else_is_never_replaced(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"precious")
    onnx.save(tiny_graphs.segmentation(), tmp_path / "tiny.onnx")
    before = tree(tmp_path)
    for arguments in (
        ("build", folder / "float", "--backend", "reference"),
        ("export", tmp_path / "tiny.onnx", "--labels", "background,car"),
    ):
        assert "is no artifact" in failed(2, *arguments, "--out", tmp_path / "photos", "-q")
    assert tree(tmp_path) == before


def test_an_artifact_is_not_built_over_its_own_source(folder: Path) -> None:
    before = tree(folder)
    message = failed(2, "build", folder / "float", "--out", folder / "float", "--backend", "reference", "-q")
    assert "Name another folder" in message
    assert tree(folder) == before


# Names and options


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (("--precision", "in8"), "'int8'"),
        (("--precision", "FP16"), "'fp16'"),
        (("--backend", "openvio"), "'openvino'"),
        (("--backend", "onnx"), "'onnxruntime'"),
    ],
)
def test_unknown_names_bring_the_nearest(folder: Path, tmp_path: Path, arguments: tuple[str, str], near: str) -> None:
    message = failed(2, "build", folder / "float", "--out", tmp_path / "out", *arguments, "-q")
    assert f"Did you mean {near}" in message
    assert not list(tmp_path.iterdir())


def test_unknown_model_brings_the_nearest(tmp_path: Path) -> None:
    for verb in ("export", "run"):
        assert "Did you mean 'unet_tiny'" in failed(2, verb, "unet_tinny", "--out", tmp_path / "out", "-q")
    assert "Did you mean 'unet_tiny'" in failed(2, "models", "unet-tiny")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ("--batch", "0"),
        ("--batch", "4:1"),
        ("--batch", "one"),
        ("--height", "1,2"),
        ("--height", "-5"),
        ("--sixteen-bit", "f8"),
        ("--estimator", "median"),
        ("--precision", "int8"),
    ],
)
def test_values_that_make_no_sense_are_wrong_usage(folder: Path, tmp_path: Path, arguments: tuple[str, str]) -> None:
    failed(2, "build", folder / "float", "--out", tmp_path / "out", *arguments, "-q")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [("--height", "4"), ("--width", "8:4000"), ("--batch", "9"), ("--batch", "1,64")])
def test_sizes_that_the_graph_does_not_take(folder: Path, tmp_path: Path, arguments: tuple[str, str]) -> None:
    message = failed(3, "build", folder / "float", "--out", tmp_path / "out", *arguments, "-q")
    assert "but the exported graph takes" in message
    assert not list(tmp_path.iterdir())


def test_wrong_options_are_wrong_usage(folder: Path) -> None:
    assert densecast("build", folder / "float", "--no-such-option").code == 2
    assert densecast("no-such-verb").code == 2
    assert densecast("infer", folder / "built").code == 2


@pytest.mark.parametrize("static", ["1x640", "axbxc", "0x64x64", "1x0x64", "1x64x-8"])
def test_static_shapes_that_are_none(tmp_path: Path, static: str) -> None:
    onnx.save(tiny_graphs.segmentation(), tmp_path / "tiny.onnx")
    failed(2, "export", tmp_path / "tiny.onnx", "--out", tmp_path / "out", "--labels", "a,b", "--static", static)
    assert not (tmp_path / "out").exists()


# Graphs and spec files


@pytest.mark.parametrize("content", [b"", b"not a graph", bytes(500), b"\x08\x07\x12\x04test"])
def test_files_that_are_no_graph(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tiny.onnx").write_bytes(content)
    failed(3, "export", tmp_path / "tiny.onnx", "--out", tmp_path / "out", "--labels", "a,b")
    assert not (tmp_path / "out").exists()


def test_graph_with_another_number_of_classes_than_labels(tmp_path: Path) -> None:
    onnx.save(tiny_graphs.segmentation(), tmp_path / "tiny.onnx")
    message = failed(3, "export", tmp_path / "tiny.onnx", "--out", tmp_path / "out", "--labels", "a,b,c")
    assert "2 classes" in message and "3 labels" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("labels = ['a', 'b']\n[preproces]\nmean = [0, 0, 0]", "unknown key 'preproces'. Did you mean 'preprocess'?"),
        ("labels = ['a', 'b']\n[preprocess]\nresize = { kind = 'native' }\nmaen = [1, 2, 3]", "Did you mean 'mean'?"),
        ("lables = ['a', 'b']", "labels: Field required. Is it meant by 'lables'?"),
        ("labels = 3", "labels"),
        ("labels = ['a']", "at least two labels"),
        ("labels = ['a', 'b']\npalette = [[0, 0, 0]]", "2 labels but 1 colours"),
        ("labels = [", "not valid toml"),
        ("labels = ['a', 'b']\nside = { min = 9, max = 3 }", "1 <= min <= max"),
        ("labels = ['a', 'b']\n[preprocess]\nresize = { kind = 'zoom' }", "resize"),
    ],
)
def test_malformed_spec_files(tmp_path: Path, text: str, said: str) -> None:
    onnx.save(tiny_graphs.segmentation(), tmp_path / "tiny.onnx")
    (tmp_path / "spec.toml").write_text(text)
    message = failed(
        2, "export", tmp_path / "tiny.onnx", "--out", tmp_path / "out", "--spec", tmp_path / "spec.toml", "-q"
    )
    assert said in message
    assert not (tmp_path / "out").exists()


def test_a_file_without_spec_or_labels(tmp_path: Path) -> None:
    onnx.save(tiny_graphs.segmentation(), tmp_path / "tiny.onnx")
    assert "--labels" in failed(2, "export", tmp_path / "tiny.onnx", "--out", tmp_path / "out")
    assert "cannot be read" in failed(
        2, "export", tmp_path / "tiny.onnx", "--out", tmp_path / "out", "--spec", tmp_path / "no.toml"
    )


# Gates and extras


def test_gates_end_with_1_and_the_table_is_printed_all_the_same(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    tiny_artifacts.compiled(other, OPEN, tiny_graphs.segmentation(seed=7))
    write_jpeg(tmp_path / "images" / "a.jpg")
    arguments = ("compare", folder / "built", other / "built", "--images", tmp_path / "images", "-q")
    assert densecast(*arguments).code == 0
    for gate in (("--tolerance", "0.01"), ("--max-changed", "0.01")):
        ended = densecast(*arguments, *gate)
        assert ended.code == 1
        assert "relative" in ended.out and "beyond the stated limits: built" in ended.err
    assert densecast("compare", folder / "built", folder / "built", *arguments[3:], "--tolerance", "0").code == 0


def test_a_missing_extra_says_what_to_install(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    write_jpeg(tmp_path / "images" / "a.jpg")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jinja2" else real(name))
    assert "pip install 'densecast[report]'" in failed(3, "run", "unet_tiny", "--out", tmp_path / "out", "-q")
    for name in ("torch", "nncf"):
        monkeypatch.setitem(sys.modules, name, None)
    for backend, precision, extra in (("torch", "fp32", "torch"), ("openvino", "int8", "quantize")):
        message = failed(
            3, "build", folder / "float", "--out", tmp_path / "out", "-b", backend, "-p", precision, "-q",
            "--data", tmp_path / "images",
        )  # fmt: skip
        assert f"pip install 'densecast[{extra}]'" in message
    assert not (tmp_path / "out").exists()


# The same through real processes


def process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "densecast", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_process_ends_with_the_code_and_one_line(folder: Path, tmp_path: Path) -> None:
    done = process("build", folder / "float", "--out", tmp_path / "out", "--precision", "fp61")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("densecast: unknown precision 'fp61'") and done.stderr.count("\n") == 1
    (tmp_path / "a.jpg").write_bytes(b"")
    done = process("infer", folder / "built", tmp_path / "a.jpg", "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_process_that_works_ends_with_0_and_json_alone_on_standard_output(folder: Path, tmp_path: Path) -> None:
    image = write_jpeg(tmp_path / "a.jpg")
    done = process("infer", folder / "built", image, "--out", tmp_path / "out", "--json", "-", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["results"] == [{"image": str(image), "file": str(tmp_path / "out" / "a.png")}]
