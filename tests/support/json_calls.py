"""One call of every verb that writes `--json`, on tiny artifacts, with what it wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import made_coco
import made_mask_folders
import made_report
import numpy as np
import onnx
import pytest
import stub_wheels
import tiny_artifacts
import tiny_graphs
from command_line import densecast
from made_images import carvana, write_jpeg
from onnx import numpy_helper

from densecast import report
from densecast.io import own_json
from densecast.spec.options import BuildOptions, InputShape

Json = dict[str, object] | list[object]
Maker = Callable[[Path], Json]


def written(folder: Path, *arguments: str | Path) -> Json:
    """What the call writes, which has to be strict JSON, and is known again so that the call may be repeated."""
    file = folder / "out.json"
    ended = densecast(*arguments, "--json", file, "-q")
    assert ended.code == 0, ended.err
    own_json.refuse_others(file, "json")
    found: Json = json.loads(file.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    return found


def prepare(root: Path) -> Path:
    """What the calls below start from: a segmentation network and a pose network, each exported and built, and data."""
    fixed = InputShape(height=24, width=32)
    for name in ("cars", "plain", "loud"):
        (root / name).mkdir()
    tiny_artifacts.compiled(root / "cars", BuildOptions("reference", shape=fixed), tiny_graphs.brightness())
    tiny_artifacts.compiled_pose(root / "people", BuildOptions("onnxruntime"))
    carvana(root / "cars" / "data", count=20)
    made_coco.folder(root / "people" / "data", ("val",))
    for index in range(2):
        write_jpeg(root / "images" / f"{index}.jpg", seed=index)
    return root


def _models(root: Path) -> Json:
    """All of them as one, for the names are the data here."""
    found = written(root, "models")
    assert isinstance(found, dict)
    return list(found.values())


def _export_onnx(root: Path) -> Json:
    given = root / "cars" / "tiny.onnx"
    return written(root, "export", given, "--labels", "road,car", "--out", root / "export")


def _export_zoo(root: Path) -> Json:
    import tiny_torch

    given = tiny_torch.write_checkpoint(root / "weights.pth")
    sizes = ("--static", "1x48x72")
    return written(root, "export", "unet_tiny", "--checkpoint", given, *sizes, "--out", root / "export_zoo")


def _build(backend: str, *arguments: str) -> Maker:
    def made(root: Path) -> Json:
        out = root / f"{backend}{len(arguments)}"
        sizes = ("--height", "24", "--width", "32")
        return written(root, "build", root / "cars" / "float", "--out", out, "-b", backend, *sizes, *arguments)

    return made


def _build_int8(root: Path) -> Json:
    data = str(root / "cars" / "data")
    settled = ("--estimator", "mean_minmax", "--bias-correction", "none", "--images", "4")
    return _build("openvino", "-p", "int8", "--data", data, *settled, "--sixteen-bit", "f16")(root)


def _infer(root: Path) -> Json:
    return written(root, "infer", root / "cars" / "built", root / "images", "--out", root / "labels")


def _infer_people(root: Path) -> Json:
    """The file of one image, which is JSON as well."""
    image = root / "people" / "data" / "val2017"
    found = written(root, "infer", root / "people" / "built", image, "--limit", "1", "--out", root / "poses")
    assert isinstance(found, dict) and isinstance(found["results"], list)
    written_file: Json = json.loads(Path(found["results"][0]["file"]).read_text(encoding="utf-8"))
    return written_file


def _evaluate(root: Path) -> Json:
    return written(root, "evaluate", root / "cars" / "built", "--data", root / "cars" / "data", "--split", "all")


def _evaluate_with_views(root: Path) -> Json:
    given = (root / "cars" / "built", "--data", root / "cars" / "data", "--limit", "1", "--flip")
    return written(root, "evaluate", *given)


def _evaluate_people(root: Path) -> Json:
    return written(root, "evaluate", root / "people" / "built", "--data", root / "people" / "data")


def _benchmark(*images: str) -> Maker:
    def made(root: Path) -> Json:
        quick = ("--count", "2", "--seconds", "0", "--warm-up", "0", "--threads", "1")
        return written(root, "benchmark", root / "cars" / "built", *(root / name for name in images), *quick)

    return made


def _compare(root: Path) -> Json:
    """Against a network that parts from it, so that there is a place to name."""
    onnx.save(tiny_graphs.segmentation(seed=9), root / "other.onnx")
    tiny_artifacts.exported(root / "plain")
    given = ("compare", root / "plain" / "float", root / "other.onnx", "--images", root / "images", "--locate")
    return written(root, *given)


def _compare_by_metric(root: Path) -> Json:
    given = (root / "cars" / "built", root / "cars" / "built", "--data", root / "cars" / "data", "--limit", "2")
    return written(root, "compare", *given)


def _compare_people(root: Path) -> Json:
    built, images = root / "people" / "built", root / "people" / "data" / "val2017"
    return written(root, "compare", built, built, "--images", images, "--limit", "2")


def _compare_results(root: Path) -> Json:
    for name, value, speed in (("before", 0.75, 8), ("after", 0.5, 16)):
        score = {"name": "mIoU", "value": value, "better": "higher", "count": 5, "data": {"ids_sha256": "ab"}}
        made = {"score": score, "throughput": {"images_per_s": speed}, "stages": {"infer": {"p50_ms": 64 / speed}}}
        (root / f"{name}.json").write_text(json.dumps(made), encoding="utf-8")
    return written(root, "compare", "results", root / "before.json", root / "after.json", "--tolerance", "mIoU=0.5")


def _stored(root: Path, name: str) -> Path:
    """A store of an evaluation in this process."""
    import made_stores

    pytest.importorskip("pyarrow")
    made_stores.evaluated(root / "cars" / "built", root / "cars" / "data", root / name)
    return root / name


def _merge(root: Path) -> Json:
    return written(root, "merge", _stored(root, "stored"))


def _report_of_a_store(root: Path) -> Json:
    return written(root, "report", _stored(root, "stored"))


def _compare_stores(root: Path) -> Json:
    """With one record of an image changed, so that there is a change to tell."""
    import shutil

    from made_images import write_mask

    one = _stored(root, "stored")
    if not (root / "stored2").exists():
        other = Path(shutil.copytree(root / "cars" / "data", root / "cars" / "data2"))
        write_mask(other / "masks" / "0007_01_mask.gif", np.ones((48, 64), np.uint8))
        import made_stores

        made_stores.evaluated(root / "cars" / "built", other, root / "stored2")
    return written(root, "compare", "results", one, root / "stored2")


def _data_check(root: Path) -> Json:
    """With problems of several kinds, so that there are files to name, and the exit code is 1."""
    data = made_mask_folders.pairs(root / "checked", count=4)
    made_mask_folders.write(data / "masks" / "p01.png", np.full((16, 24), 7, np.uint8))
    made_mask_folders.write(data / "masks" / "alone.png", np.zeros((16, 24), np.uint8))
    (data / "data.toml").write_text('names = ["ground", "red", "green"]\n', encoding="utf-8")
    file = root / "out.json"
    ended = densecast("data", "check", data, "--json", file, "-q")
    assert ended.code == 1, ended.err
    found: Json = json.loads(file.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    return found


def _info(root: Path) -> Json:
    return written(root, "info", root / "cars" / "float")


def _export_to(root: Path) -> Json:
    return written(root, "export-to", "triton", root / "cars" / "float", "--out", root / "handed")


def _bundle(root: Path) -> Json:
    with stub_wheels.instead_of_an_index(root / "stubs"):
        return written(root, "bundle", root / "cars" / "built", "--out", root / "bundle")


def _verify(root: Path) -> Json:
    return written(root, "verify", root / "cars" / "built")


def _serve_check(root: Path) -> Json:
    return written(root, "serve", "--check", root / "cars" / "built")


def _diagnose(root: Path) -> Json:
    model = tiny_graphs.segmentation()
    for tensor in model.graph.initializer:
        if tensor.name == "w1":
            weights = numpy_helper.to_array(tensor).copy()
            weights[1] *= np.float32(1000)
            tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    tiny_artifacts.exported(root / "loud", model)
    found = written(root, "diagnose", root / "loud" / "float", "--images", root / "images")
    assert found
    return found


def _run(root: Path) -> Json:
    pytest.importorskip("jinja2")
    import tiny_torch

    data = carvana(root / "run_data", size_hw=(96, 144))
    given = ("--checkpoint", tiny_torch.write_checkpoint(root / "run.pth"), "--data", data)
    quick = ("--backends", "onnxruntime", "--precisions", "fp32", "--limit", "2")
    return written(root, "run", "unet_tiny", "--out", root / "run", *given, *quick)


def _report(root: Path) -> Json:
    """Of a run with everything in it: what was searched for, tuned and calibrated."""
    pytest.importorskip("jinja2")
    folder = root / "report"
    report.write(made_report.report(folder), folder)
    return written(root, "report", folder)


def _report_of_a_build(root: Path) -> Json:
    return written(root, "report", root / "cars" / "built")


def _doctor(root: Path) -> Json:
    return written(root, "doctor")


def _handoff_prepare(root: Path) -> Json:
    data = ("--data", root / "people" / "data", "--processes", "1")
    return written(root, "handoff", "prepare", root / "people" / "float", "--out", root / "handoff", *data)


def _handoff_simulate(root: Path) -> Json:
    if not (root / "handoff").is_dir():
        _handoff_prepare(root)
    given = ("handoff", "simulate", root / "handoff", "--out", root / "result", "--tool", "ais_bench")
    return written(root, *given)


def _handoff_collect(root: Path) -> Json:
    if not (root / "result").is_dir():
        _handoff_simulate(root)
    given = ("handoff", "collect", root / "handoff", root / "result", "--data", root / "people" / "data")
    return written(root, *given)


NEEDS_TORCH, NEEDS_COCO, NEEDS_NNCF = (pytest.mark.torch,), (pytest.mark.coco,), (pytest.mark.quantize,)
NEEDS_STORE = (pytest.mark.store,)
CALLS: dict[str, tuple[Maker, tuple[pytest.MarkDecorator, ...]]] = {
    "models": (_models, ()),
    "export FILE.onnx": (_export_onnx, ()),
    "export NAME": (_export_zoo, NEEDS_TORCH),
    "build -b onnxruntime": (_build("onnxruntime"), ()),
    "build -b openvino": (_build("openvino"), ()),
    "build -p int8": (_build_int8, NEEDS_NNCF),
    "infer": (_infer, ()),
    "infer, a file of people": (_infer_people, ()),
    "evaluate": (_evaluate, ()),
    "evaluate --flip": (_evaluate_with_views, ()),
    "evaluate, people": (_evaluate_people, NEEDS_COCO),
    "benchmark": (_benchmark(), ()),
    "benchmark IMAGES": (_benchmark("images"), ()),
    "compare --locate": (_compare, ()),
    "compare --data": (_compare_by_metric, ()),
    "compare, people": (_compare_people, ()),
    "compare results": (_compare_results, ()),
    "compare results, stores": (_compare_stores, NEEDS_STORE),
    "merge": (_merge, NEEDS_STORE),
    "report STORE": (_report_of_a_store, NEEDS_STORE),
    "data check": (_data_check, ()),
    "info": (_info, ()),
    "export-to": (_export_to, ()),
    "bundle": (_bundle, (pytest.mark.slow,)),
    "verify": (_verify, ()),
    "serve --check": (_serve_check, ()),
    "diagnose": (_diagnose, ()),
    "run": (_run, (pytest.mark.torch, pytest.mark.slow)),
    "report": (_report, ()),
    "report ARTIFACT": (_report_of_a_build, ()),
    "doctor": (_doctor, ()),
    "handoff prepare": (_handoff_prepare, ()),
    "handoff simulate": (_handoff_simulate, ()),
    "handoff collect": (_handoff_collect, NEEDS_COCO),
}
