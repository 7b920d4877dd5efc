"""A file that cannot be written is refused before any work, and nothing of the user's is written over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import failed, tree

COMMANDS = [
    ("evaluate", "model", "--json"),
    ("evaluate", "model", "--results"),
    ("merge", "store", "--results"),
    ("compare", "a", "b", "--images", "photos", "--html"),
    ("data", "check", "folder", "--html"),
    ("benchmark", "model", "--layers", "--layers-plot"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: f"{each[0]} {each[-1]}")
def test_a_folder_or_a_file_in_the_way_is_refused_first(command: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    (tmp_path / "folder").mkdir()
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    before = tree(tmp_path)
    assert "is a folder" in failed(2, *command, tmp_path / "folder")
    assert "is there already" in failed(2, *command, tmp_path / "photo.png")
    assert "is no folder" in failed(3, *command, tmp_path / "photo.png" / "below" / "x")
    assert tree(tmp_path) == before


def test_a_file_of_an_artifact_names_its_folder(artifacts: Path) -> None:
    for name in ("manifest.json", "model.onnx"):
        said = failed(3, "evaluate", artifacts / "built" / name, "--data", "nowhere")
        assert said.endswith(f"is a file of the artifact {artifacts / 'built'}: name that folder.")


def test_files_of_a_style_that_writes_none_are_refused() -> None:
    assert "--style ascend" in failed(2, "benchmark", "model", "--style", "trtexec", "--style-folder", "x")


def test_a_devices_own_measurements_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "PureInfer_perf_of_model_in_device_0.txt").write_text("ave_throughputRate: 14.3samples/s")
    before = tree(tmp_path)
    said = failed(2, "benchmark", "model", "--style", "ascend", "--style-folder", tmp_path)
    assert "densecast did not write" in said and tree(tmp_path) == before


@pytest.mark.parametrize(
    "text",
    [
        '{"info": {}, "licenses": [], "images": []}',
        f'{{"images": [{", ".join(["{}"] * 20_000)}], "annotations": [], "categories": []}}',
        '{"model_type": "segformer", "id2label": {"0": "road"}}',
        '{"version": "5.0", "shapes": [], "imagePath": "a.jpg"}',
        '{"type": "FeatureCollection", "features": []}',
        '{"name": "site", "version": "1.0.0", "scripts": {"build": "make"}}',
        '{"format": 1, "model": "street", "labels": ["road", "car"]}',
        '{"score": 0.5, "model": "a"}',
        '[{"id": 1, "data": {"image": "a.jpg"}}]',
        '[{"image_id": 1, "category_id": 1, "keypoints": [0.5], "score": 0.5}]',
        "{}",
        "17",
    ],
)
def test_what_densecast_did_not_write_is_not_written_over(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(text)
    for option in ("--json", "--results"):
        said = failed(2, "evaluate", "model", "--data", tmp_path, option, tmp_path / "mine.json")
        assert "densecast did not write it" in said
    assert (tmp_path / "mine.json").read_text() == text


def test_a_result_of_before_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "score.json").write_text('{"format": 1, "score": {"value": 0.5}, "precision": {}, "artifact": "a"}')
    told = failed(3, "evaluate", tmp_path / "none", "--json", tmp_path / "score.json")
    assert "does not exist" in told


def test_people_for_an_evaluation_server_are_written_over(tmp_path: Path) -> None:
    person = {"image_id": 1, "category_id": 1, "keypoints": [0.5, 1.0, 1.0], "score": 0.25}
    for people in ([person, person], []):
        (tmp_path / "people.json").write_text(json.dumps(people) + "\n")
        told = failed(3, "evaluate", tmp_path / "none", "--results", tmp_path / "people.json")
        assert "does not exist" in told
