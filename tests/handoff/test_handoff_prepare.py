"""What a handoff holds, and that it is whole, resumed and refused as it should be."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import made_label_maps
import numpy as np
import onnx
import pytest
import tiny_artifacts
import tiny_graphs

from densecast.artifact import Artifact
from densecast.errors import BadArtifactError, BadDatasetError, BadInputError, DensecastError, UsageError
from densecast.imaging.prepare import prepare as prepare_image
from densecast.imaging.read import read_image
from densecast.io import temporaries
from densecast.spec.handoff_options import PrepareOptions
from densecast.spec.model import Evaluation
from densecast.spec.options import QuantizeOptions
from densecast.spec.preprocess import FitCentre, Preprocess
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.export import export_file
from densecast.verbs.handoff import bins, collect, open_handoff, prepare, simulate

MEAN_STD = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_label_maps.voc2012(tmp_path_factory.mktemp("data"), classes=2)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("source")
    onnx.save(tiny_graphs.segmentation(), folder / "tiny.onnx")
    spec = replace(
        tiny_artifacts.spec(),
        preprocess=Preprocess(FitCentre((48, 48)), **MEAN_STD),
        decode=SegmentationDecode(to_image="nearest_labels"),
        evaluation=Evaluation("voc2012", "iou"),
    )
    return export_file(folder / "tiny.onnx", spec, folder / "float")


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_bins_are_the_raw_network_input(source: Artifact, data: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "out", PrepareOptions(processes=1), data=data)
    image = read_image(data / "VOCdevkit/VOC2012/JPEGImages/2007_000033.jpg")
    wanted, _ = prepare_image(image, source.spec.preprocess)
    raw = (tmp_path / "out/inputs/2007_000033.bin").read_bytes()
    assert raw == wanted.astype("<f4").tobytes() and len(raw) == 3 * 48 * 48 * 4


def test_the_image_is_in_the_middle_of_zeros(source: Artifact) -> None:
    array, placement = prepare_image(np.full((30, 60, 3), 200, np.uint8), source.spec.preprocess)
    assert placement.content_hw == (24, 48) and placement.offset_xy == (0.0, 12.0)
    assert not array[:, :12].any() and not array[:, 36:].any() and array[:, 12:36].all()


def test_the_commands_are_the_references(source: Artifact, data: Path, tmp_path: Path) -> None:
    made = prepare(source, tmp_path / "out", PrepareOptions(batch=8, output_form="int32", processes=1), data=data)
    assert made.commands["atc"] == (
        "atc --framework=5 --model=model.onnx --output=tiny_force_float16_bs8 --input_format=NCHW "
        '--input_shape="image:8,3,48,48" --precision_mode=force_fp16 --log=error --soc_version=Ascend310'
    )
    assert "-batch_size=8 -input_text_path=inputs.info -input_width=48 -input_height=48" in made.commands["benchmark"]
    assert made.output.dtype == "int32" and made.output_shapes == {"48x48": (1, 48, 48)}
    assert made.hardware == "not run on hardware"
    model = onnx.load(tmp_path / "out/model.onnx")
    assert model.opset_import[0].version == 11
    readme = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert made.commands["atc"] in readme and "not run on hardware" in readme
    assert open_handoff(tmp_path / "out") == made


def test_int8_brings_calibration_bins_of_whole_batches(source: Artifact, data: Path, tmp_path: Path) -> None:
    options = PrepareOptions(precision="qint8_mixed_float16", batch=2, processes=1, quantize=QuantizeOptions(images=0))
    made = prepare(source, tmp_path / "out", options, data=data)
    assert made.calibration is not None and made.calibration.count == 3
    sizes = [path.stat().st_size for path in sorted((tmp_path / "out/calibration").iterdir())]
    assert sizes == [2 * 3 * 48 * 48 * 4] * 2
    assert json.loads((tmp_path / "out/amct_config.json").read_text())["batch_num"] == 2
    assert list(made.commands)[:2] == ["amct", "atc"] and "_deploy_model.onnx" in made.commands["atc"]


def test_magicmind_gets_its_builder_config(source: Artifact, data: Path, tmp_path: Path) -> None:
    options = PrepareOptions(target="magicmind", precision="qint8_mixed_float16", batch=4, processes=1)
    made = prepare(source, tmp_path / "out", options, data=data)
    config = json.loads((tmp_path / "out/builder_config.json").read_text())
    assert config["archs"] == [{"mtp_372": [2, 6, 8]}]
    assert config["precision_config"] == {
        "precision_mode": "qint8_mixed_float16",
        "weight_quant_granularity": "per_tensor",
        "activation_quant_algo": "symmetric",
    }
    assert config["opt_config"] == {"type64to32_conversion": True, "conv_scale_fold": True}
    assert config["graph_shape_mutable"] is False
    assert "--iterations 1000 --batch_size 4 --input_dims 4,3,48,48 --devices 0" in made.commands["mm_run"]


def test_the_architecture_and_the_card_are_the_users(source: Artifact, data: Path, tmp_path: Path) -> None:
    options = PrepareOptions(target="magicmind", mlu_arch="tp_322", device=3, processes=1, limit=1)
    made = prepare(source, tmp_path / "mlu", options, data=data)
    assert json.loads((tmp_path / "mlu/builder_config.json").read_text())["archs"] == [{"tp_322": [1]}]
    assert made.commands["mm_run"].endswith("--devices 3")
    made = prepare(
        source, tmp_path / "npu", PrepareOptions(soc="Ascend310P3", device=1, processes=1, limit=1), data=data
    )
    assert "--soc_version=Ascend310P3" in made.commands["atc"]
    assert "-device_id=1 " in made.commands["benchmark"] and "-device_id=1 " in made.commands["pure_inference"]
    assert "--device 1" in made.commands["ais_bench"]
    readme = (tmp_path / "npu/README.md").read_text(encoding="utf-8")
    assert "result/dumpOutput_device1" in readme and "export ASCEND_OPP_PATH=" in readme


def test_an_option_of_the_other_vendor_is_refused() -> None:
    with pytest.raises(UsageError, match="--mlu-arch"):
        PrepareOptions(target="magicmind", soc="Ascend310")
    with pytest.raises(UsageError, match="--soc"):
        PrepareOptions(mlu_arch="mtp_592")


@pytest.mark.slow
def test_two_processes_write_what_one_does(source: Artifact, data: Path, tmp_path: Path) -> None:
    for processes in (1, 2):
        prepare(source, tmp_path / str(processes), PrepareOptions(processes=processes), data=data)
    one, two = tree(tmp_path / "1"), tree(tmp_path / "2")
    assert one.keys() == two.keys()
    assert {name for name in one if one[name] != two[name]} <= {"handoff.json"}  # its time of creation


@pytest.mark.parametrize(
    # A thread may still have been writing the second image's file, so that one is made again.
    ("writer_thread", "again"),
    [(False, ["2010_000002"]), (True, ["2009_000001", "2010_000002"])],
)
def test_an_interrupted_prepare_goes_on_where_it_was(
    writer_thread: bool, again: list[str], source: Artifact, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    prepare(source, whole, PrepareOptions(processes=1), data=data)
    written: list[str] = []
    read_for = bins.read_for

    def stops(path, spec):
        if path.stem == "2010_000002" and "stopped" not in written:
            written.append("stopped")
            raise KeyboardInterrupt
        written.append(path.stem)
        return read_for(path, spec)

    monkeypatch.setattr(bins, "read_for", stops)
    monkeypatch.setattr(bins, "has_spare_cpus", lambda _: writer_thread)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        prepare(source, out, PrepareOptions(processes=1), data=data)
    with pytest.raises(BadArtifactError, match="not finished"):
        open_handoff(out)
    with (out / "items.jsonl").open("a") as stream:
        stream.write('["torn')
    prepare(source, out, PrepareOptions(processes=1), data=data)
    assert written == ["2007_000033", "2009_000001", "stopped", *again]
    assert {name for name, raw in tree(out).items() if tree(whole)[name] != raw} <= {"handoff.json"}


# A process that ends in the midst of writing leaves this under the names that it was writing.
_DIES = """
import sys
from pathlib import Path
from densecast.io import temporaries
for name in sys.argv[1:]:
    path = temporaries.beside(Path(name))
    path.write_bytes(b"half")
    print(path)
