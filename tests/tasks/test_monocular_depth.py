"""Monocular depth: resizing, files and errors against numpy and torch, refusals in words."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import tiny_specs
from PIL import Image

from densecast.datasets import depth_pairs
from densecast.errors import BadConfigError, BadDatasetError, BadGraphError, BadImageError, UsageError
from densecast.metrics.monocular_depth import MonocularDepth
from densecast.spec.augment import View
from densecast.tasks.monocular_depth import DepthMap, MonocularDepthDecode, MonocularDepthTask

TASK, METRIC = MonocularDepthTask(), MonocularDepth()
HW = (45, 61)


def view() -> list[View]:
    return [View(tiny_specs.HALF.place(HW), False, 1.0)]


def scored(found: np.ndarray, there: np.ndarray, **options: object) -> dict[str, float]:
    spec = tiny_specs.depth(MonocularDepthDecode(**options))  # type: ignore[arg-type]
    form = spec.decode.form  # type: ignore[attr-defined]
    count = METRIC.count("a", DepthMap(found.astype(np.float32), form), there.astype(np.float32), spec)
    score = METRIC.score([count], spec)
    return {"AbsRel": score.value, **score.others}


@pytest.mark.torch
@pytest.mark.parametrize("planes", [1, None])
def test_a_plane_is_resized_as_by_torch_and_brought_to_metres(planes: int | None) -> None:
    torch = pytest.importorskip("torch")
    output = np.random.default_rng(0).uniform(0.1, 1, (11, 15)).astype(np.float32)
    spec = tiny_specs.depth(MonocularDepthDecode(scale_m=80.0, min_m=10.0, max_m=60.0))
    given = output[None] if planes else output
    found = TASK.postprocess([{"depth": given}], view(), spec)
    tensor = torch.from_numpy(output)[None, None]
    for size_hw in (tiny_specs.HALF.place(HW).model_hw, HW):
        tensor = torch.nn.functional.interpolate(tensor, size_hw, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(found.values, (tensor[0, 0].numpy() * 80).clip(10, 60), rtol=1e-5)


def cubic(size: int, wanted: int) -> np.ndarray:
    """(wanted, size) weights of Keys' cubic with a = -0.75 at the centres of pixels, the border repeated."""
    weights, a = np.zeros((wanted, size)), -0.75
    for row in range(wanted):
        at = (row + 0.5) * size / wanted - 0.5
        for source in range(math.floor(at) - 1, math.floor(at) + 3):
            away = abs(at - source)
            near, far = (a + 2) * away**3 - (a + 3) * away**2 + 1, a * (away**3 - 5 * away**2 + 8 * away - 4)
            weights[row, min(max(source, 0), size - 1)] += near if away <= 1 else far
    return weights


def test_bicubic_is_the_last_step_alone() -> None:
    model_hw = tiny_specs.HALF.place(HW).model_hw
    output = np.random.default_rng(1).uniform(0.1, 1, model_hw).astype(np.float32)
    decode = MonocularDepthDecode(form="inverse", to_image="bicubic")
    found = TASK.postprocess([{"depth": output}], view(), tiny_specs.depth(decode)).values
    expected = cubic(model_hw[0], HW[0]) @ output @ cubic(model_hw[1], HW[1]).T
    np.testing.assert_allclose(found, expected, atol=2e-6)
    inside = TASK.postprocess([{"depth": output}], view(), tiny_specs.depth(decode), "network").values
    np.testing.assert_array_equal(inside, output)


@pytest.mark.parametrize(
    ("decode", "message"),
    [
        (MonocularDepthDecode(min_m=5.0, max_m=5.0), "min_m < max_m"),
        (MonocularDepthDecode(scale_m=0.0), "above 0"),
        (MonocularDepthDecode(form="inverse", max_m=10.0), "no effect"),
        (MonocularDepthDecode(form="inverse", align="median"), "least_squares"),
        (MonocularDepthDecode(align="least_squares"), "median"),
        (MonocularDepthDecode(eval_min_m=0.0), "eval_min_m"),
        (MonocularDepthDecode(align_corners=True, to_image="bicubic"), "leave align_corners out"),
    ],
)
def test_options_that_cannot_be_or_have_no_effect_are_refused(decode: MonocularDepthDecode, message: str) -> None:
    with pytest.raises(BadConfigError, match=message):
        TASK.check(tiny_specs.depth(decode))


