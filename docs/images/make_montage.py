"""The README's image: `python docs/images/make_montage.py runs/demo docs/images/unet_tiny.jpg`."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw

from densecast import report

_TILE_WH = (420, 280)
_TITLE_PX = 24
_ROWS = 2


def main(folder: Path, out: Path) -> None:
    """Two of the report's images, a column for the truth and one for each shown model."""
    run = report.read(folder)
    images = [*run.images[-1:], *run.images[:1]][:_ROWS]
    titles = list(images[0].files)
    width, height = _TILE_WH
    sheet = Image.new("RGB", (width * len(titles), _TITLE_PX + height * len(images)), "white")
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        pen.text((column * width + 8, 4), title, fill="black", font_size=15)
        for row, image in enumerate(images):
            with Image.open(folder / image.files[title]) as tile:
                sheet.paste(tile.resize(_TILE_WH, Image.Resampling.LANCZOS), (column * width, _TITLE_PX + row * height))
    sheet.save(out, quality=82, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
