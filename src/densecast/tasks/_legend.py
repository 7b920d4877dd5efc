"""Names beside colours: as a band below a picture, and as a table for notebooks."""

from __future__ import annotations

import base64
import html as escape
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from densecast.spec.model import Rgb

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a legend: what has which colour, and how much of it there is, in words."""

    name: str
    colour: Rgb
    text: str = ""


def below(picture: Image, entries: Sequence[Entry]) -> Image:
    """The (H, W, 3) RGB picture with a white band added below that names each entry beside its colour.

    The picture itself is not covered. Names that are wider than it are cut.
    """
    if not entries:
        return picture
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    height, width = picture.shape[:2]
    letter = max(10, min(28, round(min(height, width) / 30)))
    font, line, gap = ImageFont.load_default(letter), round(letter * 1.6), letter
    places, x, row = [], gap, 0
    for entry in entries:
        text = f"{entry.name} {entry.text}".strip()
        while len(text) > 1 and letter * 1.4 + font.getlength(text) + 2 * gap > width:
            text = text[:-2] + "\u2026" if len(text) > 2 else ""
        wide = round(letter * 1.4 + font.getlength(text) + gap)
        if x + wide > width and x > gap:
            x, row = gap, row + 1
        places.append((x, row, text, entry.colour))
        x += wide
    band = Pillow.new("RGB", (width, line * (row + 1) + gap), "white")
    draw = ImageDraw.Draw(band)
    for x, row, text, colour in places:
        top = gap // 2 + row * line
        draw.rectangle((x, top + letter // 5, x + letter, top + letter // 5 + letter), tuple(colour), "black")
        draw.text((x + letter * 1.4, top), text, "black", font)
    return np.concatenate([picture, np.asarray(band)])


def html(title: str, png: bytes | None, entries: Sequence[Entry]) -> str:
    """A picture with a table of names, colours and numbers, for notebooks; every name is escaped."""
    picture = ""
    if png is not None:
        data = base64.b64encode(png).decode()
        picture = f'<img alt="{escape.escape(title, quote=True)}" src="data:image/png;base64,{data}">'
    rows = "".join(
        f'<tr><td style="background:rgb{tuple(entry.colour)};width:1em"></td>'
        f"<td>{escape.escape(entry.name)}</td><td>{escape.escape(entry.text)}</td></tr>"
        for entry in entries
    )
    return f"<figure><figcaption>{escape.escape(title)}</figcaption>{picture}<table>{rows}</table></figure>"
