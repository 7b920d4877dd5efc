"""The Python blocks of the pages about results run, one after the other, as they are written."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import made_images
import made_videos
import pytest

PAGES = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("page", ["results.md", "video.md"])
def test_the_blocks_of_a_page_run(page: str, artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "street").mkdir(parents=True)
    (tmp_path / "runs" / "street" / "int8").symlink_to(artifacts / "built")
    made_images.write_jpeg(tmp_path / "street.jpg", (48, 64))
    made_videos.write(tmp_path / "drive.mp4", count=11)
    text = (PAGES / page).read_text(encoding="utf-8")
    # The labels of the network that stands in.
    text = text.replace('masks["road"]', 'masks["car"]')
    names: dict[str, object] = {"__name__": "page"}
    printed = io.StringIO()
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        with contextlib.redirect_stdout(printed):
            exec(compile(block, page, "exec"), names)
    names["pipeline"].close()  # type: ignore[attr-defined]
    said, there = printed.getvalue(), {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    if page == "results.md":
        assert "<SegmentationMap 64x48" in said
        assert {"drawn.png", "result.json", "result.npz", "street.geojson"} <= there
    else:
        # Frames 0, 5 and 10, and all of them for the files.
        assert [line.split()[0] for line in said.splitlines()] == ["0", "5", "10", "11"]
        assert {"results/drive.jsonl", "results/drive_overlay.webm"} <= there
