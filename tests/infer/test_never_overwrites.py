"""`infer` writes over nothing that it did not write: checked before the first inference, and when a file is written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import densecast, failed, tree
from PIL import Image

from densecast.errors import UsageError
from densecast.io.own_results import RECORD
from densecast.pipeline import Pipeline
from densecast.spec.verb_options import InferOptions
from densecast.verbs.infer import infer
from densecast.verbs.infer.results import folding


def half_bright(path: Path, height: int = 16, width: int = 24) -> Path:
    """An image whose right half is white: the right half of its labels is 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, width // 2 :] = 255
    Image.fromarray(pixels).save(path, quality=95) if path.suffix == ".jpg" else Image.fromarray(pixels).save(path)
    return path


def is_result(path: Path) -> bool:
    labels = np.asarray(Image.open(path))
    return labels.shape == (16, 24) and not labels[:, :10].any() and bool((labels[:, 14:] == 1).all())


def refused(model: Path, folder: Path, *arguments: str | Path) -> str:
    """The call is wrong usage, and leaves every file below `folder` as it is."""
    before = tree(folder)
    message = failed(2, "infer", model, *arguments, "-q")
    assert tree(folder) == before
    return message


def test_pictures_are_not_replaced_by_their_results(bright: Path, tmp_path: Path) -> None:
    half_bright(tmp_path / "photos" / "a.png")
    assert "which is read" in refused(bright, tmp_path, tmp_path / "photos", "--out", tmp_path / "photos")


