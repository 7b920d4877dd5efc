"""Where a normalisation stops being what a network can be meant to have: on either side of every end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from densecast.errors import BadConfigError, UsageError
from densecast.spec.preprocess import (
    FitCentre,
    FitInto,
    Letterbox,
    Native,
    NearMultiple,
    PoseAffine,
    Preprocess,
    ScaleBy,
    Stretch,
    ToMultiple,
    spread,
)


def field_of(**numbers: Any) -> str | None:
    """The field that is refused; nothing where all is taken."""
    try:
        Preprocess(numbers.pop("resize", Native()), **numbers)
    except BadConfigError as error:
        return error.field or "none"
    return None


@pytest.mark.parametrize(
    ("numbers", "field"),
    [
        # Of values 0..1 are a mean and a deviation that are all at most 1, but for those that do nothing.
        ({"mean": (1.0, 1.0, 1.0), "std": (1.0, 1.0, 1.0)}, "divisor"),
        ({"mean": (-1.0, 0.0, 1.0), "std": (1.0, 0.5, 1.0)}, "divisor"),
        ({"mean": (0.5, 0.5, 1.01), "std": (1.0, 1.0, 1.0)}, None),
        ({"mean": (0.5, -1.01, 0.5), "std": (1.0, 1.0, 1.0)}, None),
        ({"mean": (0.5, 0.5, 0.5), "std": (1.0, 1.0, 1.01)}, None),
        ({"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}, None),
        ({"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 0.9)}, "divisor"),
        ({"mean": (0.0, 0.0, 0.1), "std": (1.0, 1.0, 1.0)}, "divisor"),
        ({"mean": (0.5,), "std": (0.5,), "divisor": 1.5}, None),
        # Of values 0..255 is a mean of more than half as much again as the divided values reach.
        ({"mean": (1.5, 0.0, 0.0), "std": (0.5,), "divisor": 255.0}, None),
        ({"mean": (0.0, 1.51, 0.0), "std": (0.5,), "divisor": 255.0}, "divisor"),
        ({"mean": (3.0,), "std": (0.5,), "divisor": 127.5}, None),
        ({"mean": (3.01,), "std": (0.5,), "divisor": 127.5}, "divisor"),
        ({"mean": (1.0,), "std": (0.5,), "divisor": 1000.0}, None),
        ({"mean": (1.01,), "std": (0.5,), "divisor": 1000.0}, "divisor"),
        # What divides twice leaves less than a twentieth.
        ({"mean": (0.5,), "std": (20.0, 20.0, 30.0), "divisor": 255.0}, None),
        ({"mean": (0.5,), "std": (20.1, 20.1, 30.0), "divisor": 255.0}, "std"),
        ({"mean": (0.5,), "std": (10.0,), "divisor": 510.0}, None),
        ({"mean": (0.5,), "std": (10.1,), "divisor": 510.0}, "std"),
        ({"std": (5200.0,)}, None),
        # Ends of numbers.
        ({"mean": (1e30,)}, None), ({"mean": (1.1e30,)}, "mean"),
        ({"mean": (-1e30,)}, None), ({"mean": (-1.1e30,)}, "mean"),
        ({"std": (1e30,)}, None), ({"std": (1.1e30,)}, "std"),
        ({"std": (0.9e-30,), "mean": (2.0,)}, "std"), ({"std": (1.1e-30,), "mean": (2.0,)}, None),
        ({"divisor": 0.9e-30}, "divisor"), ({"divisor": 1.1e-30, "mean": (2.0,)}, None),
        ({"divisor": 1e30}, "divisor"), ({"divisor": -1.0}, "divisor"),
        ({"pad_multiple": 1}, None), ({"pad_multiple": 0}, "pad_multiple"), ({"pad_multiple": 4096}, None),
        ({"pad_multiple": 4097}, "pad_multiple"),
        ({"value_range": (5.0, 5.0)}, "value_range"), ({"value_range": (5.0, 4.0)}, "value_range"),
        ({"value_range": (-5.0, 5.0)}, None), ({"value_range": (float("-inf"), 5.0)}, "value_range"),
        ({"value_range": (0.0, 5.0), "resize": PoseAffine()}, "value_range"),
        ({"pad_multiple": 2, "resize": PoseAffine()}, "pad_multiple"), ({"resize": PoseAffine()}, None),
    ],
)  # fmt: skip
def test_each_end_lies_where_it_is_said_to(numbers: dict[str, Any], field: str | None) -> None:
    assert field_of(**numbers) == field


@pytest.mark.parametrize(
    ("numbers", "remarks"),
    [
        ({"mean": (0.0, 255.0, 10.0)}, 0), ({"mean": (0.0, 255.1, 10.0)}, 1), ({"mean": (-0.1, 0.0, 0.0)}, 1),
        ({"mean": (0.0, 1.01, 0.0), "std": (1.0,), "divisor": 255.0}, 1),
        ({"std": (255 / 256,) * 3, "mean": (0.0, 0.0, 2.0)}, 0), ({"std": (0.99,), "mean": (0.0, 0.0, 2.0)}, 1),
        ({"std": (510.0,)}, 0), ({"std": (511.0,)}, 1),
        ({"std": (5.0, 100.0, 100.0)}, 0), ({"std": (5.0, 100.1, 100.0)}, 1), ({"std": (100.0, 100.0, 4.9)}, 1),
    ],
)  # fmt: skip
def test_the_unusual_begins_where_it_is_said_to(numbers: dict[str, Any], remarks: int) -> None:
    assert len(Preprocess(Native(), **numbers).remarks()) == remarks


@pytest.mark.parametrize(
    ("resize", "multiple", "around"),
    [
        (Native(), 1, None), (Native(), 8, (7.0,)), (ScaleBy(0.5), 2, (7.0,)),
        (Stretch((16, 24)), 8, None), (Stretch((16, 24)), 16, (7.0,)), (Stretch((16, 20)), 8, (7.0,)),
        (ToMultiple(16), 8, None), (ToMultiple(16), 16, None), (ToMultiple(16), 32, (7.0,)),
        (NearMultiple(16), 8, None), (NearMultiple(12), 8, (7.0,)),
        (FitInto((32, 32), fill=(1.0, 2.0, 3.0)), 8, (1.0, 2.0, 3.0)), (Letterbox((32, 32)), 1, (114.0,) * 3),
    ],
)  # fmt: skip
def test_what_surrounds_an_image_is_what_it_is_filled_up_with(
    resize: Any, multiple: int, around: tuple[float, ...] | None
) -> None:
    assert Preprocess(resize, pad_multiple=multiple, pad_fill=(7.0,)).surroundings() == around


def test_a_centred_image_is_surrounded_by_the_mean_in_the_images_order_of_channels() -> None:
    rule = Preprocess(FitCentre((32, 32)), mean=(0.1, 0.2, 0.3), std=(0.5,), divisor=255.0)
    assert rule.surroundings() == pytest.approx((25.5, 51.0, 76.5))
    assert replace(rule, colour="BGR").surroundings() == pytest.approx((76.5, 51.0, 25.5))


def test_padding_fills_each_side_up_to_the_next_multiple() -> None:
    rule = Preprocess(Native(), pad_multiple=32)
    for size_hw, model_hw in (((32, 64), (32, 64)), ((33, 65), (64, 96)), ((1, 31), (32, 32))):
        placement = rule.place(size_hw)
        assert placement.model_hw == model_hw and placement.content_hw == size_hw
    assert Preprocess(Native()).place((33, 65)).model_hw == (33, 65)


def test_bytes_hold_whole_numbers_around_images_of_8_bits() -> None:
    Preprocess(Native(), pad_multiple=8, pad_fill=(3.0,)).check_bytes()
    Preprocess(Native(), pad_fill=(0.5,)).check_bytes()  # nothing is padded
    Preprocess(Letterbox((32, 32))).check_bytes()
    for rule in (
        Preprocess(Native(), pad_multiple=8, pad_fill=(0.5,)),
        Preprocess(Stretch((16, 16)), pad_multiple=8, pad_fill=(0.5,)),
        Preprocess(FitCentre((32, 32)), mean=(0.1,), std=(0.5,), divisor=255.0),
        Preprocess(Native(), value_range=(0.0, 4095.0)),
    ):
        with pytest.raises(UsageError, match="Build it without --uint8-input"):
            rule.check_bytes()


@pytest.mark.parametrize(
    ("colour", "channels", "expected"),
    [
        ("RGB", 3, "RGB"), ("RGB", 1, "GRAY"), ("RGB", 7, "RGB"), ("BGR", 3, "BGR"), ("GRAY", 1, "GRAY"),
        ("BGR", 1, None), ("BGR", 4, None), ("GRAY", 3, None),
        ("grey", 1, "GRAY"), ("bgr", 3, "BGR"),
    ],
)  # fmt: skip
def test_an_order_of_colours_is_for_so_many_channels(colour: Any, channels: int, expected: str | None) -> None:
    rule = Preprocess(Native(), colour=colour, mean=(7.0,))
    if expected is None:
        with pytest.raises(BadConfigError) as error:
            rule.for_channels(channels)
        assert error.value.field == "colour"
        return
    found = rule.for_channels(channels)
    assert (found.colour, found.mean, found.std) == (expected, (7.0,) * channels, (255.0,) * channels)
    assert found.for_channels(channels) == found


def test_numbers_are_spread_over_channels() -> None:
    assert spread("mean", (1.0, 2.0), 2) == (1.0, 2.0) and spread("mean", (1.0,), 4) == (1.0,) * 4
    assert spread("mean", (1.0,) * 3, 2) == (1.0, 1.0)
    for values, channels in (((1.0, 2.0), 3), ((1.0, 2.0, 3.0), 1), ((1.0, 1.0, 2.0), 2)):
        with pytest.raises(BadConfigError, match=f"std needs {channels} numbers"):
            spread("std", values, channels)


def test_views_of_several_ratios_are_scaled_each_by_its_own() -> None:
    rule = Preprocess(ScaleBy(0.5))
    assert rule.at_ratios((1.0,)) == (rule,)
    one, two = rule.at_ratios((1.0, 2.0))
    assert one == rule and two.place((10, 20)).model_hw == (10, 20)
    (half,) = rule.at_ratios((0.5,))
    assert half.place((40, 80)).model_hw == (10, 20)
    people = Preprocess(PoseAffine(512, 64))
    for ratios, least in (((1.0,), 1.0), ((1.0, 0.5), 0.5), ((2.0, 1.5), 1.5)):
        resizes: list[Any] = [each.resize for each in people.at_ratios(ratios)]
        assert {each.min_scale for each in resizes} == {least}
        assert [each.scale for each in resizes] == list(ratios)
