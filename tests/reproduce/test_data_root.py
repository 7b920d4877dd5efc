"""Where a run finds a model's data when none is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from densecast.errors import MissingFileError
from densecast.spec.model import Evaluation
from densecast.verbs.reproduce import RunOptions, data_root, reproduce
from densecast.zoo._base import ZOO, ZooEntry


@pytest.fixture
def entry() -> ZooEntry:
    shipped = ZOO.load("unet_carvana")
    return replace(shipped, spec=replace(shipped.spec, evaluation=Evaluation("voc2012", "iou")))


@pytest.mark.parametrize("name", ["VOC2012_DATASETS_PATH", "DATASETS_PATH"])
def test_each_of_a_data_sets_variables_names_its_root(
    entry: ZooEntry, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(name, str(tmp_path))
    assert data_root(entry, tmp_path / "out") == tmp_path


def test_the_data_sets_own_variable_comes_first(
    entry: ZooEntry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATASETS_PATH", str(tmp_path / "other"))
    monkeypatch.setenv("VOC2012_DATASETS_PATH", str(tmp_path / "voc"))
    assert data_root(entry, tmp_path / "out") == tmp_path / "voc"


def test_without_any_the_error_names_the_first(entry: ZooEntry, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"set \$VOC2012_DATASETS_PATH"):
        data_root(entry, tmp_path / "out")


def test_a_run_without_its_data_set_ends_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("CARVANA_DATASETS_PATH", "DATASETS_PATH"):
        monkeypatch.delenv(name, raising=False)
    # Were it begun, the export would say what it lacks.
    monkeypatch.setattr("densecast.verbs.reproduce.model.into", None)
    with pytest.raises(MissingFileError, match=r"\$CARVANA_DATASETS_PATH"):
        reproduce("unet_carvana", tmp_path / "out", RunOptions(precisions=("fp32",), backends=("onnxruntime",)))
    assert not (tmp_path / "out").exists()
