"""A written folder has Carvana's layout, is the same however it was made, and never passes for another."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densecast.errors import BadConfigError, BadDatasetError
from densecast.scenes import folder, turntable, write_carvana

SMALL_HW = (96, 144)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("turntable")
    write_carvana.write(root, 6, SMALL_HW, seed=5, workers=1)
    return root


def test_layout_is_carvanas(written: Path) -> None:
    ids = {turntable.scene_id(5, index) for index in range(6)}
    assert {path.name for path in (written / "imgs").iterdir()} == {f"{name}.jpg" for name in ids}
    assert {path.name for path in (written / "masks").iterdir()} == {f"{name}_mask.gif" for name in ids}


def test_masks_decode_as_carvanas_and_equal_what_was_drawn(written: Path) -> None:
    for index in range(6):
        scene = turntable.render(5, index, SMALL_HW)
        with Image.open(written / "masks" / f"{scene.id}_mask.gif") as mask:
            # As the real files do: palette indices 0 and 1, black and white.
            assert (mask.format, mask.mode) == ("GIF", "P")
            np.testing.assert_array_equal(np.asarray(mask), scene.mask)
            np.testing.assert_array_equal(np.asarray(mask.convert("L")), scene.mask * 255)


def test_images_are_jpegs_near_what_was_drawn(written: Path) -> None:
    scene = turntable.render(5, 0, SMALL_HW)
    with Image.open(written / "imgs" / f"{scene.id}.jpg") as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (144, 96))
        # Quality 78 and up on a noisy picture; a wrong channel order or picture is off by 20 and more.
        assert np.abs(np.asarray(image).astype(int) - scene.image).mean() < 8


def test_real_masks_decode_the_same_way() -> None:
    import os

    folder = os.environ.get("DENSECAST_TEST_DATA")
    masks = sorted((Path(folder) / "carvana" / "masks").glob("*.gif")) if folder else []
    if not masks:
        pytest.skip("set DENSECAST_TEST_DATA to a folder with carvana/masks to compare with real masks")
    with Image.open(masks[0]) as mask:
        assert mask.mode == "P"
        assert set(np.unique(np.asarray(mask))) == {0, 1}
        assert set(np.unique(np.asarray(mask.convert("L")))) == {0, 255}


@pytest.mark.slow
def test_number_of_workers_does_not_show(written: Path, tmp_path: Path) -> None:
    write_carvana.write(tmp_path, 6, SMALL_HW, seed=5, workers=2)
    assert contents(tmp_path) == contents(written)


def test_record_tells_what_the_folder_is(written: Path) -> None:
    stored = json.loads((written / "scene.json").read_text())
    assert stored == {
        "generator": "turntable",
        "version": turntable.VERSION,
        "seed": 5,
        "count": 6,
        "size_hw": [96, 144],
    }
    assert folder.is_written(written, write_carvana.record(6, SMALL_HW, seed=5))
    for other in ((7, SMALL_HW, 5), (6, (96, 145), 5), (6, SMALL_HW, 6)):
        assert not folder.is_written(written, write_carvana.record(*other))


def test_a_damaged_record_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "scene.json").write_text('{"generator": ')
    assert not folder.is_written(tmp_path, write_carvana.record(1))


def test_a_finished_folder_is_left_alone(tmp_path: Path) -> None:
    write_carvana.write(tmp_path, 1, SMALL_HW)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    write_carvana.write(tmp_path, 1, SMALL_HW)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_an_interrupted_folder_is_finished_with_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    write_carvana.write(whole, 3, SMALL_HW)
    real = turntable.render

    def stops(seed: int, index: int, size_hw: tuple[int, int]) -> turntable.Scene:
        if index == 2:
            raise KeyboardInterrupt
        return real(seed, index, size_hw)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(turntable, "render", stops)
        write_carvana.write(broken, 3, SMALL_HW, workers=1)
    assert not folder.is_written(broken, write_carvana.record(3, SMALL_HW))
    write_carvana.write(broken, 3, SMALL_HW)
    assert contents(broken) == contents(whole)


def test_other_pictures_are_not_mixed_in(written: Path) -> None:
    before = contents(written)
    with pytest.raises(BadDatasetError, match=r"6 other files.*Name another folder"):
        write_carvana.write(written, 6, SMALL_HW, seed=8)
    with pytest.raises(BadDatasetError, match="5 other files"):
        write_carvana.write(written, 1, SMALL_HW, seed=5)
    assert contents(written) == before


@pytest.mark.parametrize("wrong", [{"count": 0}, {"size_hw": (32, 96)}, {"size_hw": (96, 100_000)}, {"seed": -1}])
def test_arguments_out_of_bounds_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(BadConfigError, match=r"count of 1|sides of 64"):
        write_carvana.write(tmp_path, **({"count": 1, "size_hw": SMALL_HW} | wrong))
    assert not list(tmp_path.iterdir())
