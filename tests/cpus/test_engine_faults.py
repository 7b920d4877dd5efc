"""What fails inside an engine is handled where it happens: another type is taken, or the error names the layer."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import crashing_engine
import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
import tiny_artifacts
import tiny_graphs
from made_images import carvana

from densecast.backends import _nncf_trial, _openvino_trial, _ort_trial
from densecast.errors import BadGraphError, UsageError
from densecast.pipeline import Pipeline
from densecast.runtime import cpuid, machine, trial
from densecast.spec.options import BuildOptions, InputShape, QuantizeOptions
from densecast.spec.precision import Precision
from densecast.verbs.builder import build

FP16 = BuildOptions("openvino", "force_float16", InputShape((1,), 24, 32))


def named() -> onnx.ModelProto:
    """The tiny network; one of its layers has the name of the one that crashes."""
    model = tiny_graphs.segmentation()
    for number, node in enumerate(model.graph.node):
        node.name = crashing_engine.LAYER if node.op_type == "Relu" else f"layer{number}"
    return model


@pytest.fixture
def crashes(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    monkeypatch.setattr(_openvino_trial, "FUNCTION", "crashing_engine:compile_and_run")


def test_a_16_bit_type_that_ends_the_process_is_not_taken(tmp_path: Path, crashes: None) -> None:
    if not {"bfloat16", "float16"} & machine.able():
        pytest.skip("this CPU has no 16-bit type to choose")
    built = build(tiny_artifacts.exported(tmp_path, named()), tmp_path / "built", FP16)
    record = built.manifest.half_type
    assert record is not None and record.chosen == "f32"
    assert "ends the process" in record.why and f"'{crashing_engine.LAYER}'" in record.why and "SIGSEGV" in record.why
    assert built.manifest.precision_ran.compute == "float32"


def test_a_type_that_was_asked_for_and_ends_the_process_is_an_error_that_names_the_layer(
    tmp_path: Path, crashes: None
) -> None:
    options = BuildOptions("openvino", "force_float16", InputShape((1,), 24, 32), half_type="bf16")
    with pytest.raises(BadGraphError, match=f"'{crashing_engine.LAYER}'.*SIGSEGV") as refused:
        build(tiny_artifacts.exported(tmp_path, named()), tmp_path / "built", options)
    assert "bf16" in str(refused.value) and not (tmp_path / "built").exists()


@pytest.mark.parametrize("precision", ["force_float32", "force_float16", "qint8_mixed_float16"])
def test_a_graph_that_ends_onnx_runtimes_process_is_an_error_that_names_the_layer(
    precision: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ort_trial, "FUNCTION", "crashing_engine:load_and_run")
    options = BuildOptions("onnxruntime", precision, InputShape((1,), 24, 32))
    images = carvana(tmp_path / "data", count=2) / "imgs"
    with pytest.raises(BadGraphError, match=f"'{crashing_engine.LAYER}'.*SIGSEGV"):
        build(tiny_artifacts.exported(tmp_path, named()), tmp_path / "built", options, data=images)
    assert not (tmp_path / "built").exists()


@pytest.mark.quantize
def test_where_the_quantiser_fails_as_well_the_crash_is_what_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise BadGraphError("layer 'a' ends the process.")

    options = BuildOptions("openvino", "qint8_mixed_float16", InputShape((1,), 24, 32))
    options = replace(options, quantize=QuantizeOptions(excluded_names=("nowhere",), calibration_method="minmax"))
    images = carvana(tmp_path / "data", count=2) / "imgs"
    source = tiny_artifacts.exported(tmp_path, named())
    monkeypatch.setattr(_openvino_trial, "check", crash)
    with pytest.raises(BadGraphError, match="layer 'a' ends the process") as told:
        build(source, tmp_path / "built", options, data=images)
    assert isinstance(told.value.__context__, UsageError) and "nowhere" in str(told.value.__context__)


@pytest.mark.quantize
@pytest.mark.parametrize("crash", ["show_activations", "run_layers_alone"])
def test_a_graph_that_ends_the_process_that_calibrates_is_an_error_that_names_the_layer(
    crash: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_openvino_trial, "FUNCTION", f"crashing_engine:{crash}")
    int8 = QuantizeOptions(calibration_method="minmax", bias_correction="fast")
    options = BuildOptions("openvino", "qint8_mixed_float16", InputShape((1,), 24, 32), int8)
    images = carvana(tmp_path / "data", count=2) / "imgs"
    with pytest.raises(BadGraphError, match=f"in f32 .*'{crashing_engine.LAYER}'.*SIGSEGV"):
        build(tiny_artifacts.exported(tmp_path, named()), tmp_path / "built", options, data=images)
    assert not (tmp_path / "built").exists()


@pytest.mark.quantize
def test_biases_whose_full_correction_ends_the_process_are_an_error_that_names_the_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_nncf_trial, "FUNCTION", "crashing_engine:correct_fully")
    int8 = QuantizeOptions(calibration_method="minmax", bias_correction="full")
    options = BuildOptions("openvino", "qint8_mixed_float16", InputShape((1,), 24, 32), int8)
    images = carvana(tmp_path / "data", count=2) / "imgs"
    with pytest.raises(BadGraphError, match=f"biases in full .*'{crashing_engine.LAYER}'.*SIGSEGV.*fast") as refused:
        build(tiny_artifacts.exported(tmp_path, named()), tmp_path / "built", options, data=images)
    assert refused.value.field == "quantize.bias_correction" and not (tmp_path / "built").exists()


@pytest.mark.quantize
@pytest.mark.parametrize("confined", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_full_correction_is_done_to_its_end_where_it_is_tried(tmp_path: Path, confined: bool) -> None:
    """Of beginnings of the network as well; in the confined process with what may be read there."""
    pytest.importorskip("nncf")
    onnx.save(tiny_graphs.segmentation(24, 32, batch=1), tmp_path / "tiny.onnx")
    given = {"model": str(tmp_path / "tiny.onnx"), "shapes": {"image": [1, 3, 24, 32]}, "types": {"image": "float32"}}
    given |= {"options": {"calibration_method": "minmax", "bias_correction": "full", "activations": "symmetric"}}
    libraries = ("numpy", "densecast.backends._openvino_light", "densecast.backends._openvino_trial")
    for operators in (None, 2):
        job = {**given, "operators": operators}
        if confined:
            told = trial.run(_nncf_trial.FUNCTION, job, subject="it", readable=[tmp_path], libraries=libraries)
        else:
            told = _nncf_trial.correct_fully(job, tmp_path)
        assert told == {"fault": None}


def test_what_calibrations_see_is_run_first(tmp_path: Path) -> None:
    """Every activation that a layer in int8 would read or give is an output of what is tried."""
    ov = pytest.importorskip("openvino")
    onnx.save(tiny_graphs.segmentation(24, 32, batch=1), tmp_path / "tiny.onnx")
    read = ov.Core.read_model
    models = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ov.Core, "read_model", lambda core, path: models.append(read(core, path)) or models[-1])
        given = {"model": str(tmp_path / "tiny.onnx"), "hint": "f32", "operators": None, "calibrates": True}
        given |= {"corrects_biases": False, "shapes": {"image": [1, 3, 24, 32]}}
        assert _openvino_trial.compile_and_run(given, tmp_path)["fault"] is None
    channels = sorted(each.get_partial_shape()[1].get_length() for each in models[0].outputs)
    # The first convolution's sums before their bias, what is left of them above 0, and the second one's sums.
    assert channels == [2, 8, 8]


def test_activations_that_take_too_much_memory_at_once_are_tried_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with as many as fit, beside the network's own output; one alone where not even two do."""
    ov = pytest.importorskip("openvino")
    onnx.save(tiny_graphs.segmentation(24, 32, batch=1), tmp_path / "tiny.onnx")
    compile_model, tried = ov.Core.compile_model, list[list[int]]()

    def noting(core: Any, model: Any, *more: Any) -> Any:
        tried.append(sorted(each.get_partial_shape()[1].get_length() for each in model.outputs))
        return compile_model(core, model, *more)

    monkeypatch.setattr(ov.Core, "compile_model", noting)
    given = {"model": str(tmp_path / "tiny.onnx"), "hint": "f32", "operators": None, "calibrates": True}
    given |= {"corrects_biases": False, "shapes": {"image": [1, 3, 24, 32]}}
    for most_bytes, wanted in ((1, [[2, 8], [2, 8]]), (1 << 30, [[2, 8, 8]])):
        monkeypatch.setattr(_openvino_trial, "most_bytes_shown", lambda most_bytes=most_bytes: most_bytes)
        tried.clear()
        assert _openvino_trial.compile_and_run(given, tmp_path)["fault"] is None
        assert tried == wanted


