"""A Carvana folder as the real one is: masks of 0 and 1 in GIF files, a tenth for validation, drawn by the seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_images import carvana as write
from PIL import Image

from densecast.datasets import carvana
from densecast.errors import BadDatasetError
from densecast.spec.sample import Sample, ids_sha256


def test_a_mask_of_0_and_1_is_background_and_car(tmp_path: Path) -> None:
    root = write(tmp_path, count=1)
    (mask,) = (root / "masks").iterdir()
    with Image.open(mask) as stored:
        indices = np.asarray(stored)
    assert set(np.unique(indices)) == {0, 1}  # the real files' indices
    dataset = carvana.open(root, "all")
    np.testing.assert_array_equal(dataset.read_target(dataset.samples[0]), indices)


@pytest.mark.parametrize(("images", "validation"), [(10, 1), (19, 1), (25, 2)])
def test_a_tenth_rounded_down_is_for_validation(images: int, validation: int, tmp_path: Path) -> None:
    root = write(tmp_path, images)
    val, train = carvana.open(root, "val"), carvana.open(root, "train")
    assert (len(val.samples), len(train.samples)) == (validation, images - validation)
    names = [sample.id for sample in (*val.samples, *train.samples)]
    assert sorted(names) == sorted(sample.id for sample in carvana.open(root, "all").samples)
    with pytest.raises(BadDatasetError, match="9 images leave none"):
        carvana.open(write(tmp_path / "nine", 9), "val")


def test_the_seed_draws_who_is_in_a_split(tmp_path: Path) -> None:
    root = write(tmp_path, 40)
    drawn = [tuple(each.id for each in carvana.open(root, "val", seed).samples) for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1] and len(set(drawn)) == 3
    # numpy's PCG64 draws from the sorted names.
    order = np.random.default_rng(1).permutation(40)
    everything = sorted(path.stem for path in (root / "imgs").iterdir())
    assert list(drawn[2]) == sorted(everything[index] for index in order[:4])


def test_a_record_knows_images_in_another_order(tmp_path: Path) -> None:
    samples = tuple(Sample(name, tmp_path / name, tmp_path / name) for name in ("b", "a", "c"))
    assert ids_sha256(samples) != ids_sha256(samples[::-1])
    assert ids_sha256(samples) != ids_sha256(samples[:2])