def test_several_planes_and_scores_are_refused() -> None:
    with pytest.raises(BadGraphError, match="one plane"):
        TASK.postprocess([{"depth": np.zeros((2, 8, 8), np.float32)}], view(), tiny_specs.depth())
    with pytest.raises(UsageError, match="no scores"):
        TASK.postprocess([{"depth": np.zeros((1, 8, 8), np.float32)}], view(), tiny_specs.depth(), scores=True)


def test_errors_are_those_of_the_formulas() -> None:
    # Three pixels that count: d* = 2, 4, 10 and d = 3, 4, 8; one unknown and one beyond 80 m do not.
    there, found = np.array([[2, 4, 10, 0, 90]]), np.array([[3, 4, 8, 7, 5]])
    expected = {
        "AbsRel": (1 / 2 + 0 + 2 / 10) / 3,
        "SqRel": (1 / 2 + 0 + 4 / 10) / 3,
        "RMSE": math.sqrt((1 + 0 + 4) / 3),
        "RMSE_log": math.sqrt((math.log(3 / 2) ** 2 + math.log(8 / 10) ** 2) / 3),
        # max(d/d*, d*/d) is 1.5, 1 and 1.25; 1.25 is not below 1.25.
        "delta1": 1 / 3,
        "delta2": 1.0,
        "delta3": 1.0,
    }
    assert scored(found, there) == pytest.approx(expected, abs=1e-7)


def test_predictions_are_kept_within_the_limits() -> None:
    there = np.array([[2.0, 5.0]])
    assert scored(np.array([[-3.0, 500.0]]), there, eval_max_m=10.0)["AbsRel"] == pytest.approx(
        ((2 - 1e-3) / 2 + 5 / 5) / 2, abs=1e-6
    )


def test_the_scale_is_the_ratio_of_medians_which_a_far_wall_does_not_move() -> None:
    there = np.array([[1.0, 2.0, 3.0, 4.0, 60.0]])
    found = np.array([[1.0, 1.0, 2.0, 2.0, 3.0]])  # medians 3 and 2
    expected = (0.5 / 1 + 0.5 / 2 + 0 / 3 + 1 / 4 + 55.5 / 60) / 5
    assert scored(found, there, align="median")["AbsRel"] == pytest.approx(expected, rel=1e-6)


def test_what_is_nearer_than_nothing_after_the_alignment_is_the_farthest_that_counts() -> None:
    """Whatever the nearest is: of inverse depths the farthest is the least."""
    there = np.array([[2.0, 2.0, 2.0, 9.5, 9.5, 9.5, 9.5]])
    found = np.array([[1.0, 1.0, 1.0, 0.0, 0.1, 0.2, -0.6]])
    scale, shift = np.polyfit(found.ravel(), 1 / there.ravel(), 1)
    fitted = found * scale + shift
    assert (fitted < 0).any() and (fitted > 0.125).any()
    farthest_m = 10.0
    aligned = np.where(fitted > 1 / farthest_m, 1 / np.where(fitted > 0, fitted, 1), farthest_m).clip(1.5, farthest_m)
    expected = float(np.mean(np.abs(aligned - there) / there))
    limits = {"eval_min_m": 1.5, "eval_max_m": farthest_m}
    found_error = scored(found, there, form="inverse", align="least_squares", **limits)["AbsRel"]
    assert found_error == pytest.approx(expected, rel=1e-5)


def test_pixels_at_the_limits_are_not_within_them() -> None:
    there = np.array([[2.0, 10.0, 5.0, np.inf, np.nan]], np.float32)
    spec = tiny_specs.depth(MonocularDepthDecode(eval_min_m=2.0, eval_max_m=10.0))
    count = METRIC.count("a", DepthMap(np.full((1, 5), 6.0, np.float32)), there, spec)
    assert (count.pixels, count.abs_rel) == (1, pytest.approx(1 / 5))


def test_a_prediction_whose_median_is_0_is_not_scaled() -> None:
    found, there = np.array([[0.0, 0.0, 8.0]]), np.array([[2.0, 4.0, 4.0]])
    expected = ((2 - 1e-3) / 2 + (4 - 1e-3) / 4 + (8 - 4) / 4) / 3
    assert scored(found, there, align="median")["AbsRel"] == pytest.approx(expected, abs=1e-6)


