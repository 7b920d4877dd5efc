"""Sliding windows: labels are those of MMSegmentation's `slide_inference`, written anew with torch, to the pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

from densecast.artifact import Artifact, FloatArtifact
from densecast.errors import BadConfigError, BadShapeError, UsageError
from densecast.pipeline import Pipeline
from densecast.spec.augment import Augment
from densecast.spec.options import BuildOptions, InputShape, QuantizeOptions, Range
from densecast.spec.preprocess import KeepRatio, Letterbox, Native, Preprocess, Stretch
from densecast.spec.slide import Slide
from densecast.spec.verb_options import BenchmarkOptions, EvaluateOptions, MaxDrop
from densecast.tasks.segmentation import SegmentationDecode, SegmentationMap
from densecast.verbs.benchmark import benchmark
from densecast.verbs.builder import build
from densecast.verbs.compare import compare
from densecast.verbs.evaluate import evaluate
from densecast.verbs.export import ExportOptions, SpecFile, export, export_file
from densecast.verbs.mixed_precision import build_within

CLASSES = 5
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def graph(stride: int = 4, classes: int = CLASSES) -> onnx.ModelProto:
    """(N, 3, H, W) -> logits (N, classes, H // stride, W // stride), which depend on what lies around a pixel."""
    rng = np.random.default_rng(stride)

    def numbers(count: int) -> str:
        return ", ".join(f"{value:.4f}" for value in rng.normal(0, 0.5, count))

    pool = f"small = AveragePool <kernel_shape = [{stride}, {stride}], strides = [{stride}, {stride}]> (image)"
    model = onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : 17]>
        strided (float[N, 3, H, W] image) => (float[N, {classes}, h, w] logits)
        <float[8, 3, 3, 3] w1 = {{{numbers(216)}}}, float[8] b1 = {{{numbers(8)}}},
         float[{classes}, 8, 3, 3] w2 = {{{numbers(72 * classes)}}}>
        {{
            {pool if stride > 1 else "small = Identity (image)"}
            sums = Conv <pads = [1, 1, 1, 1]> (small, w1, b1)
            bends = Relu (sums)
            logits = Conv <pads = [1, 1, 1, 1]> (bends, w2)
        }}
        """
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def image_of(size_hw: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Smooth colours with an edge and some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    waves = np.stack([np.sin(y / 17 + channel) + np.cos(x / (11 + 5 * channel)) for channel in range(3)], -1)
    noisy = 120 + 50 * waves + rng.normal(0, 12, (*size_hw, 3)) + 40 * (x > size_hw[1] / 2)[..., None]
    return np.clip(noisy, 0, 255).astype(np.uint8)


def made(
    folder: Path,
    slide: Slide | None,
    *,
    resize: object = None,
    stride: int = 4,
    decode: SegmentationDecode | None = None,
    batch: object = (1,),
    height: int | None = None,
    width: int | None = None,
) -> Artifact:
    """A network built for ONNX Runtime in float32, beside its graph."""
    classes = 1 if decode is not None and decode.form.startswith("binary") else CLASSES
    onnx.save(graph(stride, classes), folder / "strided.onnx")
    labels = ("background", "thing") if classes == 1 else tuple(f"class {index}" for index in range(CLASSES))
    described = SpecFile(
        labels, Preprocess(resize or Native(), mean=MEAN, std=STD), decode=decode, slide=slide, side=Range(8, 4096)
    )
    exported = export_file(folder / "strided.onnx", described.model("strided"), folder / "float")
    options = BuildOptions(
        "onnxruntime",
        "force_float32",
        InputShape(batch=batch, height=height, width=width),  # type: ignore[arg-type]
    )
    return build(exported, folder / "built", options)


def slide_inference(
    run: onnxruntime.InferenceSession,
    inputs: np.ndarray,
    crop_hw: tuple[int, int],
    stride_hw: tuple[int, int],
    align_corners: bool = False,
):
    """The original's algorithm on one input (3, H, W): logits (C, H, W), summed and divided by the count."""
    torch = pytest.importorskip("torch")
    _, height, width = inputs.shape
    rows = max(height - crop_hw[0] + stride_hw[0] - 1, 0) // stride_hw[0] + 1
    columns = max(width - crop_hw[1] + stride_hw[1] - 1, 0) // stride_hw[1] + 1
    total = count = None
    for row in range(rows):
        for column in range(columns):
            bottom = min(row * stride_hw[0] + crop_hw[0], height)
            right = min(column * stride_hw[1] + crop_hw[1], width)
            top, left = max(bottom - crop_hw[0], 0), max(right - crop_hw[1], 0)
            crop = inputs[None, :, top:bottom, left:right]
            (head,) = run.run(None, {"image": np.ascontiguousarray(crop)})
            logits = torch.nn.functional.interpolate(
                torch.from_numpy(head), crop.shape[2:], mode="bilinear", align_corners=align_corners
            )
            if total is None:
                total, count = torch.zeros(1, logits.shape[1], height, width), torch.zeros(1, 1, height, width)
            total += torch.nn.functional.pad(logits, (left, width - right, top, height - bottom))
            count[:, :, top:bottom, left:right] += 1
    assert (count > 0).all()
    return total / count


