"""Lists the image files of a folder."""

from __future__ import annotations

from pathlib import Path

from densecast.errors import BadDatasetError, MissingFileError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def images_in(folder: Path) -> list[Path]:
    """List the image files directly in a folder, sorted by name.

    Raises:
        MissingFileError: no such folder.
        BadDatasetError: no images in it.
    """
    if not folder.is_dir():
        raise MissingFileError(f"folder {folder} does not exist.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise BadDatasetError(f"{folder} holds no images ({', '.join(IMAGE_SUFFIXES)}).")
    return paths