def test_scores_are_means_over_images_and_not_over_pixels() -> None:
    spec = tiny_specs.depth()
    counts = [
        METRIC.count("few", DepthMap(np.full((1, 1), 2, np.float32)), np.full((1, 1), 1, np.float32), spec),
        METRIC.count("many", DepthMap(np.full((9, 9), 1, np.float32)), np.full((9, 9), 1, np.float32), spec),
        METRIC.count("none", DepthMap(np.full((9, 9), 1, np.float32)), np.zeros((9, 9), np.float32), spec),
    ]
    score = METRIC.score(counts, spec)
    assert (score.value, score.count, set(score.per_image)) == (0.5, 3, {"few", "many"})


def test_relative_depth_is_right_up_to_scale_and_shift_and_metres_up_to_scale() -> None:
    there = np.random.default_rng(0).uniform(1, 40, (20, 30))
    assert scored(0.3 / there + 7, there, form="inverse", align="least_squares")["AbsRel"] < 1e-4
    assert scored(there * 0.2, there, align="median")["AbsRel"] < 1e-6
    assert scored(there * 0.2, there)["AbsRel"] == pytest.approx(0.8)
    noisy = 0.3 / there + 7 + np.random.default_rng(1).normal(0, 1e-3, there.shape)
    scale, shift = np.polyfit(noisy.astype(np.float32).ravel().astype(float), (1 / there.astype(np.float32)).ravel(), 1)
    aligned = (1 / np.maximum(noisy.astype(np.float32) * scale + shift, 1 / 80)).clip(1e-3, 80)
    expected = float(np.mean(np.abs(aligned - there) / there))
    assert scored(noisy, there, form="inverse", align="least_squares")["AbsRel"] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(UsageError, match="least_squares"):
        METRIC.check(tiny_specs.depth(MonocularDepthDecode(form="inverse")))


def test_metres_are_written_in_steps_of_kitti_and_relative_depth_as_it_is(tmp_path: Path) -> None:
    spec = tiny_specs.depth()
    values = np.array([[1.0, 2.5, 300.0, -1.0, np.nan, 1e-4]], np.float32)
    path = TASK.save(tmp_path / "a", DepthMap(values), spec)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), [[256, 640, 65535, 0, 0, 1]])
    relative = TASK.save(tmp_path / "b", DepthMap(values, "inverse"), spec)
    np.testing.assert_array_equal(np.load(relative), values)


def test_the_difference_is_relative_to_the_left_one() -> None:
    left, right = DepthMap(np.array([[1, 2, 4]], np.float32)), DepthMap(np.array([[1.5, 2, 40]], np.float32))
    assert TASK.difference(left, right).value == pytest.approx((0.5 + 0 + 1) / 3)
    inverse = DepthMap(np.array([[-1, 0, 1]], np.float32), "inverse")
    shifted = DepthMap(np.array([[-1, 0.5, 1]], np.float32), "inverse")
    assert TASK.difference(inverse, shifted).value == pytest.approx(0.25 / 3)


def test_near_is_yellow_and_far_is_violet(tmp_path: Path) -> None:
    depth = np.tile(np.linspace(1, 10, 200, dtype=np.float32), (80, 1))
    for prediction in (DepthMap(depth), DepthMap(1 / depth, "inverse")):
        path = TASK.save_colour(tmp_path / "a", prediction, tiny_specs.depth())
        near, far = np.asarray(Image.open(path))[0, [0, -1]].astype(int)
        assert near[0] > 200 and near[2] < 100 and far[2] > far[1]  # VIRIDIS' ends
        drawn = TASK.draw(np.full((80, 200, 3), 90, np.uint8), prediction, tiny_specs.depth())
        assert (drawn[70:74, 12] != drawn[30, 12]).any(), "there is a legend"


