"""What holds for every engine: the reference's numbers, refusal of what does not fit, and no silent weaker path."""

from __future__ import annotations

import functools
import importlib.util
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts
import tiny_graphs
from made_images import picture, write_jpeg
from onnx.reference import ReferenceEvaluator

from densecast.artifact import Artifact
from densecast.backends._base import BACKENDS, Capabilities, Runner
from densecast.errors import BadArtifactError, BadShapeError, MissingError, UsageError
from densecast.runtime.execution import ExecutionConfig
from densecast.session import Session
from densecast.spec.options import BuildOptions, HalfType, InputShape, Range
from densecast.spec.precision import PRECISIONS
from densecast.testing import check_backend
from densecast.verbs.builder import build

Made = Callable[[BuildOptions], Artifact]

NAMES = BACKENDS.names()
OPEN = InputShape(batch=Range(1, 4))

# Of the largest logit. float32: 27 products summed in another order. 16 bits: bfloat16 keeps 8 bits of mantissa,
# so every factor is off by up to 2^-9, twice in a row.
FLOAT32, SIXTEEN_BIT = 1e-5, 2e-2


def abilities_of(name: str) -> Capabilities:
    """The engine's capabilities; skips, in the engine's own words, where it is not installed."""
    found: Capabilities = BACKENDS.load(name).capabilities()
    if found.missing:
        pytest.skip(found.missing)
    return found


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A float artifact for every engine: with the original network inside, where torch is there."""
    folder = tmp_path_factory.mktemp("source")
    if importlib.util.find_spec("torch") is None:
        return tiny_artifacts.exported(folder)
    import tiny_torch

    from densecast.verbs.export import export_file

    return export_file(tiny_torch.write_script(folder / "tiny.pt"), tiny_artifacts.spec(), folder / "float")


@pytest.fixture(scope="module")
def made(source: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Builds the source as these options say; what was built for another test is the same."""
    return functools.cache(lambda options: build(source, tmp_path_factory.mktemp("made") / "built", options))


def runner_of(made: Made, options: BuildOptions) -> tuple[Artifact, Runner]:
    artifact = made(options)
    runner: Runner = BACKENDS.load(options.backend).load(artifact, ExecutionConfig(1))
    return artifact, runner


def feed(batch: int = 1, size_hw: tuple[int, int] = (40, 56)) -> np.ndarray:
    images = [picture(size_hw, seed).transpose(2, 0, 1) for seed in range(batch)]
    return (np.stack(images) / 255).astype(np.float32)


def expected(array: np.ndarray) -> np.ndarray:
    return ReferenceEvaluator(tiny_graphs.segmentation()).run(None, {"image": array})[0]


@pytest.mark.parametrize("name", NAMES)
def test_capabilities_tell_version_devices_and_precisions(name: str) -> None:
    found = abilities_of(name)
    assert found.version and found.devices and "force_float32" in found.precisions
    assert set(found.precisions) <= set(PRECISIONS)


@pytest.mark.parametrize("precision", ["force_float32", "force_float16"])
@pytest.mark.parametrize("name", NAMES)
def test_logits_equal_the_reference(name: str, precision: str, made: Made) -> None:
    if precision not in abilities_of(name).precisions:
        pytest.skip(f"{name} has no {precision}, and says so")
    _, runner = runner_of(made, BuildOptions(name, precision, OPEN))
    for array in (feed(), feed(3, (24, 40))):
        logits = runner.run({"image": array})
        assert set(logits) == {"logits"}
        wanted = expected(array)
        share = FLOAT32 if precision == "force_float32" else SIXTEEN_BIT
        assert logits["logits"].shape == wanted.shape
        np.testing.assert_allclose(logits["logits"], wanted, rtol=0, atol=share * np.abs(wanted).max())
    runner.close()