def test_layers_run_alone_as_where_biases_are_corrected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each layer that may be in int8, on what it read in the whole network; the same layer twice runs once."""
    ov = pytest.importorskip("openvino")
    model = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        twice (float[N, 3, H, W] image) => (float[N, 3, H, W] logits) {
            a = Conv <pads = [1, 1, 1, 1]> (image, w)
            b = Relu (a)
            c = Conv <pads = [1, 1, 1, 1]> (b, w)
            logits = Conv (c, small)
        }
        """
    )
    rng = np.random.default_rng(0)
    for name, shape in (("w", (3, 3, 3, 3)), ("small", (3, 3, 1, 1))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name))
    onnx.save(model, tmp_path / "twice.onnx")
    compiled = ov.Core.compile_model
    shapes = []

    def compile_model(core: object, given: Any, *rest: object) -> object:
        made = compiled(core, given, *rest)
        shapes.append([tuple(each.partial_shape.to_shape()) for each in made.inputs if each.partial_shape.is_static])
        kinds.append(sorted(node.get_type_name() for node in given.get_ops()))
        return made

    kinds: list[list[str]] = []
    monkeypatch.setattr(ov.Core, "compile_model", compile_model)
    given = {"model": str(tmp_path / "twice.onnx"), "hint": "f32", "operators": None, "calibrates": True}
    given |= {"corrects_biases": True, "shapes": {"image": [1, 3, 24, 32]}}
    assert _openvino_trial.compile_and_run(given, tmp_path)["fault"] is None
    whole, *alone = kinds
    assert whole.count("Convolution") == 3
    assert [each.count("Convolution") for each in alone] == [1, 1] and all("Relu" not in each for each in alone)
    assert shapes[1:] == [[(1, 3, 24, 32)], [(1, 3, 24, 32)]]