def to_image(logits, image_hw: tuple[int, int], align_corners: bool = False):
    """The original's second resize."""
    torch = pytest.importorskip("torch")
    return torch.nn.functional.interpolate(logits, image_hw, mode="bilinear", align_corners=align_corners)


def network(artifact: Artifact) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        str(artifact.folder.parent / "strided.onnx"), providers=["CPUExecutionProvider"]
    )


def whole_input(image: np.ndarray, size_hw: tuple[int, int] | None = None) -> np.ndarray:
    """OpenCV's resize, and the normalisation in float32."""
    cv2 = pytest.importorskip("cv2")
    if size_hw is not None:
        image = cv2.resize(image, size_hw[::-1], interpolation=cv2.INTER_LINEAR)
    values = (image.astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
    return np.ascontiguousarray(values.transpose(2, 0, 1))


# Image, crop, stride: windows that end at the border and before it, one window, sides shorter than the crop, odd ones.
PLACES = [
    ((160, 200), (96, 96), (64, 64)),
    ((131, 197), (64, 80), (43, 53)),
    ((97, 131), (96, 128), (96, 128)),
    ((70, 230), (96, 96), (50, 31)),
    ((230, 61), (96, 96), (95, 96)),
    ((50, 60), (128, 128), (85, 85)),
    ((150, 129), (128, 128), (7, 128)),
]


@pytest.mark.torch
@pytest.mark.parametrize(
    ("image_hw", "crop_hw", "stride_hw"),
    [*PLACES[:4], *(pytest.param(*each, marks=pytest.mark.slow) for each in PLACES[4:])],
)
@pytest.mark.parametrize("stride", [1, 4])
def test_labels_are_slide_inferences(
    tmp_path: Path, image_hw: tuple[int, int], crop_hw: tuple[int, int], stride_hw: tuple[int, int], stride: int
) -> None:
    artifact = made(tmp_path, Slide(crop_hw, stride_hw), stride=stride)
    image = image_of(image_hw)
    expected = slide_inference(network(artifact), whole_input(image), crop_hw, stride_hw)[0].argmax(0).numpy()
    with Pipeline.open(artifact) as pipeline:
        labels = pipeline(image).class_id
    assert len(np.unique(expected)) > 2
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.torch
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    ("image_hw", "resize"),
    [
        ((97, 131), KeepRatio(320, 160)),
        ((300, 211), KeepRatio(200, 100)),
        ((150, 150), Stretch((133, 190))),
    ],
)
def test_averaged_logits_are_resized_to_the_image(
    tmp_path: Path, image_hw: tuple[int, int], resize: KeepRatio | Stretch, align_corners: bool
) -> None:
    decode = SegmentationDecode(align_corners=align_corners)
    artifact = made(tmp_path, Slide((96, 96), (61, 61)), resize=resize, decode=decode)
    image = image_of(image_hw)
    inputs = whole_input(image, resize.place(image_hw).model_hw)
    logits = slide_inference(network(artifact), inputs, (96, 96), (61, 61), align_corners)
    whole = to_image(logits, image_hw, align_corners)
    probability = whole.softmax(1)[0].max(0).values.numpy()
    with Pipeline.open(artifact) as pipeline:
        labels = pipeline(image).class_id
        scored = pipeline(image, scores=True)
        at_network = pipeline.predict(pipeline.preprocess(image), "network").class_id
    np.testing.assert_array_equal(labels, whole[0].argmax(0).numpy())
    np.testing.assert_array_equal(scored.class_id, labels)
    np.testing.assert_allclose(scored.probability, probability, atol=2e-6)
    np.testing.assert_array_equal(at_network, logits[0].argmax(0).numpy())