def test_the_same_folder_written_in_another_way_is_the_same(
    bright: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = half_bright(tmp_path / "photos" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    os.link(image, tmp_path / "hard.png")
    monkeypatch.chdir(tmp_path / "photos")
    for given, out in (("a.png", "."), ("a.png", tmp_path / "link"), (tmp_path / "link", "../photos"), (image, ".")):
        assert "a.png" in refused(bright, tmp_path, given, "--out", out)
    # A result named as a picture is under another name: one file on disk.
    half_bright(tmp_path / "other" / "a.jpg")
    assert "which is read" in refused(bright, tmp_path, "../other/a.jpg", "../hard.png", "--out", ".")


@pytest.mark.parametrize(
    ("ending", "flags"), [(".png", []), ("_score.png", ["--scores"]), ("_colour.png", ["--colour"]),
                          ("_overlay.jpg", ["--overlay"])],
)  # fmt: skip
def test_masks_and_overlays_that_were_there_are_kept(
    ending: str, flags: list[str], bright: Path, tmp_path: Path
) -> None:
    image = half_bright(tmp_path / "in" / "a.jpg")
    mask = tmp_path / "out" / f"a{ending}"
    mask.parent.mkdir()
    mask.write_bytes(b"drawn by hand for two hours")
    assert "densecast did not write it" in refused(bright, tmp_path, image, "--out", tmp_path / "out", *flags)
    # --overwrite is for densecast's own results.
    assert f"a{ending}" in refused(bright, tmp_path, image, "--out", tmp_path / "out", *flags, "--overwrite")


def test_a_link_to_a_file_of_the_users_is_kept_and_not_followed(bright: Path, tmp_path: Path) -> None:
    image = half_bright(tmp_path / "in" / "a.jpg")
    (tmp_path / "mask").write_bytes(b"mine")
    (tmp_path / "out").mkdir()
    for target in (tmp_path / "mask", tmp_path / "nowhere"):
        (tmp_path / "out" / "a.png").symlink_to(target)
        assert "a.png" in refused(bright, tmp_path, image, "--out", tmp_path / "out")
        (tmp_path / "out" / "a.png").unlink()


def test_a_rerun_replaces_its_own_results_also_in_the_folder_of_the_pictures(bright: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        half_bright(tmp_path / f"{name}.jpg")
    for _ in range(3):
        ended = densecast("infer", bright, tmp_path, "--out", tmp_path, "--overlay", "--scores", "--colour")
        assert ended.code == 0, ended.err
        assert "2 results" in ended.out
    names = sorted(path.name for path in tmp_path.glob("[!.]*"))
    assert names == sorted(f"{stem}{end}" for stem in "ab" for end in
                           (".jpg", ".png", "_score.png", "_colour.png", "_overlay.jpg"))  # fmt: skip
    assert is_result(tmp_path / "a.png")


def test_a_result_that_was_edited_belongs_to_its_editor(bright: Path, tmp_path: Path) -> None:
    image = half_bright(tmp_path / "in" / "a.jpg")
    assert densecast("infer", bright, image, "--out", tmp_path / "out", "-q").code == 0
    Image.fromarray(np.ones((16, 24), np.uint8)).save(tmp_path / "out" / "a.png")
    assert "changed since" in refused(bright, tmp_path, image, "--out", tmp_path / "out", "--overwrite")


def test_results_of_another_image_or_model_are_replaced_on_request_only(bright: Path, tmp_path: Path) -> None:
    first, second = (half_bright(tmp_path / day / "a.jpg") for day in ("monday", "tuesday"))
    out = ("--out", tmp_path / "out")
    assert densecast("infer", bright, first, *out, "-q").code == 0
    assert str(first) in refused(bright, tmp_path, second, *out)
    shutil.copytree(bright, tmp_path / "other")
    assert "earlier result of the model" in refused(tmp_path / "other", tmp_path, first, *out)
    assert densecast("infer", bright, second, *out, "--overwrite", "-q").code == 0
    assert densecast("infer", bright, second, *out, "-q").code == 0


def test_the_record_is_copied_with_the_folder_and_survives_a_line_cut_off(bright: Path, tmp_path: Path) -> None:
    image = half_bright(tmp_path / "in" / "a.jpg")
    assert densecast("infer", bright, image, "--out", tmp_path / "out", "-q").code == 0
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    with (tmp_path / "copy" / RECORD).open("ab") as record:
        record.write(b'{"file": "b.pn')
    assert densecast("infer", bright, image, "--out", tmp_path / "copy", "-q").code == 0
    other = half_bright(tmp_path / "in" / "b.jpg")
    for _ in range(2):
        assert densecast("infer", bright, other, "--out", tmp_path / "copy", "-q").code == 0


def test_results_that_meet_are_refused(bright: Path, tmp_path: Path) -> None:
    # a's scores would be the labels of a_score.
    half_bright(tmp_path / "in" / "a.jpg")
    half_bright(tmp_path / "in" / "a_score.jpg")
    out = ("--out", tmp_path / "out")
    assert "a_score.png" in refused(bright, tmp_path, tmp_path / "in", *out, "--scores")
    assert densecast("infer", bright, tmp_path / "in", *out, "-q").code == 0
    half_bright(tmp_path / "in" / "a.bmp")
    message = refused(bright, tmp_path, tmp_path / "in", "--out", tmp_path / "twice")
    assert "a.bmp" in message and "a.jpg" in message and "--full-names" in message
    assert densecast("infer", bright, tmp_path / "in", "--out", tmp_path / "twice", "--full-names", "-q").code == 0
    assert sorted(path.name for path in (tmp_path / "twice").glob("[!.]*")) == [
        "a.bmp.png", "a.jpg.png", "a_score.jpg.png",
    ]  # fmt: skip


def test_a_result_is_no_folder_of_another(bright: Path, tmp_path: Path) -> None:
    half_bright(tmp_path / "in" / "a.jpg")
    half_bright(tmp_path / "in" / "a.png" / "b.jpg")
    message = refused(bright, tmp_path, tmp_path / "in", "--recursive", "--out", tmp_path / "out")
    assert "would be a folder" in message


def test_the_list_of_results_replaces_only_a_list_of_results(bright: Path, tmp_path: Path) -> None:
    image = half_bright(tmp_path / "in" / "a.jpg")
    out = ("--out", tmp_path / "out")
    assert "holds no JSON" in refused(bright, tmp_path, image, *out, "--json", image)
    (tmp_path / "instances.json").write_text('{"images": [], "annotations": []}')
    assert "densecast did not write it" in refused(bright, tmp_path, image, *out, "--json", tmp_path / "instances.json")
    assert "also the result" in refused(bright, tmp_path, image, *out, "--json", tmp_path / "out" / "a.png")
    for _ in range(2):
        assert densecast("infer", bright, image, *out, "--json", tmp_path / "r.json", "-q").code == 0
    assert [Path(each["file"]).name for each in json.loads((tmp_path / "r.json").read_text())["results"]] == ["a.png"]


def test_no_verb_writes_its_json_over_what_is_no_json(bright: Path, tmp_path: Path) -> None:
    image = half_bright(tmp_path / "a.jpg")
    before = tree(tmp_path)
    for verb in (["verify", bright], ["benchmark", bright, image], ["doctor"], ["models"]):
        assert "holds no JSON" in failed(2, *verb, "--json", image)
    assert tree(tmp_path) == before
    (tmp_path / "empty.json").touch()  # as mktemp makes it
    assert densecast("models", "--json", tmp_path / "empty.json", "-q").code == 0


def test_a_file_that_appears_while_images_are_in_work_is_kept(
    bright: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = half_bright(tmp_path / "in" / "a.jpg")
    with Pipeline.open(bright) as pipeline:
        read: Callable[..., Any] = pipeline.read

        def late(path: Path) -> Any:
            (tmp_path / "out" / "a.png").write_bytes(b"mine")
            return read(path)

        monkeypatch.setattr(pipeline, "read", late)
        with pytest.raises(UsageError, match="did not write it"):
            infer(pipeline, [image], tmp_path / "out")
    assert (tmp_path / "out" / "a.png").read_bytes() == b"mine"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_a_task_that_cannot_say_its_files_beforehand_writes_over_nothing_either(
    bright: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = half_bright(tmp_path / "in" / "a.jpg")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_bytes(b"mine")

    def broken(*_: object) -> Any:
        raise ValueError("only real outputs")

    with Pipeline.open(bright) as pipeline:
        monkeypatch.setattr(type(pipeline.task), "sample_outputs", broken)
        with pytest.raises(UsageError, match="did not write it"):
            infer(pipeline, [image], tmp_path / "out")
    assert (tmp_path / "out" / "a.png").read_bytes() == b"mine"


def test_names_are_told_apart_as_the_file_system_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def insensitive(path: Path) -> bool:
        return path.name.casefold() in {each.name.casefold() for each in path.parent.iterdir()}

    assert folding(tmp_path)("A.png") != folding(tmp_path)("a.png")
    monkeypatch.setattr(Path, "exists", insensitive)
    assert folding(tmp_path)("A.png") == folding(tmp_path)("a.png")
    assert not list(tmp_path.iterdir())


def test_names_are_told_apart_where_the_locale_has_few_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def of_ascii(path: Path) -> None:
        path.name.encode("ascii")

    monkeypatch.setattr(Path, "mkdir", of_ascii)
    assert folding(tmp_path)("A.png") != folding(tmp_path)("a.png")


def test_an_out_that_is_a_file_is_refused(bright: Path, tmp_path: Path) -> None:
    image = half_bright(tmp_path / "a.jpg")
    assert "is a file" in refused(bright, tmp_path, image, "--out", image)


def test_options_come_as_one_value_from_python(bright: Path, tmp_path: Path) -> None:
    half_bright(tmp_path / "in" / "deep" / "a.jpg")
    result = infer(bright, [tmp_path / "in"], tmp_path / "out", options=InferOptions(recursive=True))
    assert [each.file for each in result.results] == [tmp_path / "out" / "deep" / "a.png"]
