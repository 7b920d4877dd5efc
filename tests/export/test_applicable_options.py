"""Every option of export has an effect on a kind of source, or is refused by name."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any, cast

import pytest
import tiny_graphs
from command_line import densecast, failed

from densecast.errors import BadConfigError, MissingFileError, UsageError
from densecast.spec.verb_options import ExportOptions
from densecast.verbs.export import applicable, described, export, library_preprocess, sources

LABELS = ("--labels", "background,car")


def test_the_table_has_every_option() -> None:
    arguments = set(inspect.signature(export).parameters) - {
        *("source", "out", "options", "progress", "given", "output"),
    }
    fields = {field.name for field in dataclasses.fields(ExportOptions)}
    assert set(applicable.APPLIES) == arguments | fields


@pytest.fixture
def onnx_path(tmp_path: Path) -> Path:
    import onnx

    onnx.save(tiny_graphs.segmentation(), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


# What a flag is typed with, though it be the default: no effect is no effect.
TYPED = {
    "opset": ("--opset", "17"),
    "exporter": ("--exporter", "auto"),
    "size_hw": ("--static", "1x32x48"),
    "tolerance": ("--tolerance", "1e-4"),
    "variant": ("--variant", "original"),
    "weights": ("--weights", "ema"),
    "checkpoint": ("--checkpoint", "w.pth"),
    "input_name": ("--input-name", "image"),
}


@pytest.mark.parametrize("option", TYPED)
def test_options_without_effect_on_an_onnx_file_are_refused(onnx_path: Path, option: str) -> None:
    arguments = ("export", onnx_path, *LABELS, "--out", onnx_path.parent / "out", *TYPED[option])
    if "onnx" in applicable.APPLIES[option]:
        assert densecast(*arguments).code == 0
    else:
        assert "has no effect on an ONNX file" in failed(2, *arguments)
        assert not (onnx_path.parent / "out").exists()


@pytest.mark.torch
@pytest.mark.parametrize("option", TYPED)
def test_options_without_effect_on_a_script_are_refused(tmp_path: Path, option: str) -> None:
    pytest.importorskip("torch")
    import tiny_torch

    path = tiny_torch.write_script(tmp_path / "net.pt")
    arguments = ("export", path, *LABELS, "--out", tmp_path / "out", *TYPED[option])
    if "torchscript" not in applicable.APPLIES[option]:
        assert "has no effect on a TorchScript file" in failed(2, *arguments)


@pytest.mark.parametrize("option", [("--input-name", "image"), ("--variant", "none")])
def test_options_without_effect_on_a_zoo_model_are_refused(tmp_path: Path, option: tuple[str, str]) -> None:
    failed(2, "export", "unet_tiny", "--out", tmp_path / "out", *option)


@pytest.mark.parametrize(
    ("labels", "words"),
    [("a,a", "'a' is there twice"), ("a, a", "'a' is there twice"), ("a,b,", "label 2 is empty"), (",", "is empty")],
)
def test_doubled_and_empty_labels_are_refused(onnx_path: Path, labels: str, words: str) -> None:
    assert words in failed(2, "export", onnx_path, "--labels", labels, "--out", onnx_path.parent / "out")


def test_labels_from_a_file_and_numbers_for_all_channels(onnx_path: Path) -> None:
    from densecast.artifact import Artifact

    names = onnx_path.parent / "names.txt"
    names.write_text("\ufeffback ground\r\ncar\r\n\n", encoding="utf-8")
    out = onnx_path.parent / "out"
    arguments = ("--mean", "127.5", "--std", "127.5", "--colour", "bgr")
    assert densecast("export", onnx_path, "--labels", names, *arguments, "--out", out).code == 0
    spec = Artifact.open(out).spec
    assert spec.labels == ("back ground", "car")
    assert (spec.preprocess.mean, spec.preprocess.std) == ((127.5,), (127.5,))
    assert spec.preprocess.colour == "BGR"


NAMED = {
    "data.yaml": "path: .\nval: images\nnames:\n  0: back ground\n  1: car\n",
    "names.yml": "- back ground\n- car\n",
    "config.json": '{"model_type": "x", "id2label": {"1": "car", "0": "back ground"}}',
    "numbered.txt": "1: car\n0: back ground\n",
    "data.toml": 'names = ["back ground", "car"]\n',
}


@pytest.mark.parametrize("name", NAMED)
def test_labels_are_read_from_other_tools_files(name: str, tmp_path: Path) -> None:
    from densecast.verbs.export.described import labels_of

    (tmp_path / name).write_text(NAMED[name], encoding="utf-8")
    assert labels_of(tmp_path / name) == labels_of(str(tmp_path / name)) == ("back ground", "car")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("sky, sea ,land's", ("sky", "sea", "land's")),
        ("\"sky\",'sea'", ("sky", "sea")),
        ("[sky, sea]", ("sky", "sea")),
        ('["sky, deep", "sea"]', ("sky, deep", "sea")),
        ('{"1": "sea", "0": "sky"}', ("sky", "sea")),
        ("2", ("class_0", "class_1")),
    ],
)
def test_labels_in_brackets_and_quotes_are_names(text: str, wanted: tuple[str, ...]) -> None:
    from densecast.verbs.export import labels_file
    from densecast.verbs.export.described import labels_of

    assert labels_of(labels_file.in_text(text)) == wanted


def test_brackets_of_something_else_are_refused() -> None:
    from densecast.errors import BadConfigError
    from densecast.verbs.export import labels_file
    from densecast.verbs.export.described import labels_of

    for text in ("{sky: 0}", "[[sky]]", "[sky"):
        with pytest.raises(BadConfigError):
            labels_file.in_text(text)
    with pytest.raises(BadConfigError, match="must be a list of names"):
        labels_of(cast(Any, 4.0))


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [("absent.txt", None, 3), ("data.yaml", "path: .\n", 2), ("a.csv", "0,ground\n", 2), ("empty.txt", "\n", 2)],
)
def test_a_file_without_names_is_not_taken_for_a_name(onnx_path: Path, name: str, text: str | None, code: int) -> None:
    """One name alone would be the class beside `background`."""
    path = onnx_path.parent / name
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert name in failed(code, "export", onnx_path, "--labels", path, "--out", onnx_path.parent / "out")


def test_a_spec_and_flags_beside_it_are_refused(onnx_path: Path) -> None:
    spec = onnx_path.parent / "net.toml"
    spec.write_text('labels = ["a", "b"]\n', encoding="utf-8")
    arguments = ("export", onnx_path, "--spec", spec, "--out", onnx_path.parent / "out")
    for extra in (LABELS, ("--mean", "1"), ("--resize", "native"), ("--normalise", "imagenet")):
        assert "--spec" in failed(2, *arguments, *extra)


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("net.keras", "model.export("),
        ("net.ONNX", "Rename it to net.onnx"),
        ("net.h5", "model.export("),
        ("net.safetensors", "--checkpoint"),
        ("net.tflite", "tf2onnx"),
        ("net.pdmodel", "paddle2onnx"),
        ("net.engine", "that it was made from"),
        ("net.mlpackage", "Convert it to ONNX"),
        ("net.ort", "that it was made from"),
        ("net.zip", "Unpack it"),
    ],
)
def test_files_of_other_kinds_are_told_what_is_read_and_what_to_do(tmp_path: Path, name: str, cure: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    message = failed(3, "export", tmp_path / name, *LABELS, "--out", tmp_path / "out")
    assert "export reads .onnx" in message and "unknown model" not in message
    assert cure in message


@pytest.mark.parametrize(
    ("name", "cure"),
    [("net.keras", "model.export("), ("net.ONNX", "Rename it"), ("net.tflite", "tf2onnx"), ("net", "net.onnx")],
)
def test_files_of_other_kinds_are_no_unknown_models_from_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, cure: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(b"x")
    for named in (name, Path(name)) if "." in name else (name,):
        with pytest.raises(MissingFileError, match=re.escape(cure)):
            export(named, "out", labels=["a", "b"])


def test_a_folder_that_is_called_as_a_zoo_model_does_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("unet_tiny").mkdir()
    assert sources.named("unet_tiny").kind == "zoo"
    assert sources.located("unet_tiny") == "unet_tiny"


def test_labels_in_every_form() -> None:
    assert described.labels_of(2) == ("class_0", "class_1")
    assert described.labels_of({"1": "b", "0": " a "}) == ("a", "b")
    for wrong in (0, True, "a,b", {0: "a", 2: "b"}, ["a", "a"], [" "]):
        with pytest.raises(BadConfigError):
            described.labels_of(wrong)  # type: ignore[arg-type]


def test_normalisations_by_name() -> None:
    assert library_preprocess.translate("ImageNet").divisor == 255
    assert library_preprocess.translate("-1..1").mean == (127.5,)


@pytest.mark.slow
@pytest.mark.torch
def test_a_zoo_model_takes_stated_preprocessing_and_keeps_the_rest(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from densecast.artifact import Artifact
    from densecast.spec.preprocess import ScaleBy

    fixed = ("--static", "1x32x48", "--out")
    assert densecast("export", "unet_tiny", *fixed, tmp_path / "a", "--mean", "1,2,3").code == 0
    preprocess = Artifact.open(tmp_path / "a").spec.preprocess
    assert preprocess.mean == (1, 2, 3) and preprocess.resize == ScaleBy(0.5)
    (tmp_path / "s.toml").write_text('labels = ["field", "crack"]\n', encoding="utf-8")
    assert densecast("export", "unet_tiny", *fixed, tmp_path / "b", "--spec", tmp_path / "s.toml").code == 0
    spec = Artifact.open(tmp_path / "b").spec
    assert spec.labels == ("field", "crack") and spec.preprocess.resize == ScaleBy(0.5)
    assert failed(2, "export", "unet_tiny", *fixed, tmp_path / "c", "--spec", tmp_path / "none.toml")


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch announces the end of TorchScript
def test_a_module_is_named_on_the_command_line_with_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    (tmp_path / "my_nets_here.py").write_text(
        "from torch import nn\ndef make():\n    return nn.Sequential(nn.Conv2d(3, 2, 1))\nother = 3\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    torch.save({"0.weight": torch.ones(2, 3, 1, 1), "0.bias": torch.zeros(2)}, tmp_path / "w.pth")
    arguments = ("export", "--module", "my_nets_here:make", "--checkpoint", tmp_path / "w.pth", "--labels", "a, b")
    assert densecast(*arguments, "--out", tmp_path / "out").code == 0
    for wrong, words in (
        ("my_nets_here:other", "gives a int"),
        ("my_nets_here:none", "has no attribute"),
        ("absent_package:x", "No module named"),
        ("x", "must be package.module:factory"),
    ):
        assert words in failed(2, "export", "--module", wrong, *LABELS, "--out", tmp_path / "no")
    failed(2, "export", "--out", tmp_path / "no")


@pytest.mark.torch
@pytest.mark.slow
def test_a_program_of_torch_export(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    import numpy as np
    import tiny_torch

    network = tiny_torch.segmentation()
    torch.export.save(torch.export.export(network, (torch.zeros(1, 3, 32, 48),)), tmp_path / "net.pt2")
    artifact = export(tmp_path / "net.pt2", tmp_path / "out", labels=["a", "b"])
    assert artifact.spec.input.shape == (1, 3, 32, 48)
    from densecast.verbs.export import onnx_file, parity

    feed = parity.image_like((1, 3, 32, 48), 0)
    run = onnx_file.graph_runner(artifact.file("model.onnx").read_bytes())
    with torch.inference_mode():
        np.testing.assert_allclose(
            run({artifact.spec.input.name: feed})[artifact.spec.output.name],
            network(torch.from_numpy(feed)).numpy(),
            atol=1e-5,
        )
    with pytest.raises(UsageError, match=r"file \(.pt2\)"):
        export(tmp_path / "net.pt2", tmp_path / "no", labels=2, options=ExportOptions(size_hw=(32, 48)))


def test_weights_are_openmmlabs_where_a_configuration_is_beside_them_or_named(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.zeros(2)}, tmp_path / "weights.pth")
    assert sources.kind_of(tmp_path / "weights.pth") == "torchscript"
    assert sources.kind_of(tmp_path / "weights.pth", "config.py") == "openmmlab"
