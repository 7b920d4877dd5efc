"""Shards: how many ids each has, what comes again, and which image is blamed when workers die of it."""

from __future__ import annotations

from collections import Counter

import pytest

from densecast.errors import BadDatasetError
from densecast.measure import truth_check
from densecast.measure.distribute.shards import Shard, Shards
from densecast.metrics._base import TruthSummary

IDS = tuple(f"{index:03}" for index in range(100))


def sizes(shards: Shards) -> list[int]:
    found = []
    while (shard := shards.take()) is not None:
        found.append(len(shard.ids))
    return found


def test_a_size_that_is_given_holds_and_nothing_is_lost_or_taken_twice() -> None:
    shards = Shards(IDS, 30)
    taken = [shard.ids for _ in range(4) if (shard := shards.take()) is not None]
    assert [len(each) for each in taken] == [30, 30, 30, 10] and sum(taken, ()) == IDS
    assert shards.take() is None and shards.left == 0


@pytest.mark.parametrize(
    ("seconds", "workers", "fitting"),
    [
        (None, 1, 8),  # nobody knows yet
        (2.0, 1, 60),  # half a second an image: 30 seconds are 60
        (2.0, 3, 16),  # 92 are left: each of three workers takes two shards more
        (0.0, 1, 92),
        (400.0, 1, 1),  # one image takes longer than a shard should
    ],
)
def test_shards_grow_until_they_take_half_a_minute(seconds: float | None, workers: int, fitting: int) -> None:
    shards = Shards(IDS, workers=workers)
    first = shards.take()
    assert first is not None and len(first.ids) == 8
    if seconds is not None:
        shards.timed(Shard(IDS[:4]), seconds)
    assert sizes(shards)[0] == fitting


def test_no_shard_has_more_than_2048() -> None:
    shards = Shards(map(str, range(5000)))
    shards.timed(Shard(("a",)), 1e-9)
    assert sizes(shards) == [2048, 2048, 904]


def test_what_one_image_took_counts_for_one() -> None:
    shards = Shards(IDS)
    shards.timed(Shard(IDS[:1]), 10.0)
    assert sizes(shards)[0] == 3


def test_what_was_put_back_comes_first_and_counts_as_left() -> None:
    shards = Shards(IDS, 10)
    first, second = shards.take(), shards.take()
    assert first is not None and second is not None
    shards.put_back(first)
    shards.put_back(second)
    assert shards.left == 100
    assert shards.take() == first and shards.take() == second and shards.left == 80


@pytest.mark.parametrize(("size", "deaths"), [(8, 6), (1, 2), (3, 5)])
def test_the_image_that_kills_workers_is_found_and_all_others_are_computed_once(size: int, deaths: int) -> None:
    shards, computed, blamed, died = Shards(IDS[:16], size), Counter[str](), [], 0
    while (shard := shards.take()) is not None:
        if "005" in shard.ids:
            died += 1
            if (culprit := shards.died(shard)) is not None:
                blamed.append(culprit)
        else:
            computed.update(shard.ids)
    assert blamed == ["005"] and set(computed) == set(IDS[:16]) - {"005"} and set(computed.values()) == {1}
    # The whole shard twice, each half that has it once, the image alone twice.
    assert died == deaths


def test_a_worker_that_dies_once_of_its_machine_blames_nobody() -> None:
    shards = Shards(IDS[:4], 4)
    shard = shards.take()
    assert shard is not None and shards.died(shard) is None
    assert shards.take() == Shard(shard.ids, 1)


LABELS = ("ground", "house", "tree")


def test_labels_of_no_class_are_refused_with_their_share() -> None:
    with pytest.raises(BadDatasetError, match=r"12\.5% of the pixels have labels .* \(7, 9; it has 3 classes\)"):
        truth_check.check(TruthSummary((3, 4, 0), 0, {9: 0, 7: 1}), LABELS)
    with pytest.raises(BadDatasetError, match=r"\(10, 11, 12, 13, 14, 15, 16, 17, …;"):
        truth_check.check(TruthSummary((1, 1, 1), 0, dict.fromkeys(range(10, 19), 1)), LABELS)
    with pytest.raises(BadDatasetError, match=r"\(10, 11, 12, 13, 14, 15, 16, 17; "):
        truth_check.check(TruthSummary((1, 1, 1), 0, dict.fromkeys(range(10, 18), 1)), LABELS)


def test_half_of_the_pixels_may_be_left_out_and_no_more() -> None:
    assert truth_check.check(TruthSummary((2, 1, 1), 4, {}), LABELS) == ()
    with pytest.raises(BadDatasetError, match=r"55\.6% of the pixels are not evaluated"):
        truth_check.check(TruthSummary((2, 1, 1), 5, {}), LABELS)
    assert truth_check.check(TruthSummary((2, 1, 1), 5, {}), LABELS, allow_ignored=True) == ()


def test_one_class_and_255_alone_are_refused_and_absent_classes_are_told() -> None:
    with pytest.raises(BadDatasetError, match=r"holds only 'house' and 255, not evaluated \(10\.0% of"):
        truth_check.check(TruthSummary((0, 9, 0), 1, {}), LABELS)
    only = ("the ground truth holds only 'house': nothing is said about any other class",)
    assert truth_check.check(TruthSummary((0, 9, 0), 1, {}), LABELS, allow_ignored=True) == only
    assert truth_check.check(TruthSummary((0, 9, 0), 0, {}), LABELS) == only
    assert truth_check.check(TruthSummary((1, 9, 0), 0, {}), LABELS) == ("nowhere in the ground truth: tree",)
    assert truth_check.check(TruthSummary((0, 0, 0), 0, {}), LABELS) == ()
    many = tuple(f"c{index}" for index in range(12))
    (remark,) = truth_check.check(TruthSummary((1, 1, *(0,) * 10), 0, {}), many)
    assert remark == "nowhere in the ground truth: c2, c3, c4, c5, c6, c7, c8, c9 and 2 more"
