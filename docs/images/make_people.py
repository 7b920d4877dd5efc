"""The image of people found: `python docs/images/make_people.py results docs/images/hrnet_w32_ae_tiny.jpg`.

`results` is what `densecast infer` leaves with `--overlay`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

_HEIGHT_PX, _GAP_PX = 300, 6
_SHOWN = 4


def main(results: Path, out: Path) -> None:
    """The first overlays, side by side."""
    tiles = []
    for path in sorted(results.glob("*_overlay.jpg"))[:_SHOWN]:
        with Image.open(path) as tile:
            width = round(tile.width * _HEIGHT_PX / tile.height)
            tiles.append(tile.resize((width, _HEIGHT_PX), Image.Resampling.LANCZOS))
    sheet = Image.new("RGB", (sum(tile.width + _GAP_PX for tile in tiles) - _GAP_PX, _HEIGHT_PX), "white")
    left = 0
    for tile in tiles:
        sheet.paste(tile, (left, 0))
        left += tile.width + _GAP_PX
    sheet.save(out, quality=85, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
