"""Write tests/golden/segmentation_metric.json: what MMSegmentation counts and prints for seeded label maps.

Run in the environment of make_env.sh: .venv-parity/bin/python parity/make_metric_goldens.py
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

import seeded_labels  # noqa: E402

import originals  # noqa: E402

GOLDEN = ROOT / "tests" / "golden" / "segmentation_metric.json"


class _Lines(logging.Handler):
    """Keeps what a logger is told."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def main() -> None:
    """Count with the original's own functions, and print with its own tables."""
    originals.build("mmseg", "fcn/fcn_r50-d8_512x512_20k_voc12aug.py")  # makes the package importable
    from mmseg.core import eval_metrics
    from mmseg.datasets import CityscapesDataset, PascalVOCDataset

    goldens = {}
    for name in seeded_labels.names():
        kind = CityscapesDataset if name.startswith("cityscapes") else PascalVOCDataset
        pairs = seeded_labels.pairs(name)
        predicted = [pair.predicted.astype(np.int64) for pair in pairs]
        exact = eval_metrics(predicted, [pair.target.copy() for pair in pairs], len(kind.CLASSES), 255, ["mIoU"])
        goldens[name] = {
            "labels": list(kind.CLASSES),
            "palette": [list(colour) for colour in kind.PALETTE],
            "IoU": _plain(exact["IoU"]),
            "Acc": _plain(exact["Acc"]),
            "aAcc": float(exact["aAcc"]),
            "mmseg": _printed(kind, pairs, predicted),
            "ascend": _early_tables(kind.CLASSES, exact),
        }
        print(name, goldens[name]["mmseg"].splitlines()[-2])
    GOLDEN.write_text(json.dumps(goldens, indent=1) + "\n", encoding="utf-8")
    print(f"{GOLDEN.relative_to(ROOT)}: {GOLDEN.stat().st_size} bytes")


def _plain(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def _printed(kind: Any, pairs: tuple[seeded_labels.Pair, ...], predicted: list[np.ndarray]) -> str:
    """What `dataset.evaluate` tells its logger, over the ground truth as files."""
    logger, lines = logging.getLogger("golden"), _Lines()
    logger.handlers, logger.propagate = [lines], False
    logger.setLevel(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        is_voc = kind.__name__ == "PascalVOCDataset"
        image_suffix, label_suffix = (".jpg", ".png") if is_voc else ("_leftImg8bit.png", "_gtFine_labelTrainIds.png")
        for index, pair in enumerate(pairs):
            (root / f"{index}{image_suffix}").touch()
            Image.fromarray(pair.target).save(root / f"{index}{label_suffix}")
        (root / "val.txt").write_text("\n".join(map(str, range(len(pairs)))), encoding="utf-8")
        split = {"split": str(root / "val.txt")} if is_voc else {}
        dataset = kind(img_dir=folder, ann_dir=folder, pipeline=[], test_mode=True, **split)
        counted = [dataset.pre_eval([labels], [index])[0] for index, labels in enumerate(predicted)]
        dataset.evaluate(counted, "mIoU", logger=logger)
    return "\n".join(lines.lines)


def _early_tables(labels: tuple[str, ...], exact: dict[str, np.ndarray]) -> str:
    """The tables of the early releases, which Ascend's deployment kept, drawn by the package they used."""
    from terminaltables import AsciiTable

    percent = {name: np.round(values * 100, 2) for name, values in exact.items()}
    classes = [["Class", "IoU", "Acc"], *map(list, zip(labels, percent["IoU"], percent["Acc"], strict=True))]
    means = [np.round(np.nanmean(exact[name]) * 100, 2) for name in ("IoU", "Acc", "aAcc")]
    summary = [["Scope", "mIoU", "mAcc", "aAcc"], ["global", *means]]
    drawn = [AsciiTable([[str(cell) for cell in row] for row in rows]).table for rows in (classes, summary)]
    return f"per class results:\n\n{drawn[0]}\nSummary:\n\n{drawn[1]}"


if __name__ == "__main__":
    main()