@pytest.mark.torch
def test_views_of_several_sizes_and_sides_are_averaged_as_probabilities(tmp_path: Path) -> None:
    artifact = made(tmp_path, Slide((96, 96), (64, 64)), resize=KeepRatio(260, 130))
    image, ratios = image_of((97, 131)), (0.75, 1.0, 1.25)
    total = 0.0
    for ratio in ratios:
        size_hw = KeepRatio(int(260 * ratio), int(130 * ratio)).place((97, 131)).model_hw
        for mirrored in (False, True):
            inputs = whole_input(image, size_hw)
            inputs = np.ascontiguousarray(inputs[:, :, ::-1]) if mirrored else inputs
            logits = to_image(slide_inference(network(artifact), inputs, (96, 96), (64, 64)), (97, 131))
            seen = logits.softmax(1)
            total = total + (seen.flip(3) if mirrored else seen)
    mean = (total / 6)[0]
    best = mean.topk(2, 0).values
    certain = (best[0] - best[1] > 1e-5).numpy()
    with Pipeline.open(artifact, augment=Augment(ratios, flip=True)) as pipeline:
        predicted = pipeline(image, scores=True)
    assert certain.mean() > 0.999
    np.testing.assert_array_equal(predicted.class_id[certain], mean.argmax(0).numpy()[certain])
    np.testing.assert_allclose(predicted.probability, best[0].numpy(), atol=2e-6)


@pytest.mark.torch
@pytest.mark.parametrize("mirrored", [False, True])
def test_one_plane_is_averaged_as_it_is_and_compared_with_the_threshold(tmp_path: Path, mirrored: bool) -> None:
    torch = pytest.importorskip("torch")
    decode = SegmentationDecode(form="binary_logits", threshold=0.3)
    artifact = made(tmp_path, Slide((64, 64), (43, 43)), decode=decode)
    image = image_of((130, 151))
    sides = (False, True) if mirrored else (False,)
    seen = []
    for side in sides:
        inputs = whole_input(image)
        inputs = np.ascontiguousarray(inputs[:, :, ::-1]) if side else inputs
        logits = slide_inference(network(artifact), inputs, (64, 64), (43, 43))
        seen.append(logits.sigmoid().flip(3) if side else logits.sigmoid())
    mean = torch.stack(seen).mean(0)[0, 0].numpy()
    certain = np.abs(mean - 0.3) > 1e-6
    with Pipeline.open(artifact, augment=Augment(flip=mirrored)) as pipeline:
        predicted = pipeline(image, scores=True)
    np.testing.assert_array_equal(predicted.class_id[certain], (mean > 0.3)[certain])
    np.testing.assert_allclose(predicted.probability, np.where(predicted.class_id == 1, mean, 1 - mean), atol=2e-6)


@pytest.mark.torch
def test_padding_is_seen_by_windows_and_cut_off_after(tmp_path: Path) -> None:
    artifact = made(tmp_path, Slide((64, 64), (43, 43)), resize=Letterbox((150, 180), fill=(114.0,)))
    image = image_of((90, 150))
    cv2 = pytest.importorskip("cv2")
    resized = cv2.resize(image, (180, 108), interpolation=cv2.INTER_LINEAR)
    padded = np.full((150, 180, 3), 114, np.uint8)
    padded[21:129] = resized
    logits = slide_inference(network(artifact), whole_input(padded), (64, 64), (43, 43))[:, :, 21:129]
    with Pipeline.open(artifact) as pipeline:
        assert pipeline.preprocess(image).placement.content_hw == (108, 180)
        labels = pipeline(image).class_id
    np.testing.assert_array_equal(labels, to_image(logits, (90, 150))[0].argmax(0).numpy())


@pytest.mark.parametrize("batch", [(1, 4), Range(1, 8), (3,)])
def test_batches_of_windows_change_nothing(tmp_path: Path, batch: object) -> None:
    image = image_of((150, 190))
    expected, labels = (
        Pipeline.open(made(folder, Slide((64, 64), (40, 50)), batch=size))(image).class_id
        for folder, size in ((tmp_path / "one", (1,)), (tmp_path / "more", batch))
        if not folder.mkdir()
    )
    np.testing.assert_array_equal(labels, expected)


def test_a_network_of_one_size_sees_windows_of_that_size_and_no_smaller_images(tmp_path: Path) -> None:
    artifact = made(tmp_path, Slide((64, 80), (32, 40)), height=64, width=80)
    with Pipeline.open(artifact) as pipeline:
        assert pipeline(image_of((101, 133))).class_id.shape == (101, 133)
        with pytest.raises(BadShapeError, match="63 high"):
            pipeline(image_of((63, 133)))
        failed = list(
            pipeline.stream([(63, 90), (64, 80)], image_of, lambda done: "done", failed=lambda source, error: "failed")
        )
    assert failed == ["failed", "done"]