@pytest.mark.parametrize("name", NAMES)
def test_bytes_in_give_the_logits_of_floats_in(name: str, made: Made) -> None:
    abilities_of(name)
    _, floats = runner_of(made, BuildOptions(name, shape=OPEN))
    _, byte_in = runner_of(made, BuildOptions(name, shape=OPEN, uint8_input=True))
    array = picture((40, 56)).transpose(2, 0, 1)[None]
    preprocess = tiny_artifacts.PREPROCESS
    mean, std = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in (preprocess.mean, preprocess.std))
    wanted = floats.run({"image": (array.astype(np.float32) - mean) / std})["logits"].copy()
    found = byte_in.run({"image": array})["logits"]
    # The same subtraction and division inside, which an engine may fold into the first convolution's weights.
    np.testing.assert_allclose(found, wanted, rtol=0, atol=FLOAT32 * np.abs(wanted).max())
    with pytest.raises(BadShapeError, match="uint8"):
        byte_in.run({"image": array.astype(np.float32)})


@pytest.mark.parametrize("name", NAMES)
def test_inferences_at_a_time_do_not_meet(name: str, made: Made) -> None:
    abilities_of(name)
    artifact = made(BuildOptions(name, shape=OPEN))
    runner: Runner = BACKENDS.load(name).load(artifact, ExecutionConfig(num_threads=3, num_streams=3))
    if runner.max_concurrency == 1:
        pytest.skip(f"{name} runs one inference at a time")
    arrays = [feed(2, size_hw) for size_hw in ((40, 56), (24, 40), (33, 48))]
    wanted = [runner.run({"image": array})["logits"].copy() for array in arrays]
    together = threading.Barrier(len(arrays))

    def differing(stream: int) -> int:
        together.wait(timeout=30)
        found = 0
        for number in range(40):
            which = (stream + number) % len(arrays)
            logits = runner.run({"image": arrays[which]}, stream)["logits"]
            found += not np.array_equal(logits, wanted[which])
        return found

    with ThreadPoolExecutor(len(arrays)) as pool:
        assert list(pool.map(differing, range(len(arrays)))) == [0, 0, 0]
    with pytest.raises(BadShapeError):
        runner.run({"image": arrays[0].astype(np.float64)}, 1)
    runner.close()


@pytest.mark.parametrize("name", NAMES)
def test_the_checks_that_users_have_for_backends_of_their_own(name: str, made: Made) -> None:
    abilities_of(name)
    built = made(BuildOptions(name, shape=OPEN))
    array = feed(2)
    check_backend(BACKENDS.load(name), built, {"image": array}, {"logits": expected(array)}, tolerance=FLOAT32)


@pytest.mark.parametrize("name", NAMES)
def test_feeds_that_do_not_fit_are_refused(name: str, made: Made) -> None:
    abilities_of(name)
    _, runner = runner_of(made, BuildOptions(name, shape=OPEN))
    good = feed()
    wrong = {
        "another dtype": {"image": good.astype(np.float64)},
        "no batch axis": {"image": good[0]},
        "four channels": {"image": np.concatenate([good, good[:, :1]], axis=1)},
        "too many images": {"image": np.repeat(good, 5, axis=0)},
        "too large": {"image": np.zeros((1, 3, 600, 40), np.float32)},
        "another name": {"picture": good},
        "a name more": {"image": good, "mask": good},
        "nothing": {},
    }
    for what, feeds in wrong.items():
        with pytest.raises(BadShapeError):
            runner.run(feeds)
            pytest.fail(f"{name} took {what}")
    assert runner.run({"image": good})["logits"].shape == (1, 2, 40, 56)


@pytest.mark.parametrize("name", NAMES)
def test_listed_batch_sizes_are_taken_and_give_each_image_its_own(name: str, made: Made) -> None:
    abilities_of(name)
    options = BuildOptions(name, shape=InputShape(batch=(3, 1), height=40, width=56))
    artifact, runner = runner_of(made, options)
    assert runner.batch_sizes in (None, (1, 3))
    assert (runner.inputs[0].shape[0].min, runner.inputs[0].shape[0].max) == (1, 3)
    assert artifact.spec.inputs == runner.inputs and artifact.spec.outputs == runner.outputs
    together = runner.run({"image": feed(3)})["logits"].copy()
    for index in range(3):
        alone = runner.run({"image": feed(3)[index : index + 1]})["logits"]
        np.testing.assert_allclose(alone[0], together[index], rtol=0, atol=FLOAT32 * np.abs(together).max())
    if runner.batch_sizes:
        with pytest.raises(BadShapeError, match=r"batches of \(1, 3\), got 2"):
            runner.run({"image": feed(2)})


