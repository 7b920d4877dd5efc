"""A model that is opened on a CPU that may compute something else agrees with its stored answer, or is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import command_line
import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_artifacts
from made_images import write_jpeg
from onnx import numpy_helper

from densecast.artifact import GOLDEN, MANIFEST, CompiledArtifact, elsewhere, manifest
from densecast.artifact.target_record import TargetRecord
from densecast.errors import BackendMissingError, UsageError, WrongCpuError
from densecast.io import files
from densecast.pipeline import Pipeline
from densecast.report import reasons
from densecast.runtime import machine
from densecast.spec.cpu import Cpu
from densecast.spec.options import BuildOptions, HalfType, InputShape, QuantizeOptions
from densecast.verbs.builder import build, default_name, graph_passes
from densecast.verbs.verify import verify

WIDE = ("avx2", "avx512f", "avx512bw", "avx512_vnni")
INT8 = BuildOptions("onnxruntime", "qint8_mixed_float16", InputShape((1,), 24, 32), QuantizeOptions(images=2))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for index in range(2):
        write_jpeg(tmp_path / "images" / f"{index:02}.jpg", seed=index)
    return tmp_path / "images"


@pytest.fixture
def vnni(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, *WIDE)


def on(monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    """From here on this is a CPU with these instruction sets."""
    monkeypatch.setattr(machine, "cpu", lambda: (f"Made-up with {len(flags)}", flags))


def resealed(artifact: CompiledArtifact, target: TargetRecord | None, answer_times: float = 1.0) -> CompiledArtifact:
    """The artifact with another target, and its stored answer times a factor."""
    with np.load(artifact.folder / GOLDEN) as held:
        arrays = {name: held[name] for name in held}
    np.savez(artifact.folder / GOLDEN, output=arrays["output"] * np.float32(answer_times), shape=arrays["shape"])
    hashes = {name: files.sha256(artifact.folder / name) for name in artifact.manifest.files}
    changed = replace(artifact.manifest, files=hashes, target=target)
    files.write_text(artifact.folder / MANIFEST, manifest.to_json(changed))
    return CompiledArtifact.open(artifact.folder)


@pytest.fixture
def built(tmp_path: Path) -> CompiledArtifact:
    made = tiny_artifacts.compiled(tmp_path, BuildOptions("onnxruntime", shape=InputShape((1,), 24, 32)))
    assert isinstance(made, CompiledArtifact)
    return made


def weights(folder: Path) -> np.ndarray:
    """All quantised weights of a model in ONNX."""
    tensors = onnx.load(folder / "model.onnx").graph.initializer
    found = [numpy_helper.to_array(each).ravel() for each in tensors if each.data_type == onnx.TensorProto.INT8]
    return np.concatenate([each for each in found if each.size > 8]).astype(int)


@pytest.mark.parametrize(("cpu", "bits"), [("any", 7), ("avx2", 7), ("vnni", 8), ("arm64", 8)])
def test_the_target_decides_how_many_bits_weights_use(
    tmp_path: Path, images: Path, vnni: None, cpu: Cpu, bits: int
) -> None:
    made = build(tiny_artifacts.exported(tmp_path), options=replace(INT8, cpu=cpu), data=images)
    assert made.folder.name.endswith(f"__{cpu}")
    assert made.manifest.target is not None
    assert (made.manifest.target.cpu, made.manifest.target.weight_bits) == (cpu, bits)
    assert made.manifest.build.cpu == cpu
    told = " ".join(reasons.summary(made))
    assert f"({cpu})" in told and f"int8 weights in {bits} of 8 bits" in told and "precompiled" in told
    held = np.abs(weights(made.folder)).max()
    assert held <= 64 if bits == 7 else held > 64


def test_native_is_what_the_building_cpu_is(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch, vnni: None
) -> None:
    source = tiny_artifacts.exported(tmp_path)
    here = build(source, tmp_path / "here", INT8, data=images)
    on(monkeypatch, "avx2")
    there = build(source, tmp_path / "there", INT8, data=images)
    targets = [each.manifest.target for each in (here, there)]
    assert [(each.cpu, each.weight_bits, each.needs) for each in targets if each] == [
        ("vnni", 8, ("wide_int8_sums",)),
        ("avx2", 7, ()),
    ]
    assert default_name(source.spec, INT8) == default_name(source.spec, replace(INT8, cpu="native"))


def test_what_this_cpu_cannot_check_or_an_engine_does_not_know_is_refused(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tiny_artifacts.exported(tmp_path)
    on(monkeypatch, "avx2")
    with pytest.raises(UsageError, match="cpu any") as refused:
        build(source, options=replace(INT8, cpu="vnni"), data=images)
    assert refused.value.field == "cpu"
    with pytest.raises(UsageError, match="half_type") as refused:
        build(source, options=BuildOptions("openvino", "force_float16", cpu="avx2", half_type="bf16"))
    assert refused.value.field == "half_type"
    with pytest.raises(UsageError, match="every CPU"):
        build(source, options=BuildOptions("reference", cpu="any"))
    assert "--cpu" in command_line.failed(2, "build", source.folder, "-b", "reference", "--cpu", "any")


def test_an_answer_that_differs_elsewhere_is_an_error_that_names_the_cure_and_is_asked_once(
    built: CompiledArtifact, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = TargetRecord("vnni", ("wide_int8_sums",), 8)
    wrong = resealed(built, target, answer_times=1.5)
    on(monkeypatch, *WIDE)
    with Pipeline.open(wrong):
        pass
    on(monkeypatch, "avx2", "avx512f")
    with pytest.raises(WrongCpuError, match=r"VNNI.*--cpu any"):
        Pipeline.open(wrong)
    # Known from here on, without loading the engine; and by a name that a command line can show.
    monkeypatch.setattr("densecast.backends.onnxruntime.BACKEND.load", None)
    with pytest.raises(WrongCpuError, match="--cpu any"):
        Pipeline.open(wrong)


def test_an_answer_that_agrees_elsewhere_opens_and_is_asked_once(
    built: CompiledArtifact, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = resealed(built, TargetRecord("vnni", ("wide_int8_sums",), 8))
    on(monkeypatch, "avx2")
    with Pipeline.open(sound):
        pass
    assert len(list((own_cache / "answers_elsewhere").iterdir())) == 1
    monkeypatch.setattr("densecast.artifact.stored_answer.error", None)
    with Pipeline.open(sound):
        pass
    on(monkeypatch, "avx2", "fma")
    with pytest.raises(TypeError):  # another CPU is asked again
        Pipeline.open(sound)


def test_without_a_stored_answer_nobody_can_tell(built: CompiledArtifact, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {name: digest for name, digest in built.manifest.files.items() if name != GOLDEN}
    without = replace(
        built, manifest=replace(built.manifest, files=kept, target=TargetRecord("vnni", ("wide_int8_sums",), 8))
    )
    on(monkeypatch, "avx2")
    with pytest.raises(WrongCpuError, match="no answer is stored"):
        Pipeline.open(without)


def test_an_artifact_of_before_there_were_targets_depends_on_the_cpu_that_built_it(built: CompiledArtifact) -> None:
    def needs(precision: str, flags: tuple[str, ...], hint: str = "") -> tuple[str, ...]:
        here = replace(built.manifest.machine, cpu_flags=flags)
        options = replace(built.manifest.build, precision=precision)  # type: ignore[arg-type]
        settings = {"INFERENCE_PRECISION_HINT": hint} if hint else {}
        return elsewhere.needs(replace(built.manifest, machine=here, build=options, settings=settings, target=None))

    assert needs("qint8_mixed_float16", WIDE) == ("wide_int8_sums",)
    assert needs("qint8_mixed_float16", ("avx2",)) == ()
    assert needs("force_float16", (*WIDE, "avx512_bf16"), "bf16") == ("bfloat16",)
    assert needs("force_float32", WIDE, "f32") == ()


def test_int8_of_another_architecture_is_asked_for_its_answer(
    tmp_path: Path, images: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, *WIDE)
    made = build(tiny_artifacts.exported(tmp_path), tmp_path / "int8", INT8, data=images)
    there = replace(made.manifest.machine, system="Linux 6.1 riscv64")
    assert elsewhere.lacking(made.manifest) == ()
    moved = replace(made, manifest=replace(made.manifest, machine=there))
    assert elsewhere.lacking(moved.manifest) == ("same_architecture",)
    with Pipeline.open(moved):
        pass
    assert len(list((own_cache / "answers_elsewhere").iterdir())) == 1
    kept = {name: digest for name, digest in moved.manifest.files.items() if name != GOLDEN}
    with pytest.raises(WrongCpuError, match=r"int8 it was built on riscv64, whose kernels .*-b onnxruntime"):
        Pipeline.open(replace(moved, manifest=replace(moved.manifest, files=kept)))


def test_verify_says_what_opening_would_refuse(built: CompiledArtifact, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = resealed(built, TargetRecord("vnni", ("wide_int8_sums",), 8), answer_times=1.5)
    on(monkeypatch, "avx2")
    (answer,) = [check for check in verify(wrong.folder).checks if check.name == "answer"]
    assert answer.state == "failed" and "--cpu any" in answer.told


def test_a_cpu_too_old_for_the_engines_is_told_so_at_once(
    tmp_path: Path, built: CompiledArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.platform, "machine", lambda: "x86_64")
    on(monkeypatch)
    with pytest.raises(BackendMissingError, match="AVX2"):
        Pipeline.open(built)
    with pytest.raises(BackendMissingError, match="AVX2"):
        build(tiny_artifacts.exported(tmp_path, name="other"), options=BuildOptions("openvino"))


@pytest.mark.parametrize(
    ("half_type", "flags"), [("bf16", (*WIDE, "avx512_fp16")), ("f16", (*WIDE, "avx512_bf16", "amx_bf16"))]
)
def test_a_16_bit_type_that_a_cpu_lacks_is_computed_in_float32_and_not_in_the_other_one(
    half_type: HalfType, flags: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    source = tiny_artifacts.exported(tmp_path)
    options = BuildOptions("openvino", "force_float16", InputShape((1,), 24, 32), half_type=half_type, cpu="any")
    made = build(source, tmp_path / "half", options)
    on(monkeypatch, *flags)
    feed = np.random.default_rng(0).normal(size=(1, 3, 24, 32)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(source.folder / "model.onnx"), providers=["CPUExecutionProvider"])
    expected = session.run(None, {session.get_inputs()[0].name: feed})[0]
    with Pipeline.open(made, threads=1) as pipeline:
        assert pipeline.precision.compute == "float32"
        (found,) = pipeline.session.forward({pipeline.spec.input.name: feed}).values()
    # Sums in another order; 16 bits would be off by a thousand times as much.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * float(np.abs(expected).max()))
    assert [check.state for check in verify(made.folder).checks if check.name == "precision"] == ["note"]


@pytest.mark.parametrize(
    ("flags", "cpu", "is_half"),
    [
        ("avx2 avx512f avx512bw", "native", False),
        ("avx2 avx512f avx512bw avx512_vnni", "native", False),
        ("avx2 avx512f avx512bw avx512_vnni avx512_bf16", "native", True),
        ("avx2 avx512f avx512bw avx512_vnni avx512_bf16", "vnni", False),
        ("avx2 avx512f avx512bw", "any", True),
        ("avx2", "amx", True),
    ],
)
def test_where_16_bits_are_computed_in_float32_graphs_are_changed_as_in_float32(
    flags: str, cpu: Cpu, is_half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, *flags.split())
    float32 = graph_passes.chosen(BuildOptions("openvino", "force_float32", cpu=cpu))
    half = graph_passes.chosen(BuildOptions("openvino", "force_float16", cpu=cpu))
    assert "split_dilated_convs" not in float32
    assert ("split_dilated_convs" in half) == is_half and (half == float32) != is_half
