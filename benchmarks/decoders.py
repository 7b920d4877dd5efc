"""Which library decodes JPEG and PNG fastest, and whose pixels are OpenCV's to the bit.

    python benchmarks/decoders.py PICTURE… [--rounds 20] [--json FILE]

in an environment that has `opencv-python-headless pillow simplejpeg imagecodecs pyspng-seunglab pyvips[binary]`; what
is missing is left out. CPU time of this process, one thread each, in alternation; ratios are within a round. Equality
is on files written here as well: every subsampling, progressive, restart markers, odd sizes, grey, palettes, alpha, 16
bits, interlaced.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import statistics
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

Decode = Callable[[bytes], Any]
BASE = "opencv"
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def _opencv(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)


def _pillow(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _vips(vips: Any) -> Decode:
    def decode(data: bytes) -> Any:
        image = vips.Image.new_from_buffer(data, "")
        return (image[:3] if image.bands > 3 else image).numpy()

    return decode


def contenders(kind: str) -> dict[str, Decode]:
    """Decoders of a kind of file into (H, W, 3) uint8 RGB, OpenCV first; those whose packages are installed."""
    found: dict[str, Decode] = {BASE: _opencv, "pillow": _pillow}
    if (codecs := _module("imagecodecs")) is not None:
        if kind == "jpeg":
            found["imagecodecs jpeg8"] = lambda data: codecs.jpeg8_decode(data, outcolorspace="RGB")
        else:
            found["imagecodecs png"] = codecs.png_decode
            found["imagecodecs spng"] = codecs.spng_decode
    if kind == "jpeg" and (simple := _module("simplejpeg")) is not None:
        found["simplejpeg"] = lambda data: simple.decode_jpeg(data, fastdct=False, fastupsample=False)
    if kind == "png" and (spng := _module("pyspng")) is not None:
        found["pyspng"] = spng.load
    if (vips := _module("pyvips")) is not None:
        vips.cache_set_max(0)
        found["pyvips"] = _vips(vips)
    return found


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, OSError):
        return None


def corpus(kind: str) -> Iterator[tuple[str, bytes]]:
    """Small files of every form, and what each is."""
    rng = np.random.default_rng(3)
    for height, width in ((64, 96), (37, 53), (1, 1), (17, 8)):
        smooth = cv2.resize(rng.integers(0, 256, (6, 7, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
        noisy = rng.integers(0, 256, (height, width, 3), np.uint8)
        for name, pixels in (("smooth", smooth), ("noise", noisy)):
            label = f"{name} {height}x{width}"
            yield from _jpegs(label, pixels) if kind == "jpeg" else _pngs(label, pixels)


def _jpegs(label: str, pixels: np.ndarray) -> Iterator[tuple[str, bytes]]:
    for subsampling in ("4:4:4", "4:2:2", "4:2:0", "4:1:1"):
        for quality in (10, 75, 95, 100):
            for progressive in (False, True):
                yield (
                    f"{label} {subsampling} quality {quality}{' progressive' * progressive}",
                    _pillow_file(pixels, "JPEG", subsampling=subsampling, quality=quality, progressive=progressive),
                )
    yield f"{label} grey", _pillow_file(pixels[..., 0], "JPEG", quality=90)
    for factor in (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411):
        settings = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor, cv2.IMWRITE_JPEG_RST_INTERVAL, 3]
        yield f"{label} restart markers, {factor:#x}", cv2.imencode(".jpg", pixels, settings)[1].tobytes()


def _pngs(label: str, pixels: np.ndarray) -> Iterator[tuple[str, bytes]]:
    image = Image.fromarray(pixels)
    alpha = np.dstack([pixels, pixels[..., :1]])
    forms = {"RGB": image, "grey": image.convert("L"), "palette": image.quantize(17), "one bit": image.convert("1")}
    forms |= {"grey and alpha": Image.fromarray(alpha).convert("LA"), "RGBA": Image.fromarray(alpha)}
    for name, form in forms.items():
        yield f"{label} {name}", _pillow_file(form, "PNG")
    deep = pixels.astype(np.uint16) * 257 + 3
    yield f"{label} 16 bits", cv2.imencode(".png", deep)[1].tobytes()
    yield f"{label} interlaced", _interlaced(pixels)


def _pillow_file(pixels: np.ndarray | Image.Image, kind: str, **settings: Any) -> bytes:
    stream = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(stream, kind, **settings)
    return stream.getvalue()


def _interlaced(pixels: np.ndarray) -> bytes:
    """A PNG in seven passes (ISO/IEC 15948, 8.2), its rows unfiltered."""
    height, width = pixels.shape[:2]
    rows = b""
    for top, left, down, right in _ADAM7:
        part = pixels[top::down, left::right]
        if part.size:
            rows += b"".join(b"\0" + row.tobytes() for row in part)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def differing(decode: Decode, files: list[tuple[str, bytes]]) -> list[str]:
    """The files whose pixels are not OpenCV's."""
    found = []
    for label, data in files:
        wanted = _opencv(data)
        try:
            pixels = np.asarray(decode(data))
            is_same = pixels.dtype == np.uint8 and pixels.shape == wanted.shape and bool((pixels == wanted).all())
        except Exception as error:  # a library's own refusal, of whatever type
            label, is_same = f"{label} ({type(error).__name__})", False
        if not is_same:
            found.append(label)
    return found


def timed(decoders: dict[str, Decode], data: bytes, rounds: int) -> dict[str, list[float]]:
    """CPU milliseconds of each decoder, round by round."""
    spent: dict[str, list[float]] = {name: [] for name in decoders}
    for _ in range(rounds):
        for name, decode in decoders.items():
            began = time.process_time()
            decode(data)
            spent[name].append((time.process_time() - began) * 1000)
    return spent


def measured(kind: str, files: dict[str, bytes], rounds: int) -> dict[str, Any]:
    """Each decoder's time beside OpenCV's, and where its pixels differ; printed as a table."""
    cv2.setNumThreads(1)
    decoders = contenders(kind)
    forms = [*corpus(kind), *files.items()]
    spent = {name: timed(decoders, data, rounds) for name, data in files.items()}
    found: dict[str, Any] = {}
    print(f"{kind}: {len(files)} pictures, {rounds} rounds; equality on {len(forms)} files")
    for name, decode in decoders.items():
        each = [statistics.median(times[name]) for times in spent.values()]
        ratios = [
            mine / base
            for times in spent.values()
            for mine, base in zip(times[name], times[BASE], strict=True)
            if base > 0
        ]
        differ = differing(decode, forms)
        low, high = (statistics.quantiles(ratios, n=10)[index] for index in (0, 8))
        found[name] = {"ms": statistics.mean(each), "of_opencv": statistics.median(ratios), "differ": differ}
        found[name] |= {"of_opencv_80_percent": [low, high]}
        same = "equal in all" if not differ else f"differs in {len(differ)}: {differ[0]}, …"
        print(
            f"  {name:20} {statistics.mean(each):7.2f} ms, {statistics.median(ratios):.2f} of OpenCV's "
            f"({low:.2f} to {high:.2f}); {same}"
        )
    return found


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, Any] = {}
    for kind, suffixes in (("jpeg", (".jpg", ".jpeg")), ("png", (".png",))):
        files = {each.name: each.read_bytes() for each in given.pictures if each.suffix.lower() in suffixes}
        if files:
            found[kind] = measured(kind, files, given.rounds)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