@pytest.mark.parametrize("name", NAMES)
def test_precision_is_read_back_and_recorded(name: str, made: Made) -> None:
    abilities_of(name)
    artifact, runner = runner_of(made, BuildOptions(name, shape=OPEN))
    ran = runner.precision
    assert ran.compute == "float32"
    assert ran.source
    assert artifact.manifest.precision_asked == "force_float32"
    assert artifact.manifest.precision_ran == ran


@pytest.mark.parametrize("asked", ["bf16", "f16"])
@pytest.mark.parametrize("name", NAMES)
def test_a_sixteen_bit_type_asked_by_name_is_never_the_other_one(name: str, asked: HalfType, made: Made) -> None:
    if "force_float16" not in abilities_of(name).precisions:
        pytest.skip(f"{name} has no 16-bit precision, and says so")
    options = BuildOptions(name, "force_float16", OPEN, half_type=asked)
    try:
        artifact, runner = runner_of(made, options)
    except MissingError:
        return  # refused, with the cure
    # A CPU without the type computes in float32; that is what is read back then.
    assert runner.precision.compute in ({"bf16": "bfloat16", "f16": "float16"}[asked], "float32")
    assert artifact.manifest.precision_ran == runner.precision


@pytest.mark.quantize
@pytest.mark.parametrize("uint8_input", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_int8_runs_in_int8_near_the_reference(name: str, uint8_input: bool, source: Artifact, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    if "qint8_mixed_float16" not in abilities_of(name).precisions:
        pytest.skip(f"{name} has no int8, and says so")
    for seed in range(6):
        write_jpeg(tmp_path / "images" / f"{seed}.jpg", (80, 112), seed)
    options = BuildOptions(name, "qint8_mixed_float16", OPEN, uint8_input=uint8_input)
    artifact = build(source, tmp_path / "built", options, data=tmp_path / "images")
    runner: Runner = BACKENDS.load(name).load(artifact, ExecutionConfig(1))
    assert runner.precision.compute == "int8"
    assert artifact.manifest.calibration is not None and artifact.manifest.calibration.count == 6
    array = feed(2)
    logits = runner.run({"image": (array * 255).round().astype(np.uint8) if uint8_input else array})["logits"]
    wanted = expected(array)
    # Two layers of 8 bits: each value is off by up to half a step of 1/255 of its range, weights and sums alike.
    assert np.abs(logits - wanted).mean() < 0.02 * np.abs(wanted).max()


@pytest.mark.parametrize("name", NAMES)
def test_sixteen_bits_with_bytes_in_give_the_references_logits(name: str, made: Made) -> None:
    if "force_float16" not in abilities_of(name).precisions:
        pytest.skip(f"{name} has no 16-bit precision, and says so")
    _, runner = runner_of(made, BuildOptions(name, "force_float16", OPEN, uint8_input=True))
    array = picture((40, 56)).transpose(2, 0, 1)[None]
    wanted = expected(array.astype(np.float32) / 255)
    found = runner.run({"image": array})["logits"]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=SIXTEEN_BIT * np.abs(wanted).max())


@pytest.mark.parametrize("name", NAMES)
def test_a_precision_the_engine_lacks_is_refused(name: str, source: Artifact, tmp_path: Path) -> None:
    found = abilities_of(name)
    for precision in set(PRECISIONS) - set(found.precisions):
        with pytest.raises(UsageError, match=f"has no {precision}; it has force_float32"):
            build(source, tmp_path / "built", BuildOptions(name, precision))
    assert not list(tmp_path.iterdir())


def test_a_float_artifact_is_not_loaded(source: Artifact) -> None:
    with pytest.raises(BadArtifactError, match="densecast build"):
        Session.open(source, ExecutionConfig(1))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "reference"])
def test_a_missing_library_is_said_and_never_replaced(
    name: str, source: Artifact, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    abilities_of(name)
    module = BACKENDS.load(name)
    artifact = made(BuildOptions(name))
    monkeypatch.setitem(sys.modules, name, None)
    assert "pip install" in (module.capabilities().missing or "")
    with pytest.raises(MissingError, match="pip install"):
        module.load(artifact, ExecutionConfig(1))
    with pytest.raises(MissingError, match="pip install"):
        build(source, tmp_path / "again", BuildOptions(name))
    assert not (tmp_path / "again").exists()
