"""Images to people, through an artifact: mirrored views, batches, ratios, files, evaluation and benchmark."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import command_line
import made_coco
import numpy as np
import pytest
import tiny_artifacts
from made_images import picture, write_jpeg

from densecast.artifact import Artifact
from densecast.errors import BadConfigError, BadGraphError, BadShapeError, UsageError
from densecast.imaging.prepare import prepare
from densecast.networks._base import NETWORKS
from densecast.pipeline import Pipeline
from densecast.session import Slot
from densecast.spec.augment import Augment, View
from densecast.spec.options import BuildOptions, InputShape, Range
from densecast.spec.preprocess import KeepRatio, PoseAffine, Preprocess
from densecast.spec.tensor import Feeds
from densecast.spec.verb_options import BenchmarkOptions, EvaluateOptions
from densecast.tasks.pose import PoseDecode, Poses, postprocess
from densecast.tasks.pose.coco_person import MIRRORED
from densecast.verbs.benchmark import benchmark
from densecast.verbs.compare import compare_all
from densecast.verbs.evaluate import evaluate
from densecast.verbs.export.spec_file import SpecFile
from densecast.verbs.infer import infer

OPEN = BuildOptions("onnxruntime", shape=InputShape(batch=Range(1, 8)))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny_artifacts.compiled_pose(tmp_path_factory.mktemp("pose"), OPEN)


def equal(left: Poses, right: Poses) -> bool:
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in ("xy_px", "score", "person_score"))


def by_hand(artifact: Artifact, image: np.ndarray, *, flip: bool, ratios: tuple[float, ...] = (1.0,)) -> Poses:
    """The same by single runs of the network."""
    spec = artifact.spec
    resize = spec.preprocess.resize
    assert isinstance(resize, PoseAffine)
    maps = []
    with Pipeline.open(artifact) as pipeline:
        for each in spec.preprocess.at_ratios(ratios):
            array, _ = prepare(image, each)
            views = [array, array[:, :, ::-1]] if flip else [array]
            runs = [pipeline.session.forward({"image": np.ascontiguousarray(one)[None]})["maps"] for one in views]
            maps.append(np.concatenate(runs))
    placement = replace(resize, min_scale=min(ratios)).geometry((image.shape[0], image.shape[1]))
    return postprocess.decode(maps, placement, PoseDecode(flip=flip), ratios)


def test_an_image_and_its_mirror_image_run_as_one_batch(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture((60, 90))
    with Pipeline.open(artifact) as pipeline:
        shapes: list[tuple[int, ...]] = []
        run = Slot.run

        def recorded(slot: Slot, feeds: Feeds) -> Feeds:
            shapes.append(feeds["image"].shape)
            return run(slot, feeds)

        monkeypatch.setattr(Slot, "run", recorded)
        people = pipeline(image)
    assert shapes == [(2, 3, 64, 96)]
    assert len(people) > 0
    assert equal(people, by_hand(artifact, image, flip=True))


def test_a_batch_of_one_runs_twice_with_the_same_result(artifact: Artifact, tmp_path: Path) -> None:
    single = tiny_artifacts.compiled_pose(tmp_path, BuildOptions("onnxruntime"))
    image = picture((60, 90))
    with Pipeline.open(single) as one, Pipeline.open(artifact) as two:
        assert equal(one(image), two(image))


def test_images_of_several_sizes_keep_their_order(artifact: Artifact) -> None:
    images = [picture(hw, seed) for seed, hw in enumerate([(60, 90), (90, 60), (60, 90), (64, 64), (61, 90)])]
    with Pipeline.open(artifact) as pipeline:
        together = list(pipeline.stream(images, lambda image: image, lambda done: done.prediction, batch=8))
        assert all(equal(found, pipeline(image)) for found, image in zip(together, images, strict=True))


def test_ratios_are_those_of_the_plain_definition(artifact: Artifact) -> None:
    image, ratios = picture((60, 90)), (0.5, 1.0, 2.0)
    with Pipeline.open(artifact, augment=Augment(ratios)) as pipeline:
        assert pipeline.augment.views == 6
        people = pipeline(image)
    assert equal(people, by_hand(artifact, image, flip=True, ratios=ratios))


def test_ratios_without_the_usual_size_are_refused(artifact: Artifact) -> None:
    with (
        Pipeline.open(artifact, augment=Augment((0.5, 2.0))) as pipeline,
        pytest.raises(BadShapeError, match="tags are read at scale 1"),
    ):
        pipeline(picture((64, 64)))


def test_without_flip_the_mirrored_image_is_not_run(tmp_path: Path) -> None:
    spec = replace(tiny_artifacts.pose_spec(), decode=PoseDecode(flip=False))
    artifact = tiny_artifacts.compiled_pose(tmp_path, OPEN, spec)
    image = picture((60, 90))
    with Pipeline.open(artifact) as plain, Pipeline.open(artifact, augment=Augment(flip=True)) as asked:
        assert plain.augment.views == 1
        assert equal(plain(image), by_hand(artifact, image, flip=False))
        assert equal(asked(image), by_hand(artifact, image, flip=True))


def test_points_meet_the_image_where_the_maps_have_their_peaks() -> None:
    spec = tiny_artifacts.pose_spec(128)
    resize = spec.preprocess.resize
    placement = resize.place((120, 200))
    wanted = np.random.default_rng(0).uniform(20, 100, (17, 2))
    at = np.round(placement.to_model(wanted) / 4 - 0.5).astype(int)
    height, width = (side // 4 for side in placement.model_hw)
    y, x = np.mgrid[0:height, 0:width]
    maps = np.zeros((34, height, width), np.float32)
    for joint, (column, row) in enumerate(at):
        maps[joint] = np.exp(-((x - column) ** 2 + (y - row) ** 2) / 4)
    swapped = maps[:, :, ::-1][[*MIRRORED, *(17 + joint for joint in MIRRORED)]]
    people = postprocess.decode_views([maps, swapped], [View(placement), View(placement, True)], spec)
    assert len(people) == 1
    # A map's pixel is 4 of the network's: rounding to it costs 2, the quarter shift half a pixel, in network pixels.
    assert np.abs(people.xy_px[0] - wanted).max() < 3 / min(placement.scale_xy)
    in_network = postprocess.decode_views([maps, swapped], [View(placement), View(placement, True)], spec, "network")
    np.testing.assert_allclose(in_network.xy_px[0], placement.to_model(people.xy_px[0]), atol=1e-3)


def test_an_output_that_is_no_stack_of_maps_is_refused() -> None:
    spec = tiny_artifacts.pose_spec()
    view = View(spec.preprocess.resize.place((64, 64)))
    with pytest.raises(BadGraphError, match="expected maps"):
        postprocess.decode_views([np.zeros((16, 16), np.float32)] * 2, [view, replace(view, mirrored=True)], spec)
    with pytest.raises(BadShapeError, match="34"):
        postprocess.decode_views([np.zeros((17, 16, 16), np.float32)] * 2, [view, replace(view, mirrored=True)], spec)


def test_people_are_saved_as_json_and_drawn(artifact: Artifact, tmp_path: Path) -> None:
    path = write_jpeg(tmp_path / "images" / "a.b.jpg", (60, 90))
    with Pipeline.open(artifact) as pipeline:
        people = pipeline(pipeline.read(path))
        (written,) = infer(pipeline, [path], tmp_path / "out", overlay=True).results
        with pytest.raises(UsageError, match="scores"):
            infer(pipeline, [path], tmp_path / "out", scores=True)
    assert written.file == tmp_path / "out" / "a.b.json"
    stored = json.loads(written.file.read_text(encoding="utf-8"))
    assert isinstance(people, Poses) and len(stored) == len(people) > 0
    for row, person in enumerate(stored):
        assert set(person) == {"keypoints", "score"}
        joints = np.array(person["keypoints"], np.float32)
        np.testing.assert_array_equal(joints[:, :2], people.xy_px[row])
        np.testing.assert_array_equal(joints[:, 2], people.score[row])
        assert person["score"] == people.person_score[row]
    assert (tmp_path / "out" / "a.b_overlay.jpg").is_file()


@pytest.mark.coco
def test_evaluation_counts_the_first_images_and_writes_results(artifact: Artifact, tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    root = made_coco.folder(tmp_path / "coco")
    with Pipeline.open(artifact) as pipeline:
        score = evaluate(pipeline, root, EvaluateOptions(limit=3, batch=2), results=tmp_path / "results.json").score
    assert (score.name, score.count) == ("AP", 3)
    assert score.data is not None and (score.data.count, score.data.total) == (3, 8)
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert {each["image_id"] for each in results} <= {1100, 1107, 1114}
    assert all(len(each["keypoints"]) == 51 and each["category_id"] == 1 for each in results)


def test_results_of_a_metric_without_them_are_refused(tmp_path: Path) -> None:
    from made_images import carvana

    root = carvana(tmp_path / "data")
    artifact = tiny_artifacts.compiled(tmp_path, OPEN)
    with Pipeline.open(artifact) as pipeline, pytest.raises(UsageError, match="no format of results"):
        evaluate(pipeline, root, results=tmp_path / "results.json")


@pytest.mark.parametrize("with_images", [True, False])
def test_a_benchmark_counts_images_not_views(with_images: bool, artifact: Artifact, tmp_path: Path) -> None:
    images = [write_jpeg(tmp_path / f"{seed}.jpg", (60, 90), seed) for seed in range(2)] if with_images else []
    with Pipeline.open(artifact) as pipeline:
        timing = benchmark(pipeline, images, BenchmarkOptions(images=6, seconds=0.0, warm_up=0)).timing
    # One call for an image and its mirror image.
    assert (timing.images, len(timing.samples_ms["infer"])) == (6, 6)


def test_two_artifacts_are_compared_by_their_maps(artifact: Artifact, tmp_path: Path) -> None:
    pair = tiny_artifacts.compiled_pose(
        tmp_path, BuildOptions("onnxruntime", shape=InputShape(batch=(2,), height=64, width=96))
    )
    image = write_jpeg(tmp_path / "a.jpg", (60, 90))
    with Pipeline.open(artifact) as left, Pipeline.open(pair) as right:
        found = compare_all(left, [right], [image])[0]
    assert found.labels_changed is None and found.relative_error < 1e-6


def test_a_pose_model_needs_its_resize() -> None:
    with pytest.raises(BadConfigError, match="pose_affine"):
        SpecFile(("person",), Preprocess(KeepRatio(64, 64)), task="pose").model("x")
    with pytest.raises(BadConfigError, match="decoded by pose"):
        SpecFile(("a", "b"), decode=PoseDecode()).model("x")


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.coco
def test_four_photographs_of_coco(test_data: Path, tmp_path: Path) -> None:
    """Sizes, counts and files: the network's weights are random."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("pycocotools")
    root = test_data / "coco"
    if not root.is_dir():
        pytest.skip("DENSECAST_TEST_DATA holds no coco")
    from densecast.verbs.builder import build
    from densecast.verbs.export import export_zoo

    torch.manual_seed(0)
    torch.save(NETWORKS.load("pose_mobilenetv2").build().state_dict(), tmp_path / "random.pth")
    source = export_zoo("mobilenetv2_ae", tmp_path / "float", given=tmp_path / "random.pth")
    artifact = build(source, tmp_path / "built", BuildOptions("openvino", shape=InputShape(batch=(2,))))
    with Pipeline.open(artifact) as pipeline:
        score = evaluate(pipeline, root, results=tmp_path / "results.json").score
        written = infer(pipeline, [root / "val2017"], tmp_path / "out").results
    assert score.count == 4 and set(score.per_image) <= {f"{key:012d}" for key in (785, 40083, 196141, 197388)}
    assert len(score.per_image) == 4
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert len(results) == sum(len(json.loads(each.file.read_text(encoding="utf-8"))) for each in written)


@pytest.mark.coco
def test_the_command_line_prints_the_originals_block(artifact: Artifact, tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    root = made_coco.folder(tmp_path / "coco", ("val",))
    done = command_line.densecast("evaluate", artifact.folder, "--data", root, "--limit", "3", "--quiet")
    lines = done.out.splitlines()
    assert done.code == 0
    assert lines[0].startswith(" Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets= 20 ] = ")
    assert lines[10].startswith("AP: ") and lines[19].startswith("AR .75: ")
    plain = command_line.densecast("evaluate", artifact.folder, "--data", root, "--limit", "3", "--table", "none", "-q")
    assert plain.code == 0 and plain.out.startswith("AP: ")
    message = command_line.failed(2, "evaluate", artifact.folder, "--data", root, "--table", "mmseg", "--quiet")
    assert "mmpose" in message