"""


def test_what_a_killed_prepare_left_is_swept_by_the_next_one(source: Artifact, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(source, out, PrepareOptions(processes=1), data=data)
    whole = tree(out)
    (out / "handoff.json").unlink()
    names = [str(out / name) for name in ("items.jsonl", "handoff.json", "model.onnx")]
    dead = subprocess.run([sys.executable, "-c", _DIES, *names], check=True, capture_output=True, text=True)
    left = [Path(line) for line in dead.stdout.splitlines()]
    living = temporaries.beside(out / "README.md")
    living.write_bytes(b"somebody else writes this")
    assert len(left) == 3 and all(path.is_file() for path in left)
    prepare(source, out, PrepareOptions(processes=1), data=data)
    assert not any(path.exists() for path in left) and living.exists()
    living.unlink()
    assert set(tree(out)) == set(whole)


def test_a_folder_of_something_else_is_left_alone(source: Artifact, data: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="no handoff"):
        prepare(source, tmp_path, PrepareOptions(processes=1), data=data)
    prepare(source, tmp_path / "out", PrepareOptions(processes=1), data=data)
    with pytest.raises(UsageError, match="something else"):
        prepare(source, tmp_path / "out", PrepareOptions(batch=2, processes=1), data=data)


def test_labels_of_resized_logits_are_refused(source: Artifact, data: Path, tmp_path: Path) -> None:
    spec = replace(source.spec, preprocess=Preprocess(tiny_artifacts.PREPROCESS.resize), decode=SegmentationDecode())
    other = export_file(source.file("model.onnx"), spec, tmp_path / "float")
    with pytest.raises(UsageError, match="logits"):
        prepare(other, tmp_path / "out", PrepareOptions(output_form="int32", height=48, width=48), data=data)


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (lambda out: (out / "2009_000001_1.bin").unlink(), BadInputError, "1 outputs are missing"),
        (lambda out: (out / "2009_000001_1.bin").write_bytes(bytes(48 * 48 * 8)), BadInputError, "bytes"),
        (lambda out: (out / "2009_000001_1.bin").write_bytes(b"\x07\0\0\0" * 48 * 48), BadInputError, "classes"),
        (lambda out: (out / "2009_000001_1.bin").write_bytes(b"\xff" * 4 * 48 * 48), BadInputError, "classes"),
    ],
)
def test_outputs_that_cannot_be_are_refused(
    damage, error: type[DensecastError], words: str, source: Artifact, data: Path, tmp_path: Path
) -> None:
    prepare(source, tmp_path / "handoff", PrepareOptions(output_form="int32", processes=1), data=data)
    damage(simulate(tmp_path / "handoff", tmp_path / "result").folder)
    with pytest.raises(error, match=words):
        collect(tmp_path / "handoff", tmp_path / "result", data=data)


def test_other_images_are_refused_and_files_are_matched_by_id(source: Artifact, data: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "handoff", PrepareOptions(processes=1), data=data)
    outputs = simulate(tmp_path / "handoff", tmp_path / "result").folder
    before = collect(tmp_path / "handoff", tmp_path / "result", data=data).score
    (outputs / "2007_000000_1.bin").write_bytes(b"sorts first and belongs to no image")
    assert collect(tmp_path / "handoff", tmp_path / "result", data=data).score == before
    other = made_label_maps.voc2012(tmp_path / "other", classes=2)
    listed = other / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt"
    listed.write_text("2007_000033\n2009_000001\n")
    with pytest.raises(BadDatasetError, match="other images"):
        collect(tmp_path / "handoff", tmp_path / "result", data=other)


def test_the_tools_speed_is_read(source: Artifact, data: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "handoff", PrepareOptions(processes=1), data=data)
    simulate(tmp_path / "handoff", tmp_path / "result")
    (tmp_path / "mm_run.log").write_text("Throughput (qps):   47.1693\n")
    found = collect(tmp_path / "handoff", tmp_path / "result", data=data, performance=[tmp_path / "mm_run.log"])
    assert found.performance["mm_run.log"] == {"mm_run_qps": 47.1693}
    assert found.performance["perf_vision_batchsize_1_device_0.txt"]["interface_per_s"] > 0
