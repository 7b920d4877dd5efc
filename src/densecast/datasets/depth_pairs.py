"""Images with depth maps: `images/<id>.*`, and `depth/<id>.png` or `.tif` of 16 bits, or `.npy` or `.tif` in metres.

Maps of 16 bits are in steps that `depth.toml` in the root declares, as `units_per_m = 256` (KITTI) or 1000
(millimetres); 0 is unknown. Maps of floats, (H, W) or (H, W, 1) as DIODE's, are in metres; 0, negative and not finite
are unknown.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from densecast.datasets import _folder_pairs
from densecast.datasets._base import Dataset, DatasetFormat, FolderFormat
from densecast.errors import BadDatasetError
from densecast.imaging import read
from densecast.io import codec
from densecast.spec.sample import CheckReport, Sample, Split
from densecast.tasks._base import F32

DECLARATION = "depth.toml"
_KEY = "units_per_m"
_FOLDER = "depth"
_SUFFIXES = (".png", ".npy", ".tif", ".tiff")
_LOOKED_FOR = "depth/<its stem>.png, .npy or .tif"
# What other programs write depth to.
_OTHERS = (".exr", ".pfm", ".npz", ".hdr", ".pgm", ".h5", ".hdf5", ".mat", ".bin", ".raw", ".jpg", ".jpeg")


def open(root: Path, split: Split = "val", seed: int = 0) -> Dataset[F32]:
    """The split's samples in sorted order; see `_folder_pairs.open_pairs` for the splits.

    Raises:
        MissingFileError: no such folder.
        BadDatasetError: no images, an image without depth, or 16-bit maps whose steps are not declared.
    """
    opened = _folder_pairs.open_pairs("depth_pairs", root, split, seed, _target_of, _read, _LOOKED_FOR)
    if any(sample.target.suffix == ".png" for sample in opened.samples):
        _units_per_m(root)
    return opened


def check(root: Path) -> CheckReport:
    """Whether every image has a depth map of its size."""
    return _folder_pairs.check_pairs(root, _target_of, _read)


def _target_of(root: Path, stem: str) -> Path | None:
    found = [path for suffix in _SUFFIXES if (path := root / _FOLDER / f"{stem}{suffix}").is_file()]
    if len(found) > 1:
        raise BadDatasetError(f"{found[0]} and {found[1]} are both the depth of {stem}. Remove one.")
    other = next((path for suffix in _OTHERS if (path := root / _FOLDER / f"{stem}{suffix}").is_file()), None)
    if not found and other is not None:
        raise BadDatasetError(
            f"{other}: depth is not read from {other.suffix} files. Write it as TIFF of float32, or by numpy.save as "
            ".npy, (H, W) in metres."
        )
    return found[0] if found else None


def _read(sample: Sample) -> F32:
    """(H, W) float32 metres, 0 for unknown."""
    path = sample.target
    depth = _read_npy(path) if path.suffix == ".npy" else _read_picture(path)
    image_hw = read.size_hw(sample.image)
    if depth.shape != image_hw:
        raise BadDatasetError(
            f"{path}: {depth.shape} is not the size of its image, which is {image_hw}. They must be of one size."
        )
    return np.asarray(np.where(np.isfinite(depth) & (depth > 0), depth, 0), dtype=np.float32)


def _read_npy(path: Path) -> F32:
    try:
        depth = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadDatasetError(f"{path} cannot be read ({error}).") from None
    if isinstance(depth, np.ndarray) and depth.ndim == 3 and depth.shape[2] == 1:
        depth = depth[..., 0]
    if not isinstance(depth, np.ndarray) or depth.ndim != 2 or depth.dtype.kind != "f":
        got = f"{depth.dtype} {depth.shape}" if isinstance(depth, np.ndarray) else type(depth).__name__
        raise BadDatasetError(f"{path}: a depth map is (H, W) of floats in metres, got {got}.")
    return np.asarray(depth, dtype=np.float32)


def _read_picture(path: Path) -> F32:
    """A PNG or TIFF: of 16 bits in steps, or floats in metres."""
    values = read.decode(read.contents(path), str(path), full_depth=True)
    if values.shape[2] == 1 and values.dtype == np.uint16:
        return np.asarray(values[..., 0].astype(np.float32) / _units_per_m(path.parents[1]), dtype=np.float32)
    if values.shape[2] == 1 and values.dtype.kind == "f":
        return np.asarray(values[..., 0], dtype=np.float32)
    wanted = "PNG of one channel and 16 bits" if path.suffix == ".png" else "TIFF of one channel, 16 bits or floats"
    raise BadDatasetError(f"{path}: a depth map is a {wanted}, got {values.dtype} {values.shape}.")


def _units_per_m(root: Path) -> float:
    path = root / DECLARATION
    cure = f"Write what a metre is, as {_KEY} = 256 (KITTI) or {_KEY} = 1000 (millimetres), to {path}."
    if not path.is_file():
        raise BadDatasetError(f"{root}: nothing says how many steps of its 16-bit depth maps are a metre. {cure}")
    declared = codec.read_plain(path)
    table = declared if isinstance(declared, dict) else {}
    idle = next((key for key in table if key != _KEY), None)
    if idle is not None:
        raise BadDatasetError(f"{path}: {idle!r} has no effect: {_KEY} alone is known. {cure}")
    value = table.get(_KEY)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        raise BadDatasetError(f"{path}: {_KEY} must be a number above 0, got {value!r}. {cure}")
    return float(value)


DATASET: DatasetFormat = FolderFormat(
    open, check, ("DEPTH_PAIRS_DATASETS_PATH",), truth_of=frozenset(("depth_m", "inverse_depth"))
)
