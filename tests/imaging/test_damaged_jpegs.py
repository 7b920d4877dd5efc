"""A JPEG that is damaged inside is refused by name; sound ones of every kind are not, and keep their pixels."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_images import picture
from PIL import Image

from densecast.errors import BadImageError
from densecast.imaging.jpeg_check import check
from densecast.imaging.read import read_image


def jpeg(mode: str = "RGB", size_hw: tuple[int, int] = (93, 141), **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(size_hw)).convert(mode).save(file, "JPEG", **{"quality": 85, **options})
    return file.getvalue()


def data_of(whole: bytes) -> tuple[int, int]:
    """Where the data of the first scan begins, and where the file's end marker lies."""
    start = whole.index(b"\xff\xda")
    return start + 2 + int.from_bytes(whole[start + 2 : start + 4], "big"), whole.rindex(b"\xff\xd9")


KINDS: list[dict[str, object]] = [
    {},
    {"progressive": True},
    {"optimize": True, "subsampling": 0},
    {"restart_marker_rows": 1},
    {"restart_marker_blocks": 2},
    {"progressive": True, "restart_marker_blocks": 5},
    {"mode": "L"},
    {"mode": "CMYK"},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size_hw", [(1, 1), (8, 8), (17, 33), (93, 141)])
def test_sound_files_of_every_kind_pass_with_the_decoders_pixels(
    tmp_path: Path, kind: dict[str, object], size_hw: tuple[int, int]
) -> None:
    whole = jpeg(size_hw=size_hw, **kind)  # type: ignore[arg-type]
    for added in (b"", b"\0" * 300, b"\xff" * 70, b"MotionPhoto" + jpeg(size_hw=(8, 8))[2:]):
        path = tmp_path / "a.jpg"
        path.write_bytes(whole + added)
        wanted = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_COLOR_RGB)
        np.testing.assert_array_equal(read_image(path), wanted)


@pytest.mark.parametrize("options", [{"quality": 100}, {"quality": 100, "subsampling": 0, "restart_marker_blocks": 3}])
def test_noise_has_the_longest_codes_of_the_tables_and_is_sound(options: dict[str, int]) -> None:
    file = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (24, 40, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", **options)
    assert check(file.getvalue()).is_whole


def test_two_pictures_in_one_file_are_judged_by_the_first(tmp_path: Path) -> None:
    images = [Image.fromarray(picture((40, 60), seed)) for seed in (1, 2)]
    images[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=images[1:])
    assert check((tmp_path / "a.jpg").read_bytes()).is_whole
    assert read_image(tmp_path / "a.jpg").shape == (40, 60, 3)


def damaged(whole: bytes, how: str, share: float) -> bytes:
    start, end = data_of(whole)
    at = start + int((end - start) * share)
    match how:
        case "cut and closed":
            return whole[:at] + b"\xff\xd9"
        case "a hole of zeros":
            length = max(64, (end - at) // 3)
            return whole[:at] + b"\0" * min(length, end - at) + whole[at + length :]
        case "ones":
            return whole[:at] + b"\xff" * 64 + whole[at + 64 :]
        case "a piece is missing":
            return whole[:at] + whole[at + max(40, (end - at) // 4) :]
    raise AssertionError(how)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["cut and closed", "a hole of zeros", "ones", "a piece is missing"])
def test_damage_is_refused_by_the_files_name(tmp_path: Path, how: str, kind: dict[str, object]) -> None:
    whole = jpeg(**kind)  # type: ignore[arg-type]
    for share in (0.05, 0.35, 0.6, 0.8):
        path = tmp_path / "photo.jpg"
        path.write_bytes(damaged(whole, how, share))
        with pytest.raises(BadImageError, match=r"photo\.jpg"):
            read_image(path)


def test_a_progressive_file_without_its_last_scans_is_refused() -> None:
    whole = jpeg(progressive=True)
    last = whole.rindex(b"\xff\xda")
    while whole[:last].endswith(b"\xff\xc4"):
        last = whole.rindex(b"\xff\xda", 0, last)
    assert check(whole[: whole.rindex(b"\xff\xda")] + b"\xff\xd9").damage
    assert not check(whole).damage


def test_random_damage_never_ends_in_another_error() -> None:
    rng = np.random.default_rng(7)
    kinds = [jpeg(**kind, size_hw=(40, 56)) for kind in KINDS]  # type: ignore[arg-type]
    for trial in range(300):
        mutant = bytearray(kinds[trial % len(kinds)])
        for place in rng.integers(2, len(mutant), 3):
            mutant[place] = rng.integers(0, 256)
        check(bytes(mutant[: rng.integers(1, len(mutant) + 1)]))


def inserted(whole: bytes, at: int, what: bytes) -> bytes:
    return whole[:at] + what + whole[at:]


@pytest.mark.parametrize("kind", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
def test_up_to_four_bytes_without_a_place_are_passed_over(kind: dict[str, object]) -> None:
    whole = jpeg(size_hw=(40, 56), **kind)  # type: ignore[arg-type]
    places = [whole.rindex(b"\xff\xd9")]
    if "restart_marker_blocks" in kind:
        places.append(whole.index(b"\xff\xd1"))
    for at in places:
        for count in range(1, 7):
            state = check(inserted(whole, at, b"\x11" * count))
            assert (state.is_whole, state.damage) == (
                (True, "") if count <= 4 else (False, "data without a place in the picture")
            )
        assert check(inserted(whole, at, b"\xff" * 9)).is_whole  # fill bytes, of which there may be any number


@pytest.mark.parametrize("progressive", [False, True])
def test_restart_markers_come_in_turn(progressive: bool) -> None:
    whole = jpeg(size_hw=(64, 96), restart_marker_blocks=2, progressive=progressive)
    # Twelve intervals and more: after the eighth marker comes the first again.
    for number in range(8):
        marker = bytes([0xFF, 0xD0 + number])
        assert marker in whole
        at = whole.index(marker)
        swapped = whole[:at] + bytes([0xFF, 0xD0 + (number + 1) % 8]) + whole[at + 2 :]
        assert check(swapped).damage == "restart markers out of order"
    second = whole.index(b"\xff\xd0", whole.index(b"\xff\xd0") + 2)
    assert check(whole[:second] + b"\xff\xd1" + whole[second + 2 :]).damage == "restart markers out of order"


def checkered() -> np.ndarray:
    """(64, 96): blocks of 8 x 8 pixels, black and white in turn, whose means differ as far as means can."""
    y, x = np.mgrid[0:64, 0:96]
    return np.where((y // 8 + x // 8) % 2, 255, 0).astype(np.uint8)


@pytest.mark.parametrize("progressive", [False, True])
def test_the_largest_steps_from_black_to_white_are_sound_and_larger_ones_damage(
    tmp_path: Path, progressive: bool
) -> None:
    Image.fromarray(checkered()).save(tmp_path / "a.jpg", quality=100, progressive=progressive)
    whole = (tmp_path / "a.jpg").read_bytes()
    assert check(whole).is_whole
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg")[:, :, 0], checkered())
    # The same differences with a divisor of 16 instead of 1 are means that no picture has.
    table = whole.index(b"\xff\xdb") + 5
    assert whole[table] == 1
    assert check(whole[:table] + b"\x10" + whole[table + 1 :]).damage == "values beyond black and white"
