"""What densecast takes for its own and may replace: its results, its folders and archives; nothing else."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from densecast.errors import UsageError
from densecast.io import own_json
from densecast.io.files import sha256
from densecast.io.own_folders import refuse_inside, replaceable, replaceable_archive
from densecast.io.own_results import RECORD, OwnResults, state_of
from densecast.results.data_check import DataCheckResult
from densecast.results.info import ModelInfo
from densecast.results.json_result import ModelRecord, PrecisionReport
from densecast.results.predictions import EvaluateResult, InferResult
from densecast.results.stored import ShardResult, StoreComparison, StoreReport
from densecast.spec.precision import PrecisionRan
from densecast.spec.score import Interval, Score

MODEL = ModelRecord("tiny", None, None, PrecisionReport(None, PrecisionRan.from_counts({"float32": 1}, "made up")))
SCORE = Score("Dice", 0.5, "fraction", "higher", 1)
RESULTS = {
    "evaluate": EvaluateResult(SCORE, MODEL),
    "infer": InferResult((), MODEL),
    "shard": ShardResult("s", "1/2", 2, 1, {}),
    "store": StoreReport("s", "tiny", 2, 2, {}, SCORE, {}, {}, {}),
    "comparison": StoreComparison("Dice", 2, 0.5, 0.4, Interval(0.1, 0.0, 0.2), 1, 0, ()),
    "data": DataCheckResult(Path("d"), "carvana", "", {}, {}, (), 0, 0, {}, {}, (), ()),
    "info": ModelInfo("net.onnx", "onnx"),
}


def written(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def is_replaced(path: Path, **how: bool) -> bool:
    try:
        own_json.refuse_others(path, "json_file", **how)
    except UsageError as error:
        assert error.field == "json_file" and str(path) in str(error)
        return False
    return True


@pytest.mark.parametrize("kind", RESULTS)
def test_what_json_was_written_by_a_command_may_be_replaced_by_it(tmp_path: Path, kind: str) -> None:
    plain: dict[str, Any] = RESULTS[kind].plain()
    file = tmp_path / "r.json"
    assert is_replaced(written(file, plain))
    assert is_replaced(written(file, {"of a model": plain, "of another": plain}))
    assert not is_replaced(written(file, {"of a model": plain, "other": {"mine": 1}}))
    assert not is_replaced(written(file, [plain]))
    plain.pop("format")
    assert not is_replaced(written(file, plain))


@pytest.mark.parametrize(
    ("content", "is_own"),
    [
        ("", True),
        ("{}", False),
        ("3", False),
        ("{", False),
        ("[" * 100_000, False),
        ({"artifacts": []}, True),
        ({"artifacts": [], "mine": 1}, False),
        ({"outputs": 1, "tool": 2}, True),
        ({"outputs": 1}, False),
        ([{"title": "", "candidate": "", "reference": "", "max_error": 0}], True),
        ([{"title": "", "candidate": "", "reference": "", "max_error": 0}, {"title": ""}], False),
        ([{"baseline": 1, "candidate": 1, "worse": 0, "allowed": 0}, 5], False),
        ({"rows": [], "parity": None, "spec": {}, "summary": ""}, True),
        ({"rows": [], "parity": None, "spec": {}}, False),
    ],
)
def test_other_json_may_not_be_replaced(tmp_path: Path, content: object, is_own: bool) -> None:
    assert is_replaced(written(tmp_path / "r.json", content)) is is_own


def test_a_list_of_people_is_known_by_its_keys_their_order_and_its_layout(tmp_path: Path) -> None:
    person = {"image_id": 1, "category_id": 1, "keypoints": [], "score": 0.5}
    file = tmp_path / "people.json"
    assert is_replaced(written(file, json.dumps([person, person]) + "\n"), is_people=True)
    assert not is_replaced(file), "it is no result of another command"
    turned = dict(reversed(person.items()))
    for other in (
        json.dumps([person]),
        json.dumps([person], indent=1) + "\n",
        json.dumps([turned]) + "\n",
        json.dumps([person, {**person, "bbox": []}]) + "\n",
        json.dumps(person) + "\n",
    ):
        assert not is_replaced(written(file, other), is_people=True), other


def test_a_report_is_known_by_its_keys(tmp_path: Path) -> None:
    report = {"rows": [], "parity": None, "spec": {}, "summary": "", "more": 1}
    assert own_json.is_report(written(tmp_path / "a.json", report))
    for other in ([report], {key: 0 for key in report if key != "parity"}, "{", "[" * 100_000):
        assert not own_json.is_report(written(tmp_path / "a.json", other))
    assert not own_json.is_report(tmp_path / "none.json") and not own_json.is_report(tmp_path)


def own_folder(folder: Path) -> Path:
    """A folder that was written as a whole: `a`, `sub/b`, `note` that is not listed, and the record."""
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("first")
    (folder / "sub" / "b").write_text("second")
    (folder / "note").write_text("unlisted")
    hashes = {name: sha256(folder / name) for name in ("a", "sub/b")}
    written(folder / "record.json", {"files": hashes, "told": 7})
    return folder


def test_a_folder_is_replaced_if_all_in_it_is_as_it_was_written(tmp_path: Path) -> None:
    folder = own_folder(tmp_path / "made")
    assert replaceable(folder, "record.json", ("note",))["told"] == 7
    (folder / "a").unlink()  # what is gone is nobody's loss
    (folder / "sub" / ".densecast-0123456789abcdef-01234567-1-1-01234567").mkdir()
    (folder / "sub" / ".densecast-0123456789abcdef-01234567-1-1-01234567" / "half").touch()
    (folder / "empty").mkdir()
    assert replaceable(folder, "record.json", ("note",))["told"] == 7
    with pytest.raises(UsageError, match=r"its other\.json cannot be read") as raised:
        replaceable(folder, "other.json")
    assert raised.value.field == "out"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda folder: None, "note in it"),
        (lambda folder: (folder / "a").write_text("First"), "a and 1 more in it"),
        (lambda folder: (folder / "sub" / "c").touch(), "note and 1 more in it"),
        (lambda folder: (folder / "link").symlink_to(folder / "sub"), "link and 1 more in it"),
        (lambda folder: [(folder / "sub" / name).touch() for name in "cde"], "note and 3 more in it"),
    ],
)
def test_what_somebody_added_or_edited_keeps_a_folder(
    tmp_path: Path, change: Callable[[Path], object], named: str
) -> None:
    folder = own_folder(tmp_path / "made")
    change(folder)
    with pytest.raises(UsageError, match=f"would be replaced as a whole, and {named} is not as densecast wrote it"):
        replaceable(folder, "record.json")


def test_a_link_in_place_of_a_file_is_not_that_file(tmp_path: Path) -> None:
    folder = own_folder(tmp_path / "made")
    shutil.copy(folder / "a", tmp_path / "elsewhere")
    (folder / "a").unlink()
    (folder / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="a in it is not as densecast wrote it"):
        replaceable(folder, "record.json", ("note",))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("model", "the artifact itself"),
        ("model/in", "inside of the artifact"),
        ("model/in/it", "inside of the artifact"),
    ],
)
def test_nothing_is_written_into_an_artifact(tmp_path: Path, target: str, words: str) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(UsageError, match=words) as raised:
        refuse_inside(tmp_path / target, tmp_path / "model")
    assert raised.value.field == "out"


def test_beside_and_above_an_artifact_may_be_written(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for target in (tmp_path, tmp_path / "model2", tmp_path / "mod", tmp_path / "model" / ".." / "other"):
        refuse_inside(target, tmp_path / "model")


def archive(path: Path, folder: Path, *more: tuple[str, bytes | None]) -> Path:
    """The folder as a tar file; `more` are files beside it, or links where they have no content."""
    with tarfile.open(path, "w") as tar:
        tar.add(folder, "made")
        for name, content in more:
            entry = tarfile.TarInfo(f"made/{name}")
            if content is None:
                entry.type, entry.linkname = tarfile.SYMTYPE, "a"
            else:
                entry.size = len(content)
            tar.addfile(entry, None if content is None else io.BytesIO(content))
    return path


def test_an_archive_is_replaced_if_all_in_it_is_as_it_was_written(tmp_path: Path) -> None:
    folder = own_folder(tmp_path / "made")
    replaceable_archive(archive(tmp_path / "a.tar", folder), "record.json", ("note",))
    others = {
        "an edit": archive(tmp_path / "b.tar", folder, ("sub/b", b"other")),
        "a file": archive(tmp_path / "c.tar", folder, ("more", b"")),
        "a link": archive(tmp_path / "d.tar", folder, ("more", None)),
        "no archive": written(tmp_path / "e.tar", "text"),
        "nothing": tmp_path / "f.tar",
    }
    (folder / "sub" / "b").unlink()
    others["a file less"] = archive(tmp_path / "g.tar", folder)
    for what, path in others.items():
        with pytest.raises(UsageError, match=r"not as densecast wrote it\. Name another\.") as raised:
            replaceable_archive(path, "record.json", ("note",))
        assert raised.value.field == "out", what
    with pytest.raises(UsageError, match="not as densecast wrote it"):
        replaceable_archive(archive(tmp_path / "h.tar", own_folder(tmp_path / "again")), "record.json")


def test_a_result_is_known_until_it_is_edited_and_again_when_it_is_put_back(tmp_path: Path) -> None:
    file, made = tmp_path / "out" / "sub" / "a.png", tmp_path / "scratch"
    file.parent.mkdir(parents=True)
    own = OwnResults.of(tmp_path / "out")
    assert len(own) == 0 and own.find(file) is None
    for content, image in (("first", "1.jpg"), ("other", "2.jpg"), ("longer text", "3.jpg")):
        made.write_text(content)
        own.note(file, made, image, "m", state=image)
    assert own.find(file) is None, "it is not there yet"
    for each in (own, OwnResults.of(tmp_path / "out")):
        assert len(each) == 1, "one file, written three times"
        for content, image in (("first", "1.jpg"), ("other", "2.jpg"), ("longer text", "3.jpg")):
            file.write_text(content)
            found = each.find(file)
            assert found is not None and (found.image, found.state, found.size) == (image, image, len(content))
            assert (found.file, found.model) == ("sub/a.png", "m")
        file.write_text("edited text")  # as long as the last one
        assert each.find(file) is None
    file.unlink()
    file.symlink_to(made)
    assert own.find(file) is None, "a link to what was written"


def test_the_same_file_of_another_image_or_state_is_another_line_and_the_newest_is_told(tmp_path: Path) -> None:
    own, made = OwnResults.of(tmp_path), tmp_path / "a.png"
    made.write_text("x")
    for image, state in (("1.jpg", "s"), ("1.jpg", "s"), ("2.jpg", "s"), ("2.jpg", "t")):
        own.note(made, made, image, "m", state)
    assert (tmp_path / RECORD).read_bytes().count(b"\n") == 3
    found = own.find(made)
    assert found is not None and (found.image, found.state) == ("2.jpg", "t")


def test_a_line_that_was_cut_off_is_ended_before_the_next_and_passed_over(tmp_path: Path) -> None:
    own, made = OwnResults.of(tmp_path), tmp_path / "a.png"
    made.write_text("x")
    own.note(made, made, "1.jpg", "m")
    whole = (tmp_path / RECORD).read_bytes()
    (tmp_path / RECORD).write_bytes(whole + b'{"file": "b.p')
    own.note(tmp_path / "c.png", made, "2.jpg", "m")
    lines = (tmp_path / RECORD).read_bytes().split(b"\n")
    assert len(lines) == 4 and lines[1] == b'{"file": "b.p' and lines[3] == b""
    assert len(OwnResults.of(tmp_path)) == 2
    with (tmp_path / RECORD).open("a") as record:
        record.write('[1]\n{"file": 3}\n{"file": "d", "unknown": 1}\nnull\n')
    assert len(OwnResults.of(tmp_path)) == 2


def test_a_state_tells_size_and_time_of_each_file_and_nothing_of_what_is_none(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("abc")
    when = file.stat().st_mtime_ns
    assert state_of(file, tmp_path / "none", file) == f"3 {when}, -, 3 {when}"
    assert state_of() == ""