def test_every_beginning_of_a_graph_runs() -> None:
    """Else a layer before the one to blame would be named."""
    for count in range(1, len(named().graph.node) + 1):
        begun = _ort_trial.beginning(named(), count)
        session = onnxruntime.InferenceSession(begun.SerializeToString(), providers=["CPUExecutionProvider"])
        outputs = session.run(None, {"image": np.zeros((1, 3, 24, 32), np.float32)})
        assert outputs and all(np.isfinite(each).all() for each in outputs)


def test_what_ends_its_process_does_not_end_this_one() -> None:
    with pytest.raises(trial.EngineCrashError, match="SIGABRT"):
        trial.run("crashing_engine:abort", {}, subject="the model", readable=[], libraries=())


@pytest.mark.slow
@pytest.mark.skipif("avx512bw" not in (cpuid.flags() or ()), reason="this CPU has nothing to be kept from OpenVINO")
def test_a_16_bit_type_that_is_listed_and_does_not_compile_is_not_taken(tmp_path: Path) -> None:
    """With `ONEDNN_MAX_CPU_ISA=AVX2` OpenVINO lists bfloat16, and has no deconvolution in it."""
    weights = np.random.default_rng(0).standard_normal((3, 2, 2, 2)).astype(np.float32)
    model = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        tiny (float[N, 3, H, W] image) => (float[N, 2, H2, W2] logits) {
            logits = ConvTranspose <strides = [2, 2]> (image, w)
        }
        """
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    source = tiny_artifacts.exported(tmp_path, model)
    code = (
        "import sys, densecast; from densecast import BuildOptions, InputShape\n"
        "options = BuildOptions('openvino', 'force_float16', InputShape((1,), 24, 32))\n"
        "print(densecast.build(sys.argv[1], sys.argv[2], options).manifest.precision_ran.compute)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(source.folder), str(tmp_path / "built")],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "DENSECAST_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "float32"
    with Pipeline.open(tmp_path / "built", threads=1) as pipeline:
        assert pipeline.precision.compute == "float32"
