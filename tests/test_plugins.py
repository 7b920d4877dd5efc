"""Plug-ins are found by file name, by entry point, as `package.module:Name` and as objects, and by nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import densecast.metrics
from densecast import plugins
from densecast.backends._base import BACKENDS
from densecast.datasets._base import DATASETS, DatasetFormat
from densecast.errors import PluginError, UnknownNameError
from densecast.metrics._base import METRICS, Metric
from densecast.networks._base import NETWORKS
from densecast.plugins import PluginKind
from densecast.scenes import SCENES
from densecast.tasks._base import TASKS
from densecast.zoo._base import ZOO

OWN_METRICS = tuple(sorted(path.stem for path in Path(densecast.metrics.__path__[0]).glob("[!_]*.py")))

SOURCE = '''
from densecast.metrics.dice import Dice


class Mine(Dice):
    name = "mine"


class Lacking:
    name = "lacking"

    def check(self, spec): ...


class Greedy(Dice):
    def __init__(self, wanted): ...


class Spy:
    """A class that no metric is: it must not be called."""

    calls = 0

    def __init__(self):
        type(self).calls += 1


class Box:
    inner = Mine()


mine, number = Mine(), 3
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package on the path, not imported yet, with a metric; its name."""
    name = "plugged_package"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / name / "scores.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / name / "broken.py").write_text("import no_such_library", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for module in [each for each in sys.modules if each.partition(".")[0] == name]:
        del sys.modules[module]


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test remembers, registers and allows is forgotten after it."""
    monkeypatch.delenv(plugins.VARIABLE, raising=False)
    with plugins.apart():
        yield


def installed(folder: Path, *points: tuple[str, str]) -> None:
    """Write beside a package on the search path what an installer does."""
    info = folder / "ours-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "\n".join(["[densecast.metrics]", *(f"{name} = {value}" for name, value in points), ""])
    )


@pytest.mark.parametrize(
    "kind", [BACKENDS, DATASETS, METRICS, NETWORKS, SCENES, TASKS, ZOO], ids=lambda kind: kind.package
)
def test_the_package_s_own_are_files_without_an_underscore(kind: PluginKind[Any]) -> None:
    names = kind.names()
    assert names and names == tuple(sorted(names)) and not any(name.startswith("_") for name in names)


def test_own_names_give_the_module_s_object() -> None:
    from densecast.metrics import dice

    assert METRICS.load("dice") is METRICS.load_trusted("dice") is dice.METRIC
    for kind, protocol in ((METRICS, Metric), (DATASETS, DatasetFormat)):
        assert all(isinstance(kind.load(name), protocol) for name in kind.names())


@pytest.mark.parametrize("name", ["openvin0", "OpenVINO", "../backends/openvino", "", "_nncf"])
def test_unknown_names_are_refused_with_the_nearest(name: str) -> None:
    with pytest.raises(UnknownNameError, match="Known: ascend, magicmind, onnxruntime, openvino"):
        BACKENDS.load(name)
    with pytest.raises(UnknownNameError):
        BACKENDS.load_trusted(name)
    with pytest.raises(UnknownNameError, match=r"unknown backend 'openvin0'. Did you mean 'openvino'\?"):
        BACKENDS.load("openvin0")


@pytest.mark.parametrize(
    ("kind", "part"), [(METRICS, "oks"), (METRICS, "_iou_tables"), (SCENES, "raster"), (SCENES, "street")]
)
def test_parts_are_no_plug_ins(kind: PluginKind[Any], part: str) -> None:
    with pytest.raises(UnknownNameError, match="Known: "):
        kind.load(part)


def test_every_writer_of_scenes_can_be_called() -> None:
    assert SCENES.names() and all(callable(SCENES.load(name)) for name in SCENES.names())


def test_installed_packages_offer_theirs_by_entry_points(package: str, tmp_path: Path) -> None:
    assert METRICS.names() == OWN_METRICS  # what is installed later is found all the same
    installed(tmp_path, ("ours", f"{package}.scores:Mine [extra]"), ("whole", f"{package}.scores:mine"))
    assert METRICS.names() == tuple(sorted((*OWN_METRICS, "ours", "whole")))
    assert f"{package}.scores" not in sys.modules
    # Installed is trusted, and what is loaded twice is one object.
    assert METRICS.load_trusted("ours") is METRICS.load("ours")
    assert METRICS.load("ours").name == METRICS.load("whole").name == "mine"
    with pytest.raises(UnknownNameError, match="Did you mean 'ours'"):
        METRICS.load("our")


def test_an_entry_point_does_not_hide_one_of_our_own(package: str, tmp_path: Path) -> None:
    installed(tmp_path, ("dice", f"{package}.scores:Mine"))
    assert METRICS.names() == OWN_METRICS
    assert METRICS.load("dice").name == "dice_per_image"


@pytest.mark.parametrize("name", ["Mine", "mine", "Box.inner"])
def test_a_class_or_an_object_is_found_by_its_module(package: str, name: str) -> None:
    reference = f"{package}.scores:{name}"
    assert METRICS.load(reference).name == "mine"
    assert METRICS.load(reference) is METRICS.load(reference)
    assert METRICS.names() == OWN_METRICS


def test_an_object_or_a_class_itself_is_taken(package: str) -> None:
    mine = METRICS.load(f"{package}.scores:mine")
    assert METRICS.load(mine) is mine
    assert METRICS.load(type(mine)).name == "mine"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_package.scores:Mine", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("{package}.absent:Mine", "No module named 'plugged_package.absent'"),
        ("{package}.broken:Mine", "No module named 'no_such_library'"),
        ("{package}.scores:Absent", "has no attribute 'Absent'"),
        ("{package}.scores:", "has no attribute ''"),
        (":Mine", "ValueError: Empty module name"),
        ("{package}.scores:Lacking", "is no metric: it lacks count, score"),
        ("{package}.scores:number", "is no metric: it lacks check, count, name, score"),
        ("{package}.scores:Greedy", "cannot be made without arguments: TypeError: .*'wanted'"),
    ],
)
def test_what_cannot_be_had_is_said(package: str, name: str, message: str) -> None:
    reference = name.format(package=package)
    with pytest.raises(PluginError, match=message) as raised:
        METRICS.load(reference)
    assert reference in str(raised.value)


def test_an_object_that_lacks_members_is_refused_by_name() -> None:
    with pytest.raises(PluginError, match="3 is no metric: it lacks check, count, name, score"):
        METRICS.load(3)  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="is no model: "):
        ZOO.load(dict)  # type: ignore[arg-type]


def test_a_class_that_is_no_plug_in_is_not_called(package: str) -> None:
    with pytest.raises(PluginError, match="lacks check, count, score"):
        METRICS.load(f"{package}.scores:Spy")
    assert sys.modules[f"{package}.scores"].Spy.calls == 0
    with pytest.raises(PluginError, match="is not derived from Network"):
        NETWORKS.load(f"{package}.scores:Spy")
    assert sys.modules[f"{package}.scores"].Spy.calls == 0


def test_a_file_may_not_import_what_nobody_has_allowed(package: str) -> None:
    reference = f"{package}.scores:Mine"
    with pytest.raises(
        PluginError, match=rf"a file names the metric '{reference}'.*--plugin {package}.*{plugins.VARIABLE}"
    ):
        METRICS.load_trusted(reference)
    assert package not in sys.modules
    plugins.allow_plugins(f"{package}.scores")
    assert METRICS.load_trusted(reference).name == "mine"


@pytest.mark.parametrize("value", ["{package}", "other, {package} ", "{package}.scores"])
def test_the_environment_allows_packages(package: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugins.VARIABLE, value.format(package=package))
    assert METRICS.load_trusted(f"{package}.scores:Mine").name == "mine"


def test_what_is_allowed_is_allowed_in_child_processes(package: str) -> None:
    import os

    plugins.allow_plugins("one.module", package)
    assert set(os.environ[plugins.VARIABLE].split(",")) >= {"one", package}


def test_a_package_with_a_longer_name_is_not_allowed_with_it(package: str) -> None:
    plugins.allow_plugins("plugged")
    with pytest.raises(PluginError, match="would import"):
        METRICS.load_trusted(f"{package}.scores:Mine")


def test_what_the_user_has_imported_already_may_be_named(package: str) -> None:
    __import__(f"{package}.scores")
    assert METRICS.load_trusted(f"{package}.scores:Mine").name == "mine"
    with pytest.raises(PluginError, match="would import"):
        METRICS.load_trusted(f"{package}.broken:Mine")


def test_a_registered_object_has_a_name_of_its_own(package: str) -> None:
    mine = METRICS.load(f"{package}.scores:mine")
    assert METRICS.register("ours", mine) is mine
    assert METRICS.load_trusted("ours") is METRICS.register("ours", mine) is mine
    assert METRICS.names() == tuple(sorted((*OWN_METRICS, "ours")))


def test_names_that_are_taken_or_none_are_not_registered(package: str, tmp_path: Path) -> None:
    mine, other = METRICS.load(f"{package}.scores:mine"), METRICS.load(f"{package}.scores:Mine")
    METRICS.register("ours", mine)
    installed(tmp_path, ("installed", f"{package}.scores:Mine"))
    for name in ("ours", "dice", "installed"):
        with pytest.raises(PluginError, match=f"another metric of the name '{name}'"):
            METRICS.register(name, other)
    with pytest.raises(PluginError, match="colon"):
        METRICS.register("a:b", mine)
    with pytest.raises(PluginError, match="worse is no metric: it lacks"):
        METRICS.register("worse", object())  # type: ignore[arg-type]


def test_decode_options_are_those_of_the_task_that_a_file_names() -> None:
    from densecast.tasks.pose import PoseDecode

    assert plugins.kind("tasks").load_trusted("pose").options_type is PoseDecode
    with pytest.raises(UnknownNameError, match=r"unknown task 'pos'\. Did you mean 'pose'"):
        plugins.kind("tasks").load_trusted("pos")
