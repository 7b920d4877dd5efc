"""A run without ground truth builds and times all that it can, and says that accuracy was not measured."""

from __future__ import annotations

import importlib.util
import re
import shutil
from dataclasses import replace
from pathlib import Path

import colour_network
import numpy as np
import onnxruntime
import pytest
from command_line import densecast, failed
from made_mask_folders import pairs
from one_process import InThisProcess
from PIL import Image

pytest.importorskip("jinja2")

import densecast as package
from densecast import report as reports
from densecast.errors import UsageError
from densecast.runtime.cpu_load import CpuLoad, LoadMeter
from densecast.spec.data_options import Data, DataOptions
from densecast.spec.options import QuantizeOptions
from densecast.spec.verb_options import BenchmarkOptions
from densecast.verbs.reproduce import RunOptions, ahead, reproduce

OPTIONS = RunOptions(backends=("onnxruntime",), benchmark=BenchmarkOptions(images=2, seconds=0.0, warm_up=0))


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "WorkerPool", InThisProcess)
    monkeypatch.setattr(LoadMeter, "load", lambda self: CpuLoad(0.0, 0.5, 0.5))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    colour_network.built(folder, 3)
    return folder / "float"


def labels(graph: Path, picture: Path) -> np.ndarray:
    """What ONNX Runtime itself makes of a picture, for a network that takes pixels in 0..255."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    pixels = np.asarray(Image.open(picture).convert("RGB"), np.float32).transpose(2, 0, 1)[None]
    return np.asarray(session.run(None, {"image": pixels})[0]).argmax(axis=1)


@pytest.mark.slow
def test_a_network_without_data_is_built_timed_and_compared_on_drawn_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("densecast.cli.run.BenchmarkOptions", lambda batch: OPTIONS.benchmark)
    network = colour_network.onnx_file(tmp_path / "colours.onnx", 3)
    out = tmp_path / "R"
    ended = densecast(
        "run", network, "--labels", "ground,red,green", "--normalise", "0..255", "--out", out,
        "--backends", "onnxruntime", "-q",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    made = reports.read(out)
    assert [row.asked for row in made.rows] == ["force_float32", "force_float16"]
    assert all(row.score.name == "agreement" and row.score.data is None for row in made.rows)
    assert made.rows[0].score.value == 1.0 and made.rows[0].timing.images_per_s > 0
    for text in (ended.out, (out / "report.html").read_text(encoding="utf-8")):
        assert "Accuracy was not measured" in text and "int8 was not built" in text
    pictures = sorted((out / "pictures").iterdir())
    assert len(pictures) == made.rows[0].score.count == 8
    graphs = [out / row.artifact / "model.onnx" for row in made.rows]
    agree = [np.mean(labels(graphs[0], each) == labels(graphs[1], each)) for each in pictures]
    assert made.rows[1].score.value == pytest.approx(np.mean(agree), abs=1e-9)
    assert made.images and set(made.images[0].files) == {
        "image",
        "onnxruntime fp32",
        "onnxruntime fp16",
        "difference of both",
    }


@pytest.mark.slow
def test_pictures_without_masks_set_int8_ranges_and_are_what_is_compared_on(tmp_path: Path, exported: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(pairs(tmp_path / "d", count=5) / "images", photos)
    options = replace(OPTIONS, precisions=("force_float32", "qint8_mixed_float16"))
    options = replace(options, build=replace(options.build, quantize=QuantizeOptions(images=2)))
    made = reproduce(exported, tmp_path / "R", options, data=photos)
    assert [row.score.count for row in made.rows] == [5, 5] and made.rows[1].reasons.calibration is not None
    assert made.rows[1].change is not None and made.rows[1].change.low <= made.rows[1].change.value <= 0
    assert "photos, which has no ground truth" in made.findings()[0]
    # The same photographs again are not measured again; another one is.
    assert reproduce(exported, tmp_path / "R", options, data=photos).rows == made.rows
    shutil.copyfile(next(photos.iterdir()), photos / "z.png")
    assert reproduce(exported, tmp_path / "R", options, data=photos).rows[0].score.count == 6


def test_masks_that_are_missing_are_no_folder_of_pictures(tmp_path: Path, exported: Path) -> None:
    root = pairs(tmp_path / "d", count=3)
    shutil.rmtree(root / "masks")
    assert "mask" in failed(3, "run", exported, "--data", root, "--out", tmp_path / "R", "-q")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"precisions": ("qint8_mixed_float16",)}, "int8 needs images"),
        ({"max_drop": package.MaxDrop(0.5)}, "int8 needs images"),
        ({"device": "tpu"}, "not on 'tpu'"),
    ],
)
def test_what_drawn_pictures_cannot_give_is_refused_before_anything_is_made(
    tmp_path: Path, given: dict[str, object], said: str
) -> None:
    network = colour_network.onnx_file(tmp_path / "colours.onnx", 3)
    with pytest.raises(UsageError, match=said):
        reproduce(network, tmp_path / "R", replace(OPTIONS, **given), labels=3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="pass --data"):
        reproduce(network, tmp_path / "R", OPTIONS, labels=3, data=Data(None, DataOptions(masks_dir="x")))


def test_drawn_pictures_have_the_size_that_a_fixed_graph_takes(tmp_path: Path) -> None:
    import onnx

    network = colour_network.onnx_file(tmp_path / "colours.onnx", 3)
    model = onnx.load(network)
    for value in (*model.graph.input, *model.graph.output):
        for dim, size in zip(value.type.tensor_type.shape.dim[2:], (40, 72), strict=True):
            dim.dim_value = size
    onnx.save(model, network)
    made = reproduce(network, tmp_path / "R", replace(OPTIONS, precisions=("force_float32",)), labels=3)
    assert made.rows[0].artifact == "colours__fp32__40x72__b1__onnxruntime"


def hide(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Have these modules look as if they were not installed."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, package=None: None if name in modules else real(name, package)
    )


def test_all_that_a_run_lacks_is_named_at_once_with_torch_for_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "torch", "nncf", "jinja2", "pycocotools")
    (tmp_path / "net.pt").write_bytes(b"PK")
    builds = {"quantize", "report"}
    for source, extras in (
        (("hrnet_w32_ae_tiny",), {"coco", "torch", *builds}),
        ((tmp_path / "net.pt", "--labels", "a,b"), {"torch", *builds}),
        (("--module", "torch.nn:Identity", "--labels", "a,b"), {"torch", *builds}),
        (("unet_tiny",), builds),
        (("unet_tiny", "--precisions", "fp32"), {"report"}),
    ):
        said = failed(3, "run", *source, "--out", tmp_path / "out", "-q")
        line = re.fullmatch(r".*: pip install (\S+ \S+ )?'densecast\[(.*)\]'\.", said)
        assert line is not None and set(line[2].split(",")) == extras, said
        assert line[1] == ("--extra-index-url https://download.pytorch.org/whl/cpu " if "torch" in extras else None)
        assert all(f"[{extra}] extra" in said for extra in extras)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_demo_needs_neither_torch_nor_nncf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from made_images import carvana

    from densecast.scenes import write_carvana
    from densecast.verbs import demo

    hide(monkeypatch, "torch", "nncf")
    monkeypatch.setattr(write_carvana, "write", lambda root, count, seed: carvana(root, count=10, size_hw=(96, 144)))
    quick = replace(OPTIONS, skip_missing=True, backends=("openvino", "onnxruntime"))
    monkeypatch.setattr(demo, "RunOptions", lambda **given: quick)
    made = package.demo(tmp_path / "R")
    asked = [(row.backend, row.asked[:7]) for row in made.rows]
    assert asked == [("openvino", "force_f"), ("openvino", "force_f"), ("onnxruntime", "force_f"),
                     ("onnxruntime", "force_f"), ("onnxruntime", "qint8_m")]  # fmt: skip
    assert "openvino int8 was not built" in made.findings()[0] and "'densecast[quantize]'" in made.findings()[0]
    assert made.parity is not None and made.rows[0].score.name == "dice_per_image"
    assert (tmp_path / "R" / "report.html").is_file()
