"""Says of a file that is no image what it is, by how it begins, and what to do with it."""

from __future__ import annotations

import re

LOOKED_AT = 512
"""How many of a file's first bytes tell."""

# Brands of the ISO base media format that are pictures, as phones write them.
_PHONE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1")
_BASE64 = re.compile(rb"\s*(data:image/|iVBORw0KGgo|/9j/|UklGR|R0lGOD)")
_DICOM_AT = 128
_CONVERT = "which is not read. Convert it to PNG or TIFF, which hold up to 16 bits."
_ARRAYS = "which is not read. Write its pictures as PNG or TIFF, or pass arrays from Python."
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\x5c\x01\0\0", f"a NIfTI file, {_ARRAYS}"),
    (b"\0\0\x01\x5c", f"a NIfTI file, {_ARRAYS}"),
    (b"\x93NUMPY", f"an array of NumPy, {_ARRAYS}"),
    (b"\x89HDF\r\n", f"an HDF5 file, {_ARRAYS}"),
    (b"MATLAB 5.0", f"a MATLAB file, {_ARRAYS}"),
    (b"SIMPLE  =", f"a FITS file, {_ARRAYS}"),
    (b"v/1\x01", f"an OpenEXR file, {_CONVERT}"),
    (b"#?RADIANCE", f"a Radiance HDR file, {_CONVERT}"),
    (b"#?RGBE", f"a Radiance HDR file, {_CONVERT}"),
    (b"\0\0\0\x0cjP", f"a JPEG 2000 file, {_CONVERT}"),
    (b"\xff\x4f\xff\x51", f"a JPEG 2000 file, {_CONVERT}"),
    (b"\0\0\0\x0cJXL ", f"a JPEG XL file, {_CONVERT}"),
    (b"\xff\x0a", f"a JPEG XL file, {_CONVERT}"),
    (b"8BPS", f"a Photoshop file, {_CONVERT}"),
    (b"II*\0\x10\0\0\0CR", f"a camera's raw file, {_CONVERT}"),
    (b"FUJIFILMCCD-RAW", f"a camera's raw file, {_CONVERT}"),
    (b"IIU\0", f"a camera's raw file, {_CONVERT}"),
    (b"version https://git-lfs", "a pointer of Git LFS in place of the file: fetch it with `git lfs pull`."),
    (b"PK\x03\x04", "a zip archive: unpack it first."),
    (b"Rar!", "a RAR archive: unpack it first."),
    (b"7z\xbc\xaf", "a 7-Zip archive: unpack it first."),
    (b"\x1f\x8b", "compressed with gzip: unpack it first."),
)


def told(start: bytes, formats: tuple[str, ...]) -> str:
    """What to say of a file that begins so, where images of `formats` are read."""
    if start[4:8] == b"ftyp" and start[8:12] in _PHONE_BRANDS:
        return "a HEIC or AVIF file, which is not read. Convert it to JPEG or PNG."
    if _BASE64.match(start):
        return "a picture as base64, which is text: decode it first."
    if start.startswith(b"\x89PNG") and not start.startswith(b"\x89PNG\r\n\x1a\n"):
        return (
            "a PNG whose line ends were changed: it was sent or stored as text. Get it again as it is (curl: "
            "--data-binary)."
        )
    if start.lstrip().startswith((b"<", b"%PDF")):
        return f"{'a PDF' if b'%PDF' in start else 'a web page, SVG or XML'}, where an image is needed."
    if start[_DICOM_AT : _DICOM_AT + 4] == b"DICM":
        return f"a DICOM file, {_ARRAYS}"
    found = next((what for beginning, what in _BEGINNINGS if start.startswith(beginning)), None)
    return found or f"not an image of a known format ({', '.join(formats)})."
