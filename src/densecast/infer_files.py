"""Image files  ->  prediction files, each written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from densecast.build.calibration import images_in
from densecast.core import files
from densecast.core.errors import MissingFileError, UsageError
from densecast.infer import Image, Pipeline

Progress = Callable[[int, int], None]


def infer_files(
    pipeline: Pipeline,
    images: Sequence[Path],
    out: Path,
    *,
    overlay: bool = False,
    scores: bool = False,
    batch: int = 1,
    progress: Progress | None = None,
) -> list[tuple[Path, Path]]:
    """Predict every image (folders stand for the images in them); (image, result file) in order.

    With `scores` a segmentation's `<stem>_score.png` is written, too: each pixel's probability in 16 bits.

    Raises:
        MissingFileError: an image does not exist.
        UsageError: two images would have one result file.
        BadImageError: an image cannot be read; results of the images before it stay.
    """
    paths = [path for given in images for path in (images_in(given) if given.is_dir() else [given])]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise MissingFileError(f"image {missing[0]} does not exist.")
    _refuse_equal_stems(paths)
    written = []
    for start in range(0, len(paths), batch):
        group = paths[start : start + batch]
        read = [pipeline.read(path) for path in group]
        for path, image, prediction in zip(group, read, pipeline.predict(read, probability=scores), strict=True):
            written.append((path, pipeline.save(out / path.stem, prediction)))
            if overlay:
                _write_jpeg(pipeline.draw(image, prediction), out / f"{path.stem}_overlay.jpg")
        if progress:
            progress(len(written), len(paths))
    return written


def _refuse_equal_stems(paths: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        if path.stem in seen:
            raise UsageError(
                f"{seen[path.stem]} and {path} would both write {path.stem}.*; infer them into two folders."
            )
        seen[path.stem] = path


def _write_jpeg(image: Image, path: Path) -> None:
    import cv2
    import numpy as np

    done, data = cv2.imencode(".jpg", np.ascontiguousarray(image[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 92])
    assert done, "an RGB array always encodes"
    files.write_bytes(path, data.tobytes())
