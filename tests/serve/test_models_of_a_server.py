"""Models are found by name and version, and tell what they take and give; no server is started."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts
from plain_backend import PlainBackend

from densecast import plugins
from densecast.artifact import CompiledArtifact
from densecast.backends._base import BACKENDS
from densecast.errors import BadArtifactError, UsageError
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.serve_options import ServeOptions
from densecast.spec.tensor import Feeds
from densecast.verbs.builder import build
from densecast.verbs.serve.models import Models, Place, Served, places
from densecast.verbs.serve.refusals import Refused


@pytest.fixture(scope="module")
def plain() -> Iterator[None]:
    with plugins.apart():
        BACKENDS.register("plain", PlainBackend())
        yield


@pytest.fixture(scope="module")
def built(plain: None, tmp_path_factory: pytest.TempPathFactory) -> CompiledArtifact:
    folder = tmp_path_factory.mktemp("served")
    source = tiny_artifacts.exported(folder)
    return build(source, folder / "built", BuildOptions("plain", shape=InputShape((1, 2))))


class Told:
    def batch(self, images: int, queued_s: Sequence[float]) -> None: ...

    def stages(self, stages_ms: dict[str, float], images: int) -> None: ...


@pytest.fixture(scope="module")
def served(built: CompiledArtifact) -> Iterator[Served]:
    place = Place("mine", "7", built)
    found = Served(place, ServeOptions(workers=1), Told(), threading.Semaphore(1))
    yield found
    found.close(30)


def test_what_a_model_takes_and_gives_is_told_with_open_sides_as_minus_one(served: Served) -> None:
    told = served.metadata(["3", "7"])
    assert (told["name"], told["versions"], told["platform"]) == ("mine", ["3", "7"], "densecast_plain")
    assert told["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    parameters = told["parameters"]
    assert parameters["network_inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 3, -1, -1]}]
    (network,) = parameters["network_outputs"]
    assert network["datatype"] == "FP32" and network["shape"][:2] == [-1, 2]
    assert (parameters["version"], parameters["task"], parameters["backend"]) == ("7", "segmentation", "plain")
    assert parameters["labels"] == ["background", "car"] and parameters["limbs"] == []
    assert parameters["is_upright"] == served.pipeline.spec.preprocess.use_exif
    assert len(parameters["palette"]) == 2 and all(len(colour) == 3 for colour in parameters["palette"])
    first = told["outputs"][0]
    assert first == {"name": "class_id", "datatype": "UINT8", "shape": [-1, -1, -1]}
    assert {each["name"] for each in told["outputs"]} == set(served.outputs)
    assert {"probability", "class_id_png", "class_id_rle", "overlay_png"} <= set(served.outputs)
    defaults = [name for name, each in served.outputs.items() if each.is_default]
    assert defaults == ["class_id"] and served.outputs["probability"].scores and not served.outputs["class_id"].scores


def batch(count: int = 2, height: int = 16, width: int = 24) -> Feeds:
    return {"image": np.random.default_rng(0).random((count, 3, height, width), np.float32)}


def test_the_network_itself_runs_on_a_batch(served: Served) -> None:
    feeds = served.check_feeds(batch())
    together = served.run_network(feeds)
    assert tuple(together) == served.network_outputs
    for place in range(2):
        alone = served.run_network({"image": feeds["image"][place : place + 1]})
        for name, array in alone.items():
            np.testing.assert_allclose(together[name][place : place + 1], array, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("feeds", "field"),
    [
        ({"other": batch()["image"]}, "inputs[image]"),
        ({"image": batch()["image"].astype(np.float64)}, "inputs[image].datatype"),
        ({"image": batch()["image"].astype(object)}, "inputs[image].datatype"),
        ({"image": batch()["image"][0]}, "inputs[image].shape"),
        (batch(0), "inputs[image].shape"),
        (batch(height=7), "inputs[image].shape"),
        (batch(height=513), "inputs[image].shape"),
        (batch(width=7), "inputs[image].shape"),
        ({"image": batch()["image"][:, :2]}, "inputs[image].shape"),
        ({**batch(), "more": np.zeros((1, 1), np.float32)}, "inputs[image].shape"),
        (
            {"image": np.where(batch()["image"] > 0.9, np.nan, batch()["image"]).astype(np.float32)},
            "inputs[image].data",
        ),
        ({"image": np.full((1, 3, 8, 8), np.inf, np.float32)}, "inputs[image].data"),
    ],
)
def test_a_batch_that_the_network_does_not_take_is_refused(feeds: Feeds, field: str, served: Served) -> None:
    with pytest.raises(Refused) as refused:
        served.check_feeds(feeds)
    assert (refused.value.status, refused.value.field) == (400, field)
    for height, width in ((8, 8), (512, 8), (8, 512)):
        assert served.check_feeds(batch(1, height, width))["image"].shape == (1, 3, height, width)


def test_models_are_named_after_themselves_or_as_they_are_given(built: CompiledArtifact) -> None:
    folder = built.folder
    found = places(
        [folder, folder, f"a={folder}", f"a:3={folder}", f"a={folder}", f"a:1.0_x-y={folder}", f"b={folder}"]
    )
    assert [(each.name, each.version) for each in found] == [
        ("tiny", "1"), ("tiny", "2"), ("a", "1"), ("a", "3"), ("a", "2"), ("a", "1.0_x-y"), ("b", "1"),
    ]  # fmt: skip
    for wrong in ([], [f"a:1={folder}", f"a:1={folder}"], [f"a/b={folder}"], [f"a:={folder}"], [f":1={folder}"],
                  [f"-a={folder}"], [f"{'n' * 101}={folder}"], [f"ä={folder}"]):  # fmt: skip
        with pytest.raises(UsageError) as error:
            places(wrong)
        assert error.value.field == "artifacts"
    assert places([f"{'n' * 100}={folder}"])[0].name == "n" * 100
    with pytest.raises(BadArtifactError):
        places([folder.parent / "float"])


def test_a_folder_whose_name_has_an_equals_sign_is_that_folder(built: CompiledArtifact, tmp_path: Path) -> None:
    odd = tmp_path / "a=b"
    odd.symlink_to(built.folder)
    assert [(each.name, each.artifact.folder.name) for each in places([str(odd)])] == [("tiny", "a=b")]


class Named(Served):
    """A model that is only looked up."""

    def __init__(self, name: str, version: str) -> None:
        self.name, self.version = name, version


def test_models_are_found_by_name_and_version() -> None:
    models = Models()

    def asked(name: str | None, version: str | None = None) -> Served | tuple[int, str | None]:
        try:
            return models.find(name, version)
        except Refused as refused:
            return refused.status, refused.field

    assert asked(None) == asked("a") == (404, "model")
    first, second, other = Named("a", "2"), Named("a", "1"), Named("b", "1")
    models.replace(None, first)
    assert asked(None) is first and asked("a") is first and asked("b") == (404, "model")
    models.replace(None, second)
    assert asked(None) is second and asked("a") is second and asked("a", "2") is first
    assert asked("a", "3") == (404, "version") and models.versions("a") == ["2", "1"] and models.versions("b") == []
    models.replace(None, other)
    assert asked(None) == (404, "model") and asked("b") is other and asked("b", "1") is other
    third = Named("a", "3")
    models.replace(second, third)
    assert list(models) == [first, other, third] and asked("a") is third
    models.replace(first, None)
    assert models.versions("a") == ["3"] and asked("a", "2") == (404, "version")
