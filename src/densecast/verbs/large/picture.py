"""The rows of a large picture that its tiles need at the moment."""

from __future__ import annotations

import numpy as np

from densecast.imaging.strips import Pixels, Strips


class RowWindow:
    """Rows of a picture, read as they are asked for and forgotten once tiles have gone on below them."""

    def __init__(self, strips: Strips) -> None:
        self._strips, self._top = strips, 0
        self._rows: Pixels | None = None

    def rows(self, top: int, bottom: int) -> Pixels:
        """The rows from `top` to `bottom`, or to the picture's end; no rows above `top` are asked for afterwards."""
        bottom = min(bottom, self._strips.size_hw[0])
        kept = None if self._rows is None else self._rows[max(0, top - self._top) :]
        if self._rows is not None:
            self._top = max(top, self._top)
        have = self._top + (0 if kept is None else len(kept))
        # What was kept may share memory with what is forgotten.
        parts = [] if kept is None or not len(kept) else [kept]
        if bottom > have:
            parts.append(self._strips.read(bottom - have))
        self._rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return self._rows[top - self._top : bottom - self._top]
