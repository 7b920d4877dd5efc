"""The Python blocks of the pages run as they are written, one after the other; each has a test that runs it."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import colour_network
import made_images
import made_mask_folders
import made_videos
import pytest

from densecast import Artifact
from densecast.spec.options import BuildOptions

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs"
# Which test runs the programs of a page, or why none does.
RUN_BY = {
    "README.md": "tests/test_readme.py",
    **dict.fromkeys(("results.md", "video.md", "data.md", "export.md", "accuracy.md"), "tests/test_page_programs.py"),
    "tutorial.md": "tests/reproduce/test_tutorial.py",
    "your-own.md": "tests/reproduce/test_your_own.py",
    "own-task.md": "tests/test_own_task.py",
    "plugins.md": "tests/test_testing.py",
    "serve.md": "parity/check_triton.py",  # Triton's client is not installed here
    "api.md": "made from docstrings",
    "architecture.md": "pieces of code, good beside bad",
}


def programs(page: str) -> list[str]:
    folder = ROOT if page == "README.md" else PAGES
    return re.findall(r"^```python\n(.*?)^```$", (folder / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_every_page_with_a_program_names_who_runs_it() -> None:
    shown = {path.name for path in (ROOT / "README.md", *PAGES.glob("*.md")) if programs(path.name)}
    assert shown == set(RUN_BY)
    for place in RUN_BY.values():
        assert " " in place or (ROOT / place).is_file(), place


@pytest.mark.parametrize("page", ["results.md", "video.md"])
def test_the_blocks_of_a_page_run(page: str, artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "street").mkdir(parents=True)
    (tmp_path / "runs" / "street" / "int8").symlink_to(artifacts / "built")
    made_images.write_jpeg(tmp_path / "street.jpg", (48, 64))
    made_videos.write(tmp_path / "drive.mp4", count=11)
    names: dict[str, object] = {"__name__": "page"}
    printed = io.StringIO()
    for block in programs(page):
        # The labels of the network that stands in.
        shown = block.replace('masks["road"]', 'masks["car"]')
        with contextlib.redirect_stdout(printed):
            exec(compile(shown, page, "exec"), names)
    names["pipeline"].close()  # type: ignore[attr-defined]
    said, there = printed.getvalue(), {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    if page == "results.md":
        assert "<SegmentationMap 64x48" in said
        assert {"drawn.png", "result.json", "result.npz", "street.geojson"} <= there
    else:
        # Frames 0, 5 and 10, and all of them for the files.
        assert [line.split()[0] for line in said.splitlines()] == ["0", "5", "10", "11"]
        assert {"results/drive.jsonl", "results/drive_overlay.webm"} <= there


@pytest.mark.slow
def test_the_program_about_own_data_scores_arrays_files_and_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colour_network.built(tmp_path, classes=2)
    (tmp_path / "built").rename(tmp_path / "model")
    labels = [made_mask_folders.labels_of(index, 2) for index in range(10)]
    pictures = [made_mask_folders.painted(each) for each in labels]
    for index, (picture, truth) in enumerate(zip(pictures, labels, strict=True)):
        made_mask_folders.write(tmp_path / "root" / "images" / f"p{index}.png", picture)
        made_mask_folders.write(tmp_path / "root" / "gt" / f"p{index}.png", 255 * truth)
    made_mask_folders.write(tmp_path / "b.jpg", pictures[1], quality=95, subsampling=0)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {
        "image": pictures[0], "labels": labels[0], "other_labels": labels[1],
        "torch_dataset": list(zip(pictures, labels, strict=True)),
    }  # fmt: skip
    (program,) = programs("data.md")
    head, *calls = re.split(r"^(?=densecast\.evaluate)", program, flags=re.MULTILINE)
    exec(head, names)
    # Every pixel of a painted picture has its class's colour: an mIoU of 1, over so many images.
    scores = [eval(call.strip(), names).score for call in calls]
    assert [(score.value, score.count) for score in scores[1:]] == [(1.0, 10), (1.0, 1)]
    assert scores[0].count == 2 and scores[0].value > 0.9  # one of them a JPEG


@pytest.mark.slow
@pytest.mark.torch
def test_the_program_about_modules_exports_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    import torchvision_on_cpu

    torchvision_on_cpu.prepare()
    smp = pytest.importorskip("segmentation_models_pytorch")
    monkeypatch.chdir(tmp_path)
    (program,) = programs("export.md")
    for shown, here in (('"resnet34", classes', '"resnet18", encoder_weights=None, classes'), ("resnet34", "resnet18")):
        assert shown in program
        program = program.replace(shown, here)
    # Newer versions look them up on the hub.
    told = {"input_space": "RGB", "input_range": [0, 1], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    monkeypatch.setattr(smp.encoders, "get_preprocessing_params", lambda name: told)
    names: dict[str, object] = {}
    exec(f"import densecast\n{program}", names)
    exported = names["artifact"].spec  # type: ignore[attr-defined]
    assert exported.labels == ("sky", "tree", "road") and exported.preprocess.std == (0.229, 0.224, 0.225)


@pytest.mark.slow
def test_the_program_about_int8_within_a_limit_says_what_it_took(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    colour_network.built(tmp_path)
    made_mask_folders.pairs(tmp_path / "data", count=60)
    monkeypatch.chdir(tmp_path)
    (program,) = programs("accuracy.md")
    options = BuildOptions("onnxruntime", "qint8_mixed_float16")
    names = {"source": Artifact.open(tmp_path / "float"), "out": tmp_path / "new", "options": options}
    exec(program.replace("seconds=600", "seconds=20"), {**names, "root": tmp_path / "data"})
    assert len(capsys.readouterr().out.split()) > 3 and (tmp_path / "new" / "manifest.json").is_file()
