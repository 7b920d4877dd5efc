"""Large pictures in tiles: labels are those of the whole picture; where a layer sees all of it, it is said."""

from __future__ import annotations

import json
import logging
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from PIL import Image, TiffImagePlugin

from densecast import infer
from densecast.errors import BadConfigError, BadInputError, BadShapeError, DensecastError, UsageError
from densecast.imaging.geotiff import georeference
from densecast.pipeline import Pipeline
from densecast.spec.options import BuildOptions, InputShape, Range
from densecast.spec.preprocess import Native, Preprocess, Stretch
from densecast.spec.slide import Slide
from densecast.spec.tiles import Grid
from densecast.spec.verb_options import InferOptions
from densecast.verbs.builder import build
from densecast.verbs.export import SpecFile, export_file
from densecast.verbs.large import Files, LargeLabels
from densecast.verbs.large.network import TileNetwork

CLASSES = 4


def graph(stride: int, *, pooled: bool = False, seed: int = 0) -> onnx.ModelProto:
    """(N, 3, H, W) -> logits at a `stride`-th of the size, which depend on what lies around, or on everything."""
    rng = np.random.default_rng(seed)

    def numbers(count: int) -> str:
        return ", ".join(f"{value:.4f}" for value in rng.normal(0, 0.5, count))

    first = f"AveragePool <kernel_shape = [{stride}, {stride}], strides = [{stride}, {stride}]> (image)"
    last = "bent = Add (local, whole)" if pooled else "bent = Identity (local)"
    whole = "whole = GlobalAveragePool (local)" if pooled else ""
    model = onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : 17]>
        tiled (float[N, 3, H, W] image) => (float[N, {CLASSES}, h, w] logits)
        <float[6, 3, 3, 3] w1 = {{{numbers(162)}}}, float[6] b1 = {{{numbers(6)}}},
         float[{CLASSES}, 6, 3, 3] w2 = {{{numbers(54 * CLASSES)}}}>
        {{
            small = {first if stride > 1 else "Identity (image)"}
            sums = Conv <pads = [2, 2, 2, 2], dilations = [2, 2]> (small, w1, b1)
            local = Relu (sums)
            {whole}
            {last}
            logits = Conv <pads = [1, 1, 1, 1]> (bent, w2)
        }}
        """
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def opened(
    folder: Path,
    stride: int,
    *,
    pooled: bool = False,
    side: int | None = None,
    batch: tuple[int, ...] = (1,),
    **spec: object,
) -> Pipeline:
    onnx.save(graph(stride, pooled=pooled), folder / "tiled.onnx")
    rule = Preprocess(spec.pop("resize", Native()), mean=(120.0,) * 3, std=(60.0,) * 3, **spec.pop("rule", {}))  # type: ignore[arg-type]
    described = SpecFile(tuple(f"class {index}" for index in range(CLASSES)), rule, side=Range(8, 4096), **spec)  # type: ignore[arg-type]
    exported = export_file(folder / "tiled.onnx", described.model("tiled"), folder / "float")
    shape = InputShape(batch=batch, height=side, width=side)
    return Pipeline.open(build(exported, folder / "built", BuildOptions("onnxruntime", "force_float32", shape)))


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:397, :461]
    waves = np.stack([np.sin(y / 17 + band) + np.cos(x / (11 + 5 * band)) for band in range(3)], -1)
    return np.clip(120 + 50 * waves + rng.normal(0, 15, (397, 461, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module", params=[1, 4])
def local(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with opened(tmp_path_factory.mktemp("local"), request.param) as pipeline:
        yield pipeline


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with opened(tmp_path_factory.mktemp("pooled"), 4, pooled=True) as pipeline:
        yield pipeline


def labels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_picture_that_is_too_small_is_named_before_anything_is_written(local: Pipeline, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    Image.new("RGB", (64, 1)).save(tmp_path / "thin.png")
    with pytest.raises(BadShapeError, match=r"thin\.png: a picture of 64×1 pixels has a side of 1, and the network"):
        infer(local, [tmp_path / "a.png", tmp_path / "thin.png"], tmp_path / "out", options=InferOptions(large=True))
    assert not (tmp_path / "out" / "a.tif").exists()


@pytest.mark.parametrize("tile", [(128, 128), (192, 128), pytest.param((256, 320), marks=pytest.mark.slow)])
def test_exact_tiles_give_the_labels_of_the_whole_picture(
    tmp_path: Path, local: Pipeline, picture: np.ndarray, tile: tuple[int, int]
) -> None:
    Image.fromarray(picture).save(tmp_path / "a.png")
    result = infer(local, [tmp_path / "a.png"], tmp_path / "out", options=InferOptions(large=True, tile=tile))
    (one,) = result.results
    assert one.tiled is not None and (one.tiled.how, one.tiled.is_exact) == ("exact", True)
    # Beside its own cell the graph looks at three on each side: two dilated, and one more.
    assert one.tiled.reach_px in (3, 12) and one.tiled.overlap_px == 2 * (4 * one.tiled.reach_px // 3)
    assert one.tiled.tiles > 1 and one.tiled.seam_difference is not None and one.tiled.seam_difference < 1e-4
    assert np.array_equal(labels(one.file), local(picture).class_id)


def test_scores_and_colours_are_those_of_the_whole_picture(
    tmp_path: Path, local: Pipeline, picture: np.ndarray
) -> None:
    Image.fromarray(picture).save(tmp_path / "a.tif", compression="tiff_lzw")
    options = InferOptions(large=True, tile=(128, 128))
    infer(local, [tmp_path / "a.tif"], tmp_path / "out", scores=True, colour=True, options=options)
    whole = local(picture, scores=True)
    score = labels(tmp_path / "out" / "a_score.tif")
    assert score.dtype == np.uint16 and np.abs(score / 65535 - whole.probability).max() < 1e-4
    with Image.open(tmp_path / "out" / "a_colour.tif") as colour:
        assert colour.mode == "P" and np.array_equal(np.asarray(colour), whole.class_id)
        assert tuple(colour.getpalette()[3:6]) == local.spec.palette[1]


def test_a_geotiff_leads_to_labels_at_its_place(tmp_path: Path, local: Pipeline, picture: np.ndarray) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[33550], tags.tagtype[33550] = (0.5, 0.5, 0.0), 12
    tags[33922], tags.tagtype[33922] = (0.0, 0.0, 0.0, 400000.0, 5000000.0, 0.0), 12
    tags[34735], tags.tagtype[34735] = (1, 1, 0, 1, 3072, 0, 1, 32633), 3
    Image.fromarray(picture).save(tmp_path / "a.tif", tiffinfo=tags)
    infer(local, [tmp_path / "a.tif"], tmp_path / "out", options=InferOptions(large=True, tile=(256, 256)))
    with Image.open(tmp_path / "out" / "a.tif") as written:
        names = ", ".join(f"{number} {name}" for number, name in enumerate(local.spec.labels))
        assert written.tag_v2[270] == names, "whoever opens it elsewhere sees what its numbers are"
        assert all(written.tag_v2[tag] == tags[tag] for tag in (33550, 33922, 34735))
    assert georeference(tmp_path / "out" / "a.tif") == georeference(tmp_path / "a.tif") is not None


def test_a_network_that_sees_everything_is_told_of_and_blended(
    tmp_path: Path, pooled: Pipeline, picture: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray(picture).save(tmp_path / "a.png")
    with caplog.at_level(logging.WARNING):
        result = infer(
            pooled, [tmp_path / "a.png"], tmp_path / "out", options=InferOptions(large=True, tile=(256, 256))
        )
    (one,) = result.results
    assert one.tiled is not None and (one.tiled.how, one.tiled.is_exact, one.tiled.reach_px) == ("blended", False, None)
    assert "a.png: tiles are faded into each other, not exact: its outputs depend on" in caplog.text
    assert labels(one.file).shape == picture.shape[:2]
    assert (labels(one.file) == pooled(picture).class_id).mean() > 0.8


def test_what_tiles_share_too_little_is_blended_and_said(tmp_path: Path, local: Pipeline, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(tmp_path / "a.png")
    options = InferOptions(large=True, tile=(128, 128), overlap=2)
    (one,) = infer(local, [tmp_path / "a.png"], tmp_path / "out", options=options).results
    assert one.tiled is not None and one.tiled.how == "blended" and "tiles share 2 pixels" in one.tiled.why
    assert (labels(one.file) == local(picture).class_id).mean() > 0.9


def test_a_build_of_one_size_repeats_the_border(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(tmp_path / "a.png")
    with opened(tmp_path, 4, side=128) as fixed:
        (one,) = infer(fixed, [tmp_path / "a.png"], tmp_path / "out", options=InferOptions(large=True)).results
        assert one.tiled is not None and one.tiled.tile_hw == (128, 128)
        assert "the network takes 448x512: the picture's border was repeated" in one.tiled.why
        with pytest.raises(BadConfigError, match="tiles of 256 pixels were asked for, and the network takes 128"):
            options = InferOptions(large=True, tile=(256, 256))
            infer(fixed, [tmp_path / "a.png"], tmp_path / "other", options=options)
    (tmp_path / "whole").mkdir()
    with opened(tmp_path / "whole", 4) as local:
        whole = local(np.pad(picture, ((0, 51), (0, 51), (0, 0)), mode="edge")).class_id[:397, :461]
    assert np.array_equal(labels(one.file), whole)


def test_sliding_windows_give_the_labels_of_the_whole_picture(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(tmp_path / "a.png")
    with opened(tmp_path, 4, slide=Slide((96, 128), (64, 85))) as slid:
        (one,) = infer(slid, [tmp_path / "a.png"], tmp_path / "out", options=InferOptions(large=True)).results
        assert one.tiled is not None and one.tiled.how == "windows"
        with pytest.raises(UsageError, match="its own sliding windows"):
            infer(slid, [tmp_path / "a.png"], tmp_path / "o", options=InferOptions(large=True, overlap=9))
        assert np.array_equal(labels(one.file), slid(picture).class_id)


@pytest.mark.slow
def test_a_jpeg_and_a_build_of_larger_batches_are_taken_too(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(tmp_path / "a.jpg")
    with opened(tmp_path, 4, side=128, batch=(4,)) as fixed:
        (one,) = infer(fixed, [tmp_path / "a.jpg"], tmp_path / "out", options=InferOptions(large=True)).results
    (tmp_path / "whole").mkdir()
    decoded = np.asarray(Image.open(tmp_path / "a.jpg"))
    with opened(tmp_path / "whole", 4) as local:
        whole = local(np.pad(decoded, ((0, 51), (0, 51), (0, 0)), mode="edge")).class_id[:397, :461]
    assert np.array_equal(labels(one.file), whole)


def test_padding_of_the_model_is_kept(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(tmp_path / "a.png")
    with opened(tmp_path, 4, rule={"pad_multiple": 32}) as padded:
        options = InferOptions(large=True, tile=(128, 128))
        (one,) = infer(padded, [tmp_path / "a.png"], tmp_path / "out", options=options).results
        assert one.tiled is not None and one.tiled.is_exact
        assert np.array_equal(labels(one.file), padded(picture).class_id)


def test_what_has_no_effect_or_no_sense_is_refused(tmp_path: Path, local: Pipeline, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(tmp_path / "a.png")
    large = InferOptions(large=True)
    for field, call in {
        "tile": lambda: InferOptions(tile=(64, 64)),
        "overlap": lambda: InferOptions(overlap=3),
        "overlay": lambda: infer(local, [tmp_path / "a.png"], tmp_path / "o", overlay=True, options=large),
        "batch": lambda: infer(local, [tmp_path / "a.png"], tmp_path / "o", batch=2, options=large),
    }.items():
        with pytest.raises(UsageError) as told:
            call()
        assert told.value.field == field
    head = b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 11, 8, 20000, 20000, 1) + b"\x01\x11\x00"
    (tmp_path / "a.jpg").write_bytes(head + b"\xff\xda\x00\x08" + bytes(99))
    with pytest.raises(
        BadInputError, match=r"a\.jpg: more than 178,956,970 pixels are read in rows, from TIFF, PNG and"
    ):
        infer(local, [tmp_path / "a.jpg"], tmp_path / "o", options=InferOptions(large=True))
    with opened(tmp_path, 4, resize=Stretch((64, 64))) as stretched, pytest.raises(UsageError, match="--resize native"):
        infer(stretched, [tmp_path / "a.png"], tmp_path / "o", options=InferOptions(large=True))


def test_damage_ends_the_run_or_is_listed_and_no_file_is_left(
    tmp_path: Path, local: Pipeline, picture: np.ndarray
) -> None:
    Image.fromarray(picture).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) * 2 // 3])
    files = [tmp_path / "cut.png", tmp_path / "a.png"]
    with pytest.raises(BadInputError, match="cut off"):
        infer(local, files, tmp_path / "out", options=InferOptions(large=True, tile=(128, 128)))
    options = InferOptions(large=True, tile=(128, 128), keep_going=True)
    result = infer(local, files, tmp_path / "out", options=options, json_file=tmp_path / "list.json")
    assert [each.image.name for each in result.failed] == ["cut.png"]
    assert sorted(each.name for each in (tmp_path / "out").glob("[!.]*")) == ["a.tif"]
    listed = json.loads((tmp_path / "list.json").read_text())
    assert listed["results"][0]["tiled"]["how"] == "exact"


@pytest.mark.parametrize("is_fixed", [False, True])
@pytest.mark.parametrize("side", [100, 128, 129, 500, 1000])
def test_every_cell_belongs_to_one_tile_far_from_its_edges(side: int, is_fixed: bool) -> None:
    grid = Grid(128, 48, 16, 4, is_fixed)
    length = grid.padded(side)
    tiles = grid.tiles(length)
    owned = np.concatenate([np.arange(each.begin, length // 4 if each.end is None else each.end) for each in tiles])
    assert np.array_equal(owned, np.arange(length // 4))
    for each in tiles:
        assert each.start % 16 == 0 and (not is_fixed or each.length == 128)
        assert each.start == 0 or each.begin * 4 - each.start >= 24 - 4
        assert each.end is None or each.start + each.length - each.end * 4 >= 24


def png_that_claims(path: Path, width: int, height: int) -> None:
    """A black PNG of that size; of a very wide one no line is there."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    packed = b"IDAT" + zlib.compress(bytes((width + 1) * height if width < 1 << 21 else 9))
    body += struct.pack(">I", len(packed) - 4) + packed + struct.pack(">I", zlib.crc32(packed))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.slow
