"""The Python blocks of the pages about results run, one after the other, as they are written."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import made_images
import pytest

PAGES = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("page", ["results.md"])
def test_the_blocks_of_a_page_run(page: str, artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "street").mkdir(parents=True)
    (tmp_path / "runs" / "street" / "int8").symlink_to(artifacts / "built")
    made_images.write_jpeg(tmp_path / "street.jpg", (48, 64))
    text = (PAGES / page).read_text(encoding="utf-8")
    # The labels of the network that stands in.
    text = text.replace('masks["road"]', 'masks["car"]')
    names: dict[str, object] = {"__name__": "page"}
    printed = io.StringIO()
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        with contextlib.redirect_stdout(printed):
            exec(compile(block, page, "exec"), names)
    names["pipeline"].close()  # type: ignore[attr-defined]
    assert "<SegmentationMap 64x48" in printed.getvalue()
    assert {"drawn.png", "result.json", "result.npz", "street.geojson"} <= {path.name for path in tmp_path.iterdir()}