def test_the_legend_names_both_ends_and_unknown_depth_is_black(tmp_path: Path) -> None:
    depth = np.tile(np.linspace(1, 10, 200, dtype=np.float32), (80, 1))
    depth[:20, :9], depth[:20, 9] = 0.0, np.nan
    inverse = np.where(depth > 0, 1 / np.maximum(depth, 1e-3), -1).astype(np.float32)
    for prediction, unknown in ((DepthMap(depth), 10), (DepthMap(inverse, "inverse"), 0)):
        path = TASK.save_colour(tmp_path / "a", prediction, tiny_specs.depth())
        black = (np.asarray(Image.open(path)) == 0).all(axis=2)
        assert black.sum() == 20 * unknown, "of relative depth every number is known"
    legends = []
    for times in (1, 7):
        drawn = TASK.draw(np.full((80, 200, 3), 90, np.uint8), DepthMap(depth * times), tiny_specs.depth())
        words = drawn[50:64]
        assert (words[:, :60] == 255).all(axis=2).any() and (words[:, -60:] == 255).all(axis=2).any()
        legends.append(words)
    # The same colours everywhere, but other numbers at both ends.
    apart = (legends[0] != legends[1]).any(axis=(0, 2))
    assert apart[:60].any() and apart[-60:].any() and not apart[80:120].any()
    assert DepthMap(depth) == DepthMap(depth.copy()) != DepthMap(depth + 1), "unknown numbers are equal to themselves"


def test_a_data_set_says_what_its_steps_are(tmp_path: Path) -> None:
    for folder in ("images", "depth"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (4, 3)).save(tmp_path / "images" / "a.jpg")
    Image.fromarray(np.full((3, 4), 512, np.uint16)).save(tmp_path / "depth" / "a.png")
    with pytest.raises(BadDatasetError, match=r"units_per_m = 256"):
        depth_pairs.open(tmp_path, "all")
    (tmp_path / "depth.toml").write_text("units_per_m = 256\nmax_m = 10")
    with pytest.raises(BadDatasetError, match="'max_m' has no effect"):
        depth_pairs.open(tmp_path, "all")
    (tmp_path / "depth.toml").write_text("units_per_m = 256")
    opened = depth_pairs.open(tmp_path, "all")
    np.testing.assert_array_equal(opened.read_target(opened.samples[0]), np.full((3, 4), 2, np.float32))
    np.save(tmp_path / "depth" / "a.npy", np.ones((3, 4)))
    with pytest.raises(BadDatasetError, match="Remove one"):
        depth_pairs.open(tmp_path, "all")
    (tmp_path / "depth" / "a.png").unlink()
    opened = depth_pairs.open(tmp_path, "all")
    assert opened.read_target(opened.samples[0]).max() == 1
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "depth" / "a.png")
    (tmp_path / "depth" / "a.npy").unlink()
    opened = depth_pairs.open(tmp_path, "all")
    with pytest.raises(BadDatasetError, match="16 bits"):
        opened.read_target(opened.samples[0])


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_maps_are_tiffs_of_metres_or_steps_or_arrays_with_a_channel_axis(
    tmp_path: Path, compression: str | None
) -> None:
    for folder in ("images", "depth"):
        (tmp_path / folder).mkdir()
    metres = np.array([[1.5, np.nan, 0.0, 80.25], [-1.0, np.inf, 3.0, 0.125]], np.float32)
    expected = np.array([[1.5, 0, 0, 80.25], [0, 0, 3.0, 0.125]], np.float32)
    for name in "abc":
        Image.new("RGB", (4, 2)).save(tmp_path / "images" / f"{name}.jpg")
    Image.fromarray(metres).save(tmp_path / "depth" / "a.tif", compression=compression)
    Image.fromarray((expected * 8).astype(np.uint16)).save(tmp_path / "depth" / "b.tiff", compression=compression)
    np.save(tmp_path / "depth" / "c.npy", metres[..., None])
    opened = depth_pairs.open(tmp_path, "all")
    with pytest.raises(BadDatasetError, match="units_per_m = 256"):
        opened.read_target(opened.samples[1])
    (tmp_path / "depth.toml").write_text("units_per_m = 8")
    for sample in opened.samples:
        np.testing.assert_array_equal(opened.read_target(sample), expected, err_msg=sample.id)
    Image.fromarray(np.zeros((2, 4), np.uint8)).save(tmp_path / "depth" / "a.tif")
    with pytest.raises(BadDatasetError, match="a TIFF of one channel, 16 bits or floats, got uint8"):
        opened.read_target(opened.samples[0])