def test_outputs_of_windows_can_be_had_one_by_one(tmp_path: Path) -> None:
    artifact = made(tmp_path, Slide((64, 64), (43, 43)))
    image = image_of((100, 120))
    with Pipeline.open(artifact) as pipeline:
        inputs = pipeline.preprocess(image)
        assert len(inputs.feeds) == len(inputs.views) == 2 * 3
        outputs = pipeline.forward(inputs)
        labels = pipeline.postprocess(outputs, inputs).class_id
        np.testing.assert_array_equal(labels, pipeline(image).class_id)
        last = inputs.views[-1].window
        assert last is not None and (last.top, last.left) == (36, 56)
        np.testing.assert_array_equal(inputs.feeds[5]["image"], whole_input(image)[:, 36:100, 56:120])


WRONG = [
    ({"crop_hw": (0, 64), "stride_hw": (32, 32)}, "slide"),
    ({"crop_hw": (64, 64), "stride_hw": (65, 64)}, "stride"),
    ({"crop_hw": (64, 64), "stride_hw": (64, 0)}, "stride"),
]


@pytest.mark.parametrize(("sizes", "field"), WRONG)
def test_windows_that_leave_gaps_are_refused(sizes: dict[str, tuple[int, int]], field: str) -> None:
    with pytest.raises(BadConfigError) as caught:
        Slide(**sizes)
    assert caught.value.field == field


def test_export_takes_windows_for_a_network_of_any_origin(tmp_path: Path) -> None:
    onnx.save(graph(), tmp_path / "strided.onnx")
    labels = [f"class {index}" for index in range(CLASSES)]
    options = ExportOptions(slide=(64, 96))
    artifact = export(tmp_path / "strided.onnx", tmp_path / "out", labels=labels, options=options)
    assert artifact.spec.slide == Slide((64, 96), (42, 64))
    with pytest.raises(UsageError, match="slide"):
        ExportOptions(stride=(32, 32))


def test_windows_are_refused_where_outputs_cannot_be_averaged(tmp_path: Path) -> None:
    labels = tuple(f"class {index}" for index in range(CLASSES))
    with pytest.raises(BadConfigError, match="argmax"):
        SpecFile(labels, decode=SegmentationDecode(form="labels"), slide=Slide((64, 64), (32, 32))).model("wrong")
    with pytest.raises(BadConfigError, match="network takes"):
        SpecFile(labels, slide=Slide((64, 64), (32, 32)), side=Range(128, 512)).model("wrong")
    model = graph()
    model.graph.node.append(onnx.helper.make_node("ArgMax", ["logits"], ["labels"], axis=1, keepdims=0))
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("labels", onnx.TensorProto.INT64, ["N", "h", "w"]))
    onnx.save(model, tmp_path / "labels.onnx")
    with pytest.raises(BadConfigError, match="argmax") as caught:
        export(tmp_path / "labels.onnx", tmp_path / "out", labels=labels, options=ExportOptions(slide=(64, 64)))
    assert caught.value.field == "slide"
    assert not (tmp_path / "out").exists()


