"""Specs at their edges: what is just allowed, what is refused with its field, what sizes times a ratio become."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_specs

from densecast.errors import BadConfigError, BadShapeError, UsageError
from densecast.io import codec
from densecast.spec import cpu, options, pose_unbiased
from densecast.spec.data_options import Data, DataOptions
from densecast.spec.georeference import Georeference
from densecast.spec.handover_options import BundleOptions, is_name
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import FitCentre, FitInto, Letterbox, Native, PoseAffine, Preprocess, ScaleBy, Stretch
from densecast.spec.serve_options import ServeOptions
from densecast.spec.short_side import ShortSide
from densecast.spec.store_options import StoreOptions
from densecast.spec.tensor import LARGEST_SIZE, Dim, TensorSpec
from densecast.spec.tiles import Grid
from densecast.spec.verb_options import EvaluateOptions


@pytest.mark.parametrize(
    ("mean", "std", "divisor", "field"),
    [
        (1.0, 1.0, 1.0, "divisor"), (1.01, 1.0, 1.0, None), (0.5, 1.01, 1.0, None), (0.0, 1.0, 1.0, None),
        (-1.0, 0.5, 1.0, "divisor"), (0.0, 0.5, 1.0, "divisor"), (0.5, 0.5, 255.0, None),
        (1.5, 1.0, 255.0, None), (1.51, 1.0, 255.0, "divisor"), (100.0, 1.0, 2.0, None), (192.0, 1.0, 2.0, "divisor"),
    ],
)  # fmt: skip
def test_mean_and_deviation_are_on_the_scale_of_the_values(
    mean: float, std: float, divisor: float, field: str | None
) -> None:
    def made() -> Preprocess:
        return Preprocess(Native(), mean=(mean,) * 3, std=(std,) * 3, divisor=divisor)

    if field is None:
        assert made().mean == (mean,) * 3
    else:
        with pytest.raises(BadConfigError) as raised:
            made()
        assert raised.value.field == field


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"mean": (0.0, 255.0, 255.5)}, "outside of the values 0..255"), ({"mean": (-1.0, 9.0, 9.0)}, "lies outside"),
        ({"std": (0.9, 2.0, 2.0)}, "makes images span"), ({"std": (511.0, 600.0, 600.0)}, "makes images span"),
        ({"std": (2.0, 41.0, 41.0)}, "by more than 20 times"),
    ],
)  # fmt: skip
def test_unusual_normalisation_is_remarked(changed: dict[str, Any], words: str) -> None:
    (remark,) = Preprocess(Native(), **{"mean": (9.0,) * 3, "std": (9.0,) * 3, **changed}).remarks()
    assert words in remark and remark.endswith("check that it is meant.")


@pytest.mark.parametrize(
    "changed",
    [{"mean": (0.0, 255.0, 9.0)}, {"std": (1.0, 20.0, 9.0)}, {"std": (255 / 256,) * 3}, {"std": (510.0,) * 3}],
)
def test_usual_normalisation_needs_no_remark(changed: dict[str, Any]) -> None:
    assert Preprocess(Native(), **{"mean": (9.0,) * 3, "std": (9.0,) * 3, **changed}).remarks() == ()


@pytest.mark.parametrize(
    ("made", "field"),
    [
        (lambda: Preprocess(PoseAffine(), value_range=(0.0, 1.0)), "value_range"),
        (lambda: Preprocess(Native(), value_range=(1.0, 1.0)), "value_range"),
        (lambda: Preprocess(Native(), value_range=(0.0, float("inf"))), "value_range"),
        (lambda: Preprocess(Native(), colour="BGR").for_channels(4), "colour"),
        (lambda: Preprocess(Native(), colour="BGR").for_channels(1), "colour"),
        (lambda: Preprocess(Native(), colour="GRAY").for_channels(3), "colour"),
        (lambda: Georeference((1, 0, 0, 0, 1)), "transform"),  # type: ignore[arg-type]
        (lambda: Georeference((1, 0, 0, 0, float("nan"), 0)), "transform"),
        (lambda: Georeference((1, 2, 0, 2, 4, 0)), "transform"),
        (lambda: StoreOptions("s", on="ray", shard="1/2"), "shard"),
        (lambda: StoreOptions("s", shard="0/2"), "shard"),
        (lambda: StoreOptions("s", shard="3/2"), "shard"),
        (lambda: StoreOptions("  "), "store"),
        (lambda: StoreOptions(on="ray"), "on"),
        (lambda: StoreOptions("s", on="rays"), "on"),
        (lambda: StoreOptions("s", shard_size=0), "shard_size"),
        (lambda: DataOptions(remap=("255",)), "remap"),
        (lambda: DataOptions(remap=("=1",)), "remap"),
        (lambda: EvaluateOptions("all", limit=0), "limit"),
        (lambda: BundleOptions(python="3.10"), "python"),
        (lambda: BundleOptions(python="three"), "python"),
        (lambda: BundleOptions(platform="win_amd64"), "platform"),
        (lambda: cpu.target("native"), "cpu"),
        (lambda: Grid(64, 64, 8, 1, True).step_px, "tile"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_its_field(made: Callable[[], object], field: str) -> None:
    with pytest.raises((BadConfigError, UsageError)) as raised:
        made()
    assert raised.value.field == field


def test_what_just_can_be_is_allowed() -> None:
    assert StoreOptions("s", shard="2/2").shard == "2/2" and StoreOptions("s", on="ray:a:1").on == "ray:a:1"
    assert StoreOptions("s", shard_size=1).shard_size == 1 and EvaluateOptions("all", limit=1).limit == 1
    assert BundleOptions(python="3.11").python == "3.11" and DataOptions(remap=("255=1",)).remap == ("255=1",)
    rows = Georeference((2, 0, 5, 0, -3, 7, 0, 0, 1))  # type: ignore[arg-type]
    assert rows.transform == (2, 0, 5, 0, -3, 7) and rows.pixel_area == 6
    assert Georeference.from_gdal((5, 2, 1, 7, 1, -3)).transform == (2, 1, 5, 1, -3, 7)
    assert is_name("a") and is_name("0a.b_c-d") and not is_name("") and not is_name("-a") and not is_name("a b")
    assert Preprocess(Native(), colour="GRAY", mean=(1.5,), std=(2.0,)).for_channels(1).mean == (1.5,)
    assert cpu.target("any") is None


def test_tiles_move_on_by_what_they_do_not_share_in_whole_steps() -> None:
    assert Grid(64, 16, 8, 1, True).step_px == 48 and Grid(64, 17, 8, 1, True).step_px == 40
    assert Grid(64, 56, 8, 1, True).step_px == 8
    fixed = Grid(64, 16, 8, 1, True)
    assert [fixed.padded(side) for side in (1, 64, 65, 72, 73)] == [64, 64, 72, 72, 80]
    assert replace(fixed, is_fixed=False).padded(65) == 65


@pytest.mark.parametrize(
    ("resize", "ratio", "scaled"),
    [
        (ScaleBy(0.5), 1.5, ScaleBy(0.75)), (Stretch((10, 7)), 0.5, Stretch((5, 3))),
        (Stretch((10, 7)), 0.01, Stretch((1, 1))), (FitCentre((9, 9)), 0.5, FitCentre((4, 4))),
        (FitInto((10, 7), (1.0, 2.0, 3.0)), 1.5, FitInto((15, 10), (1.0, 2.0, 3.0))),
        (Letterbox((8, 6), (5.0, 5.0, 5.0)), 2.0, Letterbox((16, 12), (5.0, 5.0, 5.0))),
        (ShortSide(7), 0.5, ShortSide(3)), (ShortSide(7), 0.1, ShortSide(1)),
    ],
)  # fmt: skip
def test_a_resize_times_a_ratio_is_rounded_down_and_keeps_its_fill(resize: Any, ratio: float, scaled: Any) -> None:
    assert resize.scaled(ratio) == scaled


@pytest.mark.parametrize(("side", "fits"), [(1, False), (2, True)])
def test_unbiased_places_need_two_pixels_a_side(side: int, fits: bool) -> None:
    for image_hw in ((side, 40), (40, side)):
        if fits:
            placed = pose_unbiased.place(image_hw, 64, 64)
            x, y = placed.placement.scale_xy
            scales = placed.matrix()
            assert scales[0, 0] == pytest.approx(x, rel=1e-6) and scales[1, 1] == pytest.approx(y, rel=1e-6)
            assert scales[0, 1] == scales[0, 2] == scales[1, 0] == scales[1, 2] == 0
        else:
            with pytest.raises(BadShapeError, match="at least 2x2 pixels"):
                pose_unbiased.place(image_hw, 64, 64)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"inputs": ()}, "inputs must have names of their own"),
        ({"outputs": (TensorSpec("a", "float32", (1, 2, 8, 8)),) * 2}, "outputs must have names of their own"),
        ({"inputs": (TensorSpec("image", "float32", (1, 3, 0, 8)),)}, "an input of size 0 holds no image"),
        ({"input_preprocess": {"other": Preprocess(Native())}}, "each input beside the image needs its preprocessing"),
        ({"labels": ("a", "b", "c")}, "3 labels but 2 colours"),
        ({"task": "pose"}, "outputs of pose cannot be decoded by segmentation"),
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(tiny_specs.segmentation(), **changed)


@pytest.mark.parametrize("kind", [None, 3, {"a": 1}])
def test_the_options_of_a_task_are_named_by_their_kind(kind: object) -> None:
    plain = codec.to_plain(tiny_specs.segmentation())
    assert codec.from_plain(plain, ModelSpec, "m") == tiny_specs.segmentation()
    with pytest.raises(BadConfigError, match="decode: 'kind' must name a task"):
        codec.from_plain({**plain, "decode": {**plain["decode"], "kind": kind}}, ModelSpec, "m")


@pytest.mark.parametrize(
    ("least", "most", "multiple", "fits"),
    [
        (0, 1, 1, True), (0, LARGEST_SIZE, LARGEST_SIZE, True), (-1, 1, 1, False), (0, 0, 1, False), (0, 1, 0, False),
        (0, LARGEST_SIZE + 1, 1, False), (0, 1, LARGEST_SIZE + 1, False),
    ],
)  # fmt: skip
def test_sizes_are_whole_numbers_up_to_the_largest(least: int, most: int, multiple: int, fits: bool) -> None:
    if fits:
        assert Dim("N", least, most, multiple).max == most
    else:
        with pytest.raises(ValueError, match="sizes must be from 0 to"):
            Dim("N", least, most, multiple)


@pytest.mark.parametrize("size", [-1, LARGEST_SIZE + 1])
def test_fixed_sizes_are_bounded_too(size: int) -> None:
    assert TensorSpec("a", "float32", (0, LARGEST_SIZE)).shape == (0, LARGEST_SIZE)
    with pytest.raises(ValueError, match="tensor 'a': sizes must be from 0 to"):
        TensorSpec("a", "float32", (1, size))


def test_data_are_a_path_or_come_with_options() -> None:
    assert Data.at(None) == Data() and Data.at("a") == Data.at(Path("a")) == Data(Path("a"))
    given = Data(Path("a"), DataOptions(suffix="_m"))
    assert Data.at(given) is given
    for wrong in (3, ["a"], b"a"):
        with pytest.raises(UsageError, match="data must be a path") as raised:
            Data.at(wrong)  # type: ignore[arg-type]
        assert raised.value.field == "data"


def test_no_size_is_beyond_the_whole_numbers_of_32_bits() -> None:
    assert LARGEST_SIZE == options.LARGEST_SIZE == 2_147_483_647


def test_an_option_without_effect_is_told_why() -> None:
    for given, why in (
        ({"token_file": "t"}, "a token is asked for"),
        ({}, "127.0.0.1 is this machine's own address"),
    ):
        with pytest.raises(UsageError, match=f"insecure has no effect: {why}") as raised:
            ServeOptions(insecure=True, **given)  # type: ignore[arg-type]
        assert raised.value.field == "insecure"
    assert ServeOptions(host="0.0.0.0", insecure=True).insecure
