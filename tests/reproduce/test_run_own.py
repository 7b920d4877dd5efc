"""One command goes from somebody's own network and pictures to a report, whatever the network comes as."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import colour_network
import made_parquet
import numpy as np
import pytest
from command_line import densecast, failed
from made_mask_folders import COLOURS, labels_of, pairs, write
from one_process import InThisProcess

pytest.importorskip("jinja2")
pytest.importorskip("onnx")

import densecast as package
from densecast.errors import MissingFileError, UsageError
from densecast.report import Report
from densecast.runtime.cpu_load import CpuLoad, LoadMeter
from densecast.spec.data_options import Data, DataOptions
from densecast.spec.verb_options import BenchmarkOptions, EvaluateOptions, ExportOptions
from densecast.verbs.reproduce import RunOptions, ahead, reproduce

OPTIONS = RunOptions(
    backends=("onnxruntime",),
    precisions=("force_float32",),
    evaluate=EvaluateOptions(split="all"),
    benchmark=BenchmarkOptions(images=2, seconds=0.0, warm_up=0),
)


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other programs do while tests run decides nothing."""
    monkeypatch.setattr(LoadMeter, "load", lambda self: CpuLoad(0.0, 0.5, 0.5))


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "WorkerPool", InThisProcess)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures, of which the masks say something else in the first rows."""
    root = pairs(tmp_path_factory.mktemp("own") / "data", count=6)
    for index in range(6):
        truth = labels_of(index)
        truth[:4] = 1
        write(root / "masks" / f"p{index:02d}.png", truth)
    return root


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    colour_network.built(folder, 3)
    return folder / "float"


def plain_miou() -> float:
    """Of the painted pictures' own labels, which the network finds."""
    confusion = np.zeros((3, 3))
    for index in range(6):
        truth = labels_of(index)
        truth[:4] = 1
        np.add.at(confusion, (truth, labels_of(index)), 1)
    both = np.diagonal(confusion)
    return float(np.mean(both / (confusion.sum(axis=0) + confusion.sum(axis=1) - both)))


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_an_onnx_file_and_a_folder_of_masks_lead_to_a_report(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("densecast.cli.run.BenchmarkOptions", lambda batch: OPTIONS.benchmark)
    network = colour_network.onnx_file(tmp_path / "colours.onnx", 3)
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "R"
    ended = densecast(
        "run", network.name, "--labels", "ground,red,green", "--normalise", "0..255", "--data", data, "--out", out,
        "--backends", "onnxruntime", "--precisions", "fp32", "--split", "all", "--json", "run.json", "-q",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    report = json.loads(Path("run.json").read_text(encoding="utf-8"))
    (row,) = report["rows"]
    assert row["score"]["name"] == "mIoU" and row["score"]["value"] == pytest.approx(plain_miou(), abs=1e-12)
    assert row["score"]["data"]["dataset"] == "pairs" and row["timing"]["images"] > 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "colours" in page and f"{plain_miou():.4f}" in page and report["images"]
    assert all((out / name).is_file() for image in report["images"] for name in image["files"].values())
    assert row["artifact"] == "colours__fp32__16x24__b1__onnxruntime"


@pytest.mark.usefixtures("in_this_process")
def test_an_exported_artifact_is_taken_as_it_is_and_a_second_run_measures_nothing_again(
    tmp_path: Path, data: Path, exported: Path
) -> None:
    first = reproduce(exported, tmp_path / "R", OPTIONS, data=data)
    assert first.rows[0].score.value == pytest.approx(plain_miou(), abs=1e-12)
    copied = package.Artifact.open(tmp_path / "R" / "colours__float")
    assert copied.meaning == package.Artifact.open(exported).meaning
    times = {path: path.stat().st_mtime_ns for path in copied.folder.iterdir()}
    again = reproduce(exported, tmp_path / "R", OPTIONS, data=str(data))
    assert again.rows == first.rows
    assert times == {path: path.stat().st_mtime_ns for path in copied.folder.iterdir()}


@pytest.mark.usefixtures("in_this_process")
def test_options_of_the_data_and_corrected_masks_lead_to_new_scores(tmp_path: Path, exported: Path) -> None:
    root = pairs(tmp_path / "d", count=5, masks="gt")
    named = Data(root, DataOptions(masks_dir="gt"))
    assert reproduce(exported, tmp_path / "R", OPTIONS, data=named).rows[0].score.value == 1.0
    only = Data(root, DataOptions(masks_dir="gt", subset=("red", "green")))
    per_class = reproduce(exported, tmp_path / "R", OPTIONS, data=only).rows[0].score.per_class
    assert per_class is not None and [name for name, iou in per_class["IoU"].items() if iou] == ["red", "green"]
    (tmp_path / "elsewhere").mkdir()
    described = tmp_path / "elsewhere" / "data.toml"
    described.write_text('path = "../d"\nmasks = "gt"\n', encoding="utf-8")
    assert reproduce(exported, tmp_path / "R", OPTIONS, data=described).rows[0].score.value == 1.0
    for index in range(5):
        write(root / "gt" / f"p{index:02d}.png", (labels_of(index) + 1) % 3)
    assert reproduce(exported, tmp_path / "R", OPTIONS, data=described).rows[0].score.value == 0.0


@pytest.mark.usefixtures("in_this_process")
def test_data_may_be_one_file_with_images_in_it_or_around_it(tmp_path: Path, exported: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs the [store] extra")
    table = made_parquet.write(tmp_path / "p" / "x.parquet", [made_parquet.row(k) for k in range(5)])
    assert reproduce(exported, tmp_path / "P", OPTIONS, data=table).rows[0].score.value == 1.0
    shares = {}
    for name, wrong in (("right", 0), ("wrong", 1)):
        # Run lengths by columns: stripes of 8 columns of the classes 0, 1 and 2, the last one wrong.
        stripes = [(0, [0, 128, 256]), (1, [128, 128, 128]), (2 - wrong, [256, 128])]
        document = {
            "images": [{"id": 1, "file_name": "a.png", "height": 16, "width": 24}],
            "categories": [{"id": k, "name": label} for k, label in enumerate(("ground", "red", "green"))],
            "annotations": [
                {"id": k, "image_id": 1, "category_id": label, "segmentation": {"size": [16, 24], "counts": counts}}
                for k, (label, counts) in enumerate(stripes)
            ],
        }
        write(tmp_path / "c" / "a.png", np.asarray(COLOURS, np.uint8)[labels_of(0)])
        (tmp_path / "c" / "mine.json").write_text(json.dumps(document), encoding="utf-8")
        made = reproduce(exported, tmp_path / "C", OPTIONS, data=tmp_path / "c" / "mine.json")
        shares[name] = made.rows[0].score.value
    # A changed annotation file is measured anew: red is one of two stripes, green is nowhere right.
    assert shares["right"] == 1.0 and shares["wrong"] == pytest.approx((1 + 0.5 + 0) / 3)


@pytest.mark.usefixtures("in_this_process")
def test_pictures_of_several_sizes_are_built_for_all_of_them(tmp_path: Path, exported: Path) -> None:
    root = pairs(tmp_path / "d", count=5)
    odd = labels_of(0, 3, (20, 30))
    write(root / "images" / "z.png", np.asarray(COLOURS, np.uint8)[odd])
    write(root / "masks" / "z.png", odd)
    made: Report = reproduce(exported, tmp_path / "R", OPTIONS, data=root)
    assert made.rows[0].score.value == 1.0 and made.rows[0].score.count == 6


def test_what_is_missing_or_has_no_effect_is_said_before_anything_is_made(
    tmp_path: Path, data: Path, exported: Path
) -> None:
    network = colour_network.onnx_file(tmp_path / "colours.onnx", 3)
    out = tmp_path / "R"
    said = ("--labels", "ground,red,green", "-q", "--out", out)
    assert "int8 needs images" in failed(2, "run", network, *said, "--precisions", "fp32,int8")
    assert "name a folder of pictures (--data)" in failed(2, "run", network, *said, "--max-drop", "1")
    assert "does not exist" in failed(3, "run", network, *said, "--data", tmp_path / "nothing")
    assert "pass --spec FILE, or --labels" in failed(2, "run", network, "--out", out, "--data", data, "-q")
    assert "--labels has no effect on an artifact" in failed(2, "run", exported, *said, "--data", data)
    assert "--name has no effect" in failed(2, "run", exported, "--name", "x", "--out", out, "--data", data, "-q")
    assert "already compiled" in failed(3, "run", exported.parent / "built", "--out", out, "--data", data, "-q")
    assert "does not exist" in failed(3, "run", tmp_path / "no.onnx", *said, "--data", data)
    with pytest.raises(UsageError, match="no effect on an artifact"):
        reproduce(exported, out, replace(OPTIONS, export=ExportOptions(name="x")), data=data)
    with pytest.raises(MissingFileError):
        reproduce(tmp_path / "no.onnx", out, OPTIONS, data=data, labels=3)
    assert not out.exists()


@pytest.mark.torch
@pytest.mark.usefixtures("in_this_process")
def test_a_module_in_memory_leads_to_a_report(tmp_path: Path, data: Path) -> None:
    torch = pytest.importorskip("torch")
    colours = torch.tensor(COLOURS[:3], dtype=torch.float32)
    network = torch.nn.Conv2d(3, 3, 1)
    with torch.no_grad():
        network.weight.copy_(2 * colours[:, :, None, None])
        network.bias.copy_(-(colours**2).sum(1))
    made = reproduce(
        network, tmp_path / "R", OPTIONS, data=data, labels=["ground", "red", "green"], preprocess="0..255",
        example=(16, 24),
    )  # fmt: skip
    assert made.rows[0].score.value == pytest.approx(plain_miou(), abs=1e-12)
    assert made.parity is not None and made.spec.name == "conv2d"
