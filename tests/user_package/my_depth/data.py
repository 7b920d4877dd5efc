"""The data set: `images/<id>.png`, and `depth/<id>.png` in 16 bits: millimetres, 0 unknown. Every fourth validates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from densecast import CheckReport, FolderFormat, Sample, SplitRecord
from densecast.errors import BadDatasetError, MissingFileError
from densecast.spec.sample import ids_sha256
from my_depth.task import F32, MILLIMETRES

EVERY = 4
SIZE_HW = (72, 96)


@dataclass(frozen=True, slots=True)
class DepthFolder:
    """One split."""

    samples: tuple[Sample, ...]
    split: str
    total: int
    name: str = "depth_folder"

    def read_target(self, sample: Sample) -> F32:
        """(H, W) float32 metres."""
        plane = cv2.imread(str(sample.target), cv2.IMREAD_UNCHANGED)
        if plane is None or plane.dtype != np.uint16:
            raise BadDatasetError(f"{sample.target} is no 16-bit depth map.")
        return (plane / MILLIMETRES).astype(np.float32)

    def record(self, limit: int | None = None) -> SplitRecord:
        """Which images."""
        chosen = self.samples[:limit]
        return SplitRecord(self.name, self.split, len(chosen), self.total, None, ids_sha256(chosen))  # type: ignore[arg-type]


def open_folder(root: Path, split: str = "val", seed: int = 0) -> DepthFolder:
    """Samples by id."""
    if not root.is_dir():
        raise MissingFileError(f"data set folder {root} does not exist.")
    paths = sorted((root / "images").glob("*.png"))
    if not paths:
        raise BadDatasetError(f"{root} holds no images/*.png.")
    chosen = [path for place, path in enumerate(paths) if split == "all" or (place % EVERY == 0) == (split == "val")]
    samples = tuple(Sample(path.stem, path, root / "depth" / path.name) for path in chosen)
    return DepthFolder(samples, split, len(paths))


def check(root: Path) -> CheckReport:
    """Whether every image has its depth."""
    images = sorted((root / "images").glob("*.png"))
    missing = [path.name for path in images if not (root / "depth" / path.name).is_file()]
    return CheckReport(root, {"images": len(images)}, tuple(f"{name} has no depth map" for name in missing))


FORMAT = FolderFormat(open_folder, check, ("MY_DEPTH_ROOT",))


def write(root: Path, count: int = 24) -> None:
    """Rooms without furniture: the farther, the darker, with some noise."""
    for folder in ("images", "depth"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    height, width = SIZE_HW
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for number in range(count):
        near, far = rng.uniform(1, 3), rng.uniform(6, 12)
        slope = (np.sin(x / width * rng.uniform(1, 4) + number) * 0.5 + y / height) / 1.5
        depth = np.clip(near + (far - near) * np.abs(slope), 0.5, 15)
        shade = 255 * np.exp(-depth / 8)
        image = np.clip(shade[..., None] + rng.normal(0, 2, (height, width, 3)), 0, 255).astype(np.uint8)
        cv2.imwrite(str(root / "images" / f"{number:04d}.png"), image)
        cv2.imwrite(str(root / "depth" / f"{number:04d}.png"), np.rint(depth * MILLIMETRES).astype(np.uint16))
