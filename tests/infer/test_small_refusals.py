"""What `infer` is asked for and cannot do is told before the first inference, with the option and the cure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_images import write_jpeg

from densecast.errors import BadInputError, BadShapeError, DensecastError, MissingFileError, UsageError
from densecast.imaging.read import read_image
from densecast.pipeline import Pipeline
from densecast.results.json_result import ModelRecord, PrecisionReport
from densecast.results.predictions import FailedImage, InferredImage, InferredVideo, InferResult, TileRecord
from densecast.spec.precision import PrecisionRan
from densecast.spec.verb_options import InferOptions
from densecast.verbs.infer import headers, infer, large, mode_for, refuse_failures, sources
from densecast.verbs.infer.endings import Drawn
from densecast.verbs.infer.results import SHARED, Results
from densecast.verbs.infer.saving import write_jpeg as write_drawing

RECORD = ModelRecord("m", None, None, PrecisionReport(None, PrecisionRan.from_counts({"float32": 1}, "made up")))


def test_files_of_pictures_in_tiles_are_those_that_were_asked_for(bright: Path, people: Path) -> None:
    with Pipeline.open(bright) as labels, Pipeline.open(people / "built") as poses:
        assert large.endings(labels, Drawn(), None) == (".tif",)
        assert large.endings(labels, Drawn(scores=True), None) == (".tif", "_score.tif")
        assert large.endings(labels, Drawn(colour=True), None) == (".tif", "_colour.tif")
        assert large.endings(labels, Drawn(scores=True, colour=True), None) == (".tif", "_score.tif", "_colour.tif")
        assert large.endings(poses, Drawn(), None) == (".json",)
        for pipeline in (labels, poses):
            with pytest.raises(UsageError) as overlay:
                large.endings(pipeline, Drawn(overlay=True), None)
            with pytest.raises(UsageError) as batch:
                large.endings(pipeline, Drawn(), 1)
            assert (overlay.value.field, batch.value.field) == ("overlay", "batch")
        for drawn, field in ((Drawn(scores=True), "scores"), (Drawn(colour=True), "colour")):
            with pytest.raises(UsageError, match=f"people have no {field}") as raised:
                large.endings(poses, drawn, None)
            assert raised.value.field == field


def test_pictures_in_tiles_that_cannot_be_used_are_each_told(bright: Path, tmp_path: Path) -> None:
    fine, least = write_jpeg(tmp_path / "a.jpg", (40, 24)), write_jpeg(tmp_path / "b.jpg", (8, 8))
    small, none = write_jpeg(tmp_path / "c.jpg", (24, 7)), tmp_path / "none.jpg"
    (tmp_path / "d.jpg").write_bytes(b"no picture")
    with Pipeline.open(bright) as pipeline:
        found = large.unusable([fine, least, small, none, tmp_path / "d.jpg"], pipeline)
    assert list(found) == [small, none, tmp_path / "d.jpg"]
    assert isinstance(found[small], BadShapeError) and "has a side of 7" in str(found[small])
    assert isinstance(found[none], MissingFileError) and str(found[none]).endswith("does not exist.")


def test_the_mode_is_that_of_one_picture_of_many_or_of_a_camera() -> None:
    def mode(count: int, *, large: bool = False, origin: str | None = None, video: bool = False) -> str:
        found = tuple(
            sources.Source(Path(f"{k}.mp4" if video else f"{k}.jpg"), Path(f"{k}.jpg"), origin) for k in range(count)
        )
        return mode_for(sources.Sources(found, {}), InferOptions(large=large))

    assert [mode(count) for count in (1, 2, 3)] == ["latency", "latency", "throughput"]
    assert mode(5, large=True) == "latency" and mode(5, origin="camera:0") == "latency"
    assert mode(1, video=True) == "throughput"
    both = (sources.Source(Path("a.jpg"), Path("a.jpg")), sources.Source(Path("c"), Path("c"), "camera:0"))
    assert mode_for(sources.Sources(both, {}), InferOptions()) == "latency", "a camera is among them"


def plan(folder: Path, images: list[Path], **how: object) -> Results:
    options = InferOptions(**how)  # type: ignore[arg-type]
    found = [sources.Source(each, Path(each.name)) for each in images]
    return Results.plan(
        found, folder, (".png",), model="m", video_endings=(), shared=[folder / "all.json"], placed={},
        options=options, json_file=None, others=[],
    )  # fmt: skip


def test_results_stand_below_the_folder_by_their_stems_or_whole_names(tmp_path: Path) -> None:
    image = write_jpeg(tmp_path / "a.jpg")
    out = tmp_path / "out"
    assert plan(out, [image]).stems == {image: out / "a"}
    assert plan(out, [image], full_names=True).stems == {image: out / "a.jpg"}


def test_results_that_meet_are_told_with_what_keeps_them_apart(tmp_path: Path) -> None:
    first, second, other = (write_jpeg(tmp_path / name) for name in ("a.jpg", "a.jpeg", "in/a.jpg"))
    with pytest.raises(UsageError, match="With --full-names, endings are kept in names"):
        plan(tmp_path / "out", [first, second])
    assert len(plan(tmp_path / "out", [first, second], full_names=True).stems) == 2
    with pytest.raises(UsageError, match="Give their common folder with --recursive"):
        plan(tmp_path / "out", [first, other])
    with pytest.raises(UsageError, match=r"would be .*all\.json, which holds all images\. Rename it"):
        found = [sources.Source(tmp_path / "all.jpg", Path("all.jpg"))]
        Results.plan(
            found, tmp_path / "out", (".json",), model="m", video_endings=(),
            shared=[tmp_path / "out" / "all.json"], placed={}, options=InferOptions(), json_file=None, others=[],
        )  # fmt: skip


def test_an_image_is_done_when_all_its_files_are_there_of_the_same_image_and_model(tmp_path: Path) -> None:
    image = write_jpeg(tmp_path / "a.jpg")
    results = plan(tmp_path / "out", [image])
    with pytest.raises(UsageError, match="known only when they are made") as raised:
        results.done((), None)
    assert raised.value.field == "skip_existing"
    assert results.done((".png",), None) == {}
    with results.scratch() as scratch:
        (scratch / "made").mkdir()
        (scratch / "made" / "a.png").write_text("labels")
        assert results.publish(image, scratch / "made", scratch / "made" / "a.png") == tmp_path / "out" / "a.png"
    assert results.done((".png",), None) == {image: tmp_path / "out" / "a.png"}
    assert results.done((".png", "_score.png"), None) == {}
    assert replace(results, model="other").done((".png",), None) == {}
    assert replace(results, origins={image: "http://somewhere/a.jpg"}).done((".png",), None) == {}
    (tmp_path / "out" / "a.png").write_text("Labels")
    assert results.done((".png",), None) == {}


def test_a_folder_without_results_is_taken_away_again_and_one_with_results_stays(tmp_path: Path) -> None:
    results = plan(tmp_path / "new" / "out", [write_jpeg(tmp_path / "a.jpg")])
    with results.scratch() as scratch:
        assert scratch.is_dir() and scratch.parent == tmp_path / "new" / "out"
    assert not (tmp_path / "new").exists()
    with results.scratch() as scratch:
        (scratch / "made").mkdir()
        (scratch / "made" / "all.json").write_text("[]")
        results.publish(SHARED, scratch / "made", scratch / "made" / "all.json")
    assert [each.name for each in (tmp_path / "new" / "out").iterdir() if each.name[0] != "."] == ["all.json"]
    (tmp_path / "file").touch()
    below_a_file = plan(tmp_path / "file" / "out", []).scratch()
    with pytest.raises(DensecastError, match="cannot be written to") as raised, below_a_file:
        pass
    assert raised.value.field == "out"


@pytest.mark.parametrize(
    ("others", "named"),
    [
        (0, ""),
        (1, " 1 other images cannot be used either: b0."),
        (3, "either: b0, b1, b2."),
        (5, "b0, b1, b2 and 2 more."),
    ],
)
def test_one_error_stands_for_all_images_and_names_three_more(others: int, named: str) -> None:
    problems: dict[Path, BadInputError | MissingFileError] = {Path("a"): BadShapeError("a is small.")}
    problems |= {Path(f"b{k}"): MissingFileError("gone") for k in range(others)}
    error = headers.refused(problems, 9, "Cure.")
    assert isinstance(error, BadShapeError)
    assert str(error).startswith("a is small.") and str(error).endswith(f"{named} Cure.")
    alone = headers.refused(problems, 1, "Cure.")
    assert alone is problems[Path("a")]


def test_images_that_are_not_there_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for path, words in (
        (tmp_path / "a", "does not exist"), (tmp_path, "is no file"), (tmp_path / "link", "is a link to nothing"),
        (Path("https://x/a.jpg"), "is an address"),
    ):  # fmt: skip
        assert words in str(headers.missing(path))


def test_failures_are_counted_against_all_that_was_asked_for() -> None:
    failed = (FailedImage("a", "bad"), FailedImage("b", "bad"))
    done, video = InferredImage("c", Path("c.png")), InferredVideo("v", Path("v.jsonl"), 3, 1.0)
    refuse_failures(InferResult((done,), RECORD), "out")
    with pytest.raises(BadInputError, match=r"^2 of 4 images could not be used; the others' results are in out"):
        refuse_failures(InferResult((done,), RECORD, failed, videos=(video,)), "out")


def test_a_drawing_has_at_most_the_pixels_a_side_that_a_jpeg_takes(tmp_path: Path) -> None:
    write_drawing(np.full((2, 65500, 3), 9, np.uint8), tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").shape == (2, 65500, 3)
    with pytest.raises(BadShapeError, match=r"^b\.jpg: 65501×1 pixels are too many for a JPEG"):
        write_drawing(np.zeros((1, 65501, 3), np.uint8), tmp_path / "b.jpg")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"large": True, "formats": ("coco",)}, "a large picture is never in memory as a whole"),
        ({"skip_existing": True, "formats": ("coco",)}, "coco has all images in one file"),
    ],
)
def test_formats_that_hold_all_images_go_with_whole_runs_only(
    bright: Path, tmp_path: Path, options: dict[str, object], words: str
) -> None:
    image = write_jpeg(tmp_path / "a.jpg")
    with pytest.raises(UsageError, match=words) as raised:
        infer(bright, image, tmp_path / "out", options=InferOptions(**options))  # type: ignore[arg-type]
    assert raised.value.field in ("formats", "skip_existing") and not (tmp_path / "out").exists()


def test_the_json_of_a_result_has_what_there_is(tmp_path: Path) -> None:
    tiled = TileRecord("exact", (8, 9), 3, 4)
    plain = InferResult((InferredImage("a", Path("a.tif"), tiled), InferredImage("b", Path("b.tif"))), RECORD).plain()
    first, second = plain["results"]
    assert first["tiled"] == {
        "how": "exact", "tile_hw": [8, 9], "overlap_px": 3, "tiles": 4, "why": "", "reach_px": None,
        "seam_difference": None, "is_exact": False,
    }  # fmt: skip
    assert second == {"image": "b", "file": "b.tif"} and not {"videos", "files"} & plain.keys()
    video = InferredVideo("v", Path("v.jsonl"), 3, 1.5)
    more = InferResult((), RECORD, videos=(video,), files=(Path("coco.json"),)).plain()
    assert more["files"] == ["coco.json"]
    assert more["videos"] == [
        {
            "video": "v", "file": "v.jsonl", "frames": 3, "seconds": 1.5, "missed": 0, "overlay": None,
            "overlay_frames": 0, "repeated": 0, "left_out": 0,
        }
    ]  # fmt: skip