def pairs(folder: Path, count: int = 3, size_hw: tuple[int, int] = (90, 120)) -> Path:
    """Pictures with masks of the network's own labels, from the oracle of one window."""
    from PIL import Image

    for place in range(count):
        (folder / "images").mkdir(parents=True, exist_ok=True)
        (folder / "masks").mkdir(exist_ok=True)
        Image.fromarray(image_of(size_hw, place)).save(folder / "images" / f"{place}.png")
        labels = (np.indices(size_hw).sum(0) // 30 % CLASSES).astype(np.uint8)
        Image.fromarray(labels).save(folder / "masks" / f"{place}.png")
    return folder


def made_again(folder: Path, batch: tuple[int, ...]) -> Artifact:
    """The float artifact that is there, built for other batches."""
    options = BuildOptions("onnxruntime", "force_float32", InputShape(batch=batch))
    return build(folder / "float", folder / "built again", options)


def confusion(labels: np.ndarray, target: np.ndarray) -> np.ndarray:
    return np.bincount(target.ravel() * CLASSES + labels.ravel(), minlength=CLASSES**2).reshape(CLASSES, CLASSES)


@pytest.mark.torch
def test_evaluate_compare_and_benchmark_see_the_averaged_windows(tmp_path: Path) -> None:
    from PIL import Image

    artifact, data = made(tmp_path, Slide((64, 64), (43, 43))), pairs(tmp_path / "data")
    total = np.zeros((CLASSES, CLASSES), np.int64)
    for picture in sorted((data / "images").iterdir()):
        logits = slide_inference(network(artifact), whole_input(np.asarray(Image.open(picture))), (64, 64), (43, 43))
        total += confusion(logits[0].argmax(0).numpy(), np.asarray(Image.open(data / "masks" / picture.name)))
    hits = np.diag(total)
    expected = (hits / (total.sum(0) + total.sum(1) - hits)).mean()
    assert evaluate(artifact, data, EvaluateOptions(split="all")).score.value == pytest.approx(expected, abs=1e-12)

    result = compare(artifact.folder.parent / "float", [artifact.folder], data=data, split="all")
    (only,) = [stage.comparison for stage in result.stages if stage.comparison.candidate == str(artifact.folder)]
    assert only.labels_changed == 0 and only.images == 3
    assert only.metric is not None and only.metric.reference == pytest.approx(expected, abs=1e-12)
    # The gap between the two best classes of the averaged logits, as at the pixels that are looked at.
    assert only.margin_median is not None and only.margin_median > 0

    picture = next((data / "images").iterdir())
    timing = benchmark(artifact, [picture], BenchmarkOptions(images=2, seconds=0, warm_up=1)).timing
    assert len(timing.samples_ms["infer"]) == len(timing.samples_ms["preprocess"]) == timing.images == 2
    assert "64x64 every 43x43" in timing.scope["infer"]
    together = benchmark(
        made_again(tmp_path, (1, 3)), [picture], BenchmarkOptions(batch=3, images=2, seconds=0, warm_up=1)
    )
    assert together.timing.batch == 3 and together.timing.images == 2
    alone = benchmark(artifact, options=BenchmarkOptions(images=2, seconds=0, warm_up=1)).timing
    assert "window" in alone.inputs


@pytest.mark.torch
def test_margins_of_changed_pixels_are_those_of_the_averaged_logits(tmp_path: Path) -> None:
    artifact = made(tmp_path, Slide((64, 64), (43, 43)), stride=1)
    image = image_of((90, 120))
    logits = slide_inference(network(artifact), whole_input(image), (64, 64), (43, 43))[0].double()
    best = logits.topk(2, 0).values
    with Pipeline.open(artifact) as pipeline:
        inputs = pipeline.preprocess(image)
        outputs = pipeline.forward(inputs)
        labels = pipeline.postprocess(outputs, inputs, "network")
        other = SegmentationMap(labels.class_id.copy())
        other.class_id[70, 30] = (other.class_id[70, 30] + 1) % CLASSES
        changed, everywhere = pipeline.task.window_margins(outputs, inputs.views, labels, other, pipeline.spec)
    np.testing.assert_allclose(changed, [(best[0] - best[1])[70, 30].item()], rtol=1e-5)
    assert len(everywhere) > 90 * 120 / 100


@pytest.mark.quantize
def test_int8_is_calibrated_and_searched_on_windows(tmp_path: Path) -> None:
    made(tmp_path, Slide((64, 64), (43, 43)))
    data = pairs(tmp_path / "data", 6)
    options = BuildOptions(
        "onnxruntime",
        "qint8_mixed_float16",
        InputShape(height=64, width=64),
        quantize=QuantizeOptions(images=3, split="all"),
    )
    drop = MaxDrop(50.0, images=3, split="all")
    source = FloatArtifact.open(tmp_path / "float")
    built = build_within(source, tmp_path / "int8", options, drop, data=data)
    search = built.manifest.search
    assert built.spec.slide == Slide((64, 64), (43, 43)) and search is not None
    assert Pipeline.open(built)(image_of((70, 90))).class_id.shape == (70, 90)


@pytest.mark.torch
def test_depth_and_multilabel_maps_are_averaged_too(tmp_path: Path) -> None:
    image = image_of((100, 131))
    for task, labels in (("multilabel", CLASSES), ("monocular_depth", 1)):
        folder = tmp_path / task
        folder.mkdir()
        onnx.save(graph(1, labels), folder / "strided.onnx")
        described = SpecFile(
            tuple(map(str, range(labels))) if task == "multilabel" else (),
            Preprocess(Native(), mean=MEAN, std=STD),
            task=task,
            slide=Slide((64, 64), (43, 43)),
            side=Range(8, 512),
        )
        exported = export_file(folder / "strided.onnx", described.model("strided"), folder / "float")
        artifact = build(exported, folder / "built", BuildOptions("onnxruntime", "force_float32"))
        expected = slide_inference(network(artifact), whole_input(image), (64, 64), (43, 43))[0].numpy()
        with Pipeline.open(artifact) as pipeline:
            predicted = pipeline(image)
        if task == "multilabel":
            np.testing.assert_array_equal(predicted.classes, expected > 0)
        else:
            np.testing.assert_allclose(predicted.values, expected[0], atol=1e-6)
