"""Lets torchvision from PyPI be imported beside a CPU build of torch.

Its compiled operators are linked with another build of torch, are left out at its import, and its registrations of two
of them then fail. Their signatures are all that is missing: no segmentation network uses them.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch

_KEPT: list[Any] = []


def prepare() -> None:
    """Declare the two operators, where torchvision was compiled for CUDA and torch was not."""
    spec = importlib.util.find_spec("torchvision")
    if _KEPT or spec is None or spec.origin is None or torch.version.cuda is not None:
        return
    version = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    if "cuda = None" in version:
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEPT.append(library)