def test_headers_that_claim_what_memory_does_not_hold_are_refused(tmp_path: Path, local: Pipeline) -> None:
    png_that_claims(tmp_path / "wide.png", 1 << 20, 8)
    options = InferOptions(large=True, tile=(1024, 1024))
    with pytest.raises(BadInputError, match=r"1048576 pixels wide; a row of tiles would take 3840 MiB"):
        infer(local, [tmp_path / "wide.png"], tmp_path / "out", options=options)
    png_that_claims(tmp_path / "line.png", 1 << 30, 8)
    with pytest.raises(BadInputError, match=r"a line takes 1024 MiB"):
        infer(local, [tmp_path / "line.png"], tmp_path / "out", options=options)


def test_a_picture_below_the_windows_of_a_build_of_one_size_is_refused(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture[:64]).save(tmp_path / "a.png")
    windows = Slide((96, 96), (64, 64))
    with opened(tmp_path, 4, side=96, slide=windows) as slid, pytest.raises(BadInputError, match="which takes 96"):
        infer(slid, [tmp_path / "a.png"], tmp_path / "out", options=InferOptions(large=True))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_said_in_one_line(tmp_path: Path, local: Pipeline, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(tmp_path / "a.png")
    with pytest.raises(DensecastError, match=r"full could not be written \(No space left on device\)"):
        LargeLabels(local).label(tmp_path / "a.png", Files(Path("/dev/full")))


def test_a_tile_that_the_picture_does_not_fill_shows_its_last_row_and_column_again(
    local: Pipeline, picture: np.ndarray
) -> None:
    part = picture[:50, :70]
    padded = np.pad(part, ((0, 14), (0, 26), (0, 0)), mode="edge")
    with local.session.lease() as slot:
        network = TileNetwork(local, slot, (64, 96))
        assert np.array_equal(network.raw(part, (64, 96)), network.raw(padded, (64, 96)))


def test_tiles_one_after_the_other_take_the_memory_of_one(local: Pipeline, picture: np.ndarray) -> None:
    """Three bands of float32 of 64 by 96 pixels are 72 KiB; of thirty tiles that would be two MiB."""
    with local.session.lease() as slot:
        network = TileNetwork(local, slot, (64, 96))
        network.raw(picture[:64, :96], (64, 96))
        tracemalloc.start()
        try:
            for _ in range(30):
                network.raw(picture[:64, :96], (64, 96))
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert kept < 5 * 64 * 96 * 3 * 4