@pytest.mark.parametrize("size_hw", [(4, 2), (2, 5), (1, 4), (4, 8)])
def test_a_map_of_another_size_than_its_image_is_refused(tmp_path: Path, size_hw: tuple[int, int]) -> None:
    for folder in ("images", "depth"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (4, 2)).save(tmp_path / "images" / "a.jpg")
    np.save(tmp_path / "depth" / "a.npy", np.ones(size_hw, np.float32))
    opened = depth_pairs.open(tmp_path, "all")
    with pytest.raises(BadDatasetError, match=r"a\.npy: \(\d, \d\) is not the size of its image, which is \(2, 4\)"):
        opened.read_target(opened.samples[0])


def test_a_map_of_a_form_that_is_not_read_is_named_with_what_to_write(tmp_path: Path) -> None:
    for folder in ("images", "depth"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (4, 2)).save(tmp_path / "images" / "a.jpg")
    (tmp_path / "depth" / "a.exr").write_bytes(b"v/1\x01")
    with pytest.raises(BadDatasetError, match=r"a\.exr: depth is not read from \.exr files\. Write it as TIFF"):
        depth_pairs.open(tmp_path, "all")
    assert [each for each in depth_pairs.check(tmp_path).problems if "a.exr" in each]


def test_a_map_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    for folder in ("images", "depth"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "images" / "a.jpg")
    path = tmp_path / "depth" / "a.tif"
    Image.fromarray(np.random.default_rng(0).random((30, 40), dtype=np.float32)).save(path)
    whole = path.read_bytes()
    opened = depth_pairs.open(tmp_path, "all")
    for length in range(0, len(whole) - 200, 400):
        path.write_bytes(whole[:length])
        with pytest.raises((BadImageError, BadDatasetError)):
            opened.read_target(opened.samples[0])


def test_lists_say_which_images_a_split_has(tmp_path: Path) -> None:
    from made_pairs import depth

    root = depth(tmp_path / "data", 5)
    (root / "train.txt").write_text("00\r\n02\r\n")
    (root / "val.txt").write_text("\ufeff01\n", encoding="utf-8")
    assert [sample.id for sample in depth_pairs.open(root, "train").samples] == ["00", "02"]
    assert [sample.id for sample in depth_pairs.open(root, "val").samples] == ["01"]
    (root / "val.txt").write_text("9\n")
    with pytest.raises(BadDatasetError, match="the first is 9"):
        depth_pairs.open(root, "val")


def test_a_list_of_one_split_leaves_the_rest_to_the_other(tmp_path: Path) -> None:
    from made_pairs import depth

    root = depth(tmp_path / "data", 4)
    (root / "val.txt").write_text("images\\03.png\n01.jpg\n")
    for split, wanted in (("val", ["01", "03"]), ("train", ["00", "02"]), ("all", ["00", "01", "02", "03"])):
        opened = depth_pairs.open(root, split)  # type: ignore[arg-type]
        assert [sample.id for sample in opened.samples] == wanted and opened.record().seed is None


def test_where_the_data_of_a_split_lie_is_said(tmp_path: Path) -> None:
    from made_pairs import depth

    depth(tmp_path / "val", 1)
    with pytest.raises(BadDatasetError, match=r"holds no folder images\. For those of val name .*val and the split"):
        depth_pairs.open(tmp_path, "val")
    next((tmp_path / "val" / "depth").iterdir()).unlink()
    with pytest.raises(BadDatasetError, match=r"looked for depth/<its stem>\.png, \.npy or \.tif"):
        depth_pairs.open(tmp_path / "val", "all")


@pytest.mark.parametrize("name", ["rgb", "img"])
def test_the_folder_of_images_may_be_called_as_in_public_data(name: str, tmp_path: Path) -> None:
    from made_pairs import depth

    expected = depth_pairs.open(depth(tmp_path / "data", 3), "all")
    wanted = [expected.read_target(sample) for sample in expected.samples]
    (tmp_path / "data" / "images").rename(tmp_path / "data" / name)
    opened = depth_pairs.open(tmp_path / "data", "all")
    assert [sample.image.parent.name for sample in opened.samples] == [name] * 3
    for sample, target in zip(opened.samples, wanted, strict=True):
        np.testing.assert_array_equal(opened.read_target(sample), target)
    assert depth_pairs.check(tmp_path / "data").counts == {"images": 3, "pairs": 3}
