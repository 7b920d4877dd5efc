"""COCO's run-length encoding of masks: runs down the columns, zeros first, as numbers or in its compressed text."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def encode(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """(H, W) bool -> `{"size": [H, W], "counts": text}`, as pycocotools reads it."""
    return {"size": [int(side) for side in mask.shape], "counts": _compressed(_runs(mask))}


def _runs(mask: npt.NDArray[np.bool_]) -> list[int]:
    column_major = np.ascontiguousarray(mask.T).ravel()
    changes = np.flatnonzero(column_major[1:] != column_major[:-1]) + 1
    runs: list[int] = np.diff(np.concatenate([[0], changes, [column_major.size]])).tolist()
    return [0, *runs] if column_major.size and column_major[0] else runs


def _compressed(runs: list[int]) -> str:
    """Each run as its difference from the one two before, in digits of 5 bits from the least, offset by 48.

    A digit's sixth bit says that another follows; the last digit's fifth is the sign (COCO API, `maskApi.c`).
    """
    letters: list[str] = []
    for place, run in enumerate(runs):
        value = run - runs[place - 2] if place > 2 else run
        while True:
            digit = value & 0x1F
            value >>= 5
            is_last = value == (-1 if digit & 0x10 else 0)
            letters.append(chr(48 + (digit if is_last else digit | 0x20)))
            if is_last:
                break
    return "".join(letters)
