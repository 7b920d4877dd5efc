"""Reads a configuration of MMPose's bottom-up networks: test pipeline, grouping, and the joints' names and sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from densecast.errors import BadConfigError
from densecast.networks.openmmlab import SELECTED
from densecast.networks.openmmlab.keys import Keys
from densecast.spec.augment import Augment
from densecast.spec.preprocess import ColourOrder, PoseAffine, Preprocess
from densecast.spec.recipe import DatasetRecipe, Recipe
from densecast.tasks.pose import PoseDecode
from densecast.tasks.pose.known_skeletons import SKELETONS
from densecast.tasks.pose.skeleton import COCO, Skeleton

# The framework's classes of data sets, by the data sets' names.
_DATASETS = {
    "BottomUpCocoDataset": "coco",
    "BottomUpCrowdPoseDataset": "crowdpose",
    "BottomUpAicDataset": "aic",
    "BottomUpMhpDataset": "mhp",
    "BottomUpCocoWholeBodyDataset": "coco_wholebody",
}
_TRANSFORMS = ("LoadImageFromFile", "BottomUpGetImgSize", "BottomUpResizeAlign", "Collect")


def read(
    config: Mapping[str, Any],
    network: Mapping[str, Any],
    dataset: Mapping[str, Any],
    transforms: Sequence[Any],
    stated: Preprocess | None = None,
) -> Recipe:
    """The recipe of a configuration's names; `network` is its model without what only training reads.

    A `stated` preprocessing is taken in place of what the transforms say.

    Raises:
        BadConfigError: it says what cannot be expressed; names the key.
    """
    model = config["model"]
    table = model.get("test_cfg") or config.get("test_cfg")
    test = Keys(table, "model.test_cfg")
    joints = test.integer("num_joints", most=512)
    flip = test.flag("flip_test", True)
    skeleton, name = _skeleton(dataset, joints, flip=flip)
    preprocess, ratios = (stated, (1.0,)) if stated is not None else _preprocess(config, dataset, transforms)
    if not isinstance(preprocess.resize, PoseAffine):
        raise BadConfigError(
            f"a pose network's images are resized by pose_affine, not by {preprocess.resize.kind}.", field="resize"
        )
    decode, selected = _decode(test, skeleton, flip=flip)
    if decode.unbiased != preprocess.resize.unbiased:
        raise BadConfigError(
            f"use_udp is {decode.unbiased} in test_cfg and {preprocess.resize.unbiased} in the test pipeline: joints "
            "would not come back to where they are.",
            field="config",
        )
    # The aliases of older files are built under the same keys.
    built = {**network, SELECTED: selected} if selected else dict(network)
    others = {key: value for key, value in dataset.items() if key not in ("pipeline", "dataset_info")}
    kind = others.pop("type", None)
    described = DatasetRecipe(kind, others, skeleton.joints) if isinstance(kind, str) else None
    notes = [f"{joints} joints of {name}"]
    if _table(dataset.get("data_cfg") or config.get("data_cfg"), "data_cfg").get("use_nms"):
        notes.append("people who are alike are all kept; the configuration's own evaluation suppresses them (use_nms)")
    return Recipe(
        "mmpose", 0, built, preprocess, decode, augment=Augment(ratios), dataset=described, labels=("person",),
        notes=tuple(notes),
    )  # fmt: skip


def _decode(test: Keys, skeleton: Skeleton, *, flip: bool) -> tuple[PoseDecode, tuple[int, ...]]:
    """How heatmaps and tags become people, and which of the head's outputs are decoded; none said are all."""
    kernel = test.integer("nms_kernel", 5)
    padding = test.integer("nms_padding", kernel // 2, least=0)
    if padding != kernel // 2:
        raise test.wrong("nms_padding", padding, f"half of nms_kernel, {kernel // 2}")
    with_heatmaps = _flags(test, "with_heatmaps")
    with_tags = _flags(test, "with_ae")
    if len(with_tags) != len(with_heatmaps):
        raise test.wrong("with_ae", with_tags, f"as many as with_heatmaps ({len(with_heatmaps)})")
    selected = tuple(sorted(set(test.integers(SELECTED, tuple(range(len(with_tags))), least=0))))
    if any(index >= len(with_tags) for index in selected):
        raise test.wrong(SELECTED, selected, f"below {len(with_tags)}, the number of outputs that with_ae tells of")
    if not all(with_heatmaps[index] for index in selected):
        raise test.wrong("with_heatmaps", with_heatmaps, "True for each output that is decoded")
    tagged = [place for place, index in enumerate(selected) if with_tags[index]]
    if len(tagged) != 1:
        raise test.wrong("with_ae", with_tags, "True for exactly one output that is decoded")
    unbiased = test.flag("use_udp", False)
    test.only("score_per_joint", False)
    test.ignore("scale_factor")  # the pipeline's scales are what is run
    decode = PoseDecode(
        flip=flip,
        project_to_image=test.flag("project2image", True),
        nms_kernel=kernel,
        max_people=test.integer("max_num_people", 30),
        detection_threshold=test.number("detection_threshold", 0.1),
        tag_threshold=test.number("tag_threshold", 1.0),
        use_detection_value=test.flag("use_detection_val", True),
        ignore_too_many=test.flag("ignore_too_much", False),
        tag_per_joint=test.flag("tag_per_joint", True),
        adjust=test.flag("adjust", True),
        refine=test.flag("refine", True),
        # What the original takes where a configuration is silent.
        align_corners=test.flag("align_corners", True),
        unbiased=unbiased,
        tags_output=tagged[0],
        skeleton=None if skeleton == COCO else skeleton,
    )
    test.done()
    return decode, selected


def _flags(test: Keys, name: str) -> tuple[bool, ...]:
    value = test.take(name)
    return Keys({name: value}, test.where).flags(name, None, len(value) if isinstance(value, (list, tuple)) else 1)


def _preprocess(
    config: Mapping[str, Any], dataset: Mapping[str, Any], transforms: Sequence[Any]
) -> tuple[Preprocess, tuple[float, ...]]:
    """The preprocessing, and the scales of the image that are run."""
    data = Keys(dict(_table(dataset.get("data_cfg") or config.get("data_cfg"), "data_cfg")), "data_cfg")
    sides = data.integers("image_size")
    if len(set(sides)) != 1 or len(sides) > 2:
        raise data.wrong("image_size", sides, "one side, or two that are equal")
    colour: ColourOrder = "RGB"
    found: dict[str, Keys] = {}
    for each in transforms:
        table = Keys(each, "test_pipeline")
        kind = table.word("type").removeprefix("mmpose.")
        if kind == "LoadImageFromFile":
            order = table.word("channel_order", "rgb")
            if order not in ("rgb", "bgr"):
                raise table.unknown("channel_order", order, ("rgb", "bgr"))
            colour = "RGB" if order == "rgb" else "BGR"
            table.only("color_type", "color")
            table.ignore("to_float32", "file_client_args")
            table.done()
        elif kind in ("BottomUpGetImgSize", "BottomUpResizeAlign"):
            found[kind] = table
        elif kind != "Collect":
            raise table.unknown("type", kind, _TRANSFORMS)
    for kind in ("BottomUpGetImgSize", "BottomUpResizeAlign"):
        if kind not in found:
            raise BadConfigError(f"the test pipeline has no {kind}.", field="config")
    size, align = found["BottomUpGetImgSize"], found["BottomUpResizeAlign"]
    multiple, unbiased = size.integer("base_length", 64), size.flag("use_udp", False)
    for name, own, default in (("base_length", multiple, 64), ("use_udp", unbiased, False)):
        other = align.take(name, default)
        if other != own:
            raise align.wrong(name, other, f"that of BottomUpGetImgSize, {own}")
    ratios = size.take("test_scale_factor")
    if not isinstance(ratios, (list, tuple)) or not ratios or not all(_is_scale(each) for each in ratios):
        raise size.wrong("test_scale_factor", ratios, "a list of numbers above 0")
    size.only("current_scale", 1, 1.0)
    mean, std = _normalisation(align.take("transforms"))
    size.done()
    align.done()
    resize = PoseAffine(sides[0], multiple, unbiased=unbiased)
    rule = Preprocess(resize, "bilinear_opencv", colour, mean, std, use_exif=True, divisor=255.0)
    return rule, tuple(float(each) for each in ratios)


def _is_scale(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 16


def _normalisation(transforms: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of values 0..1."""
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    kinds = []
    for each in transforms if isinstance(transforms, (list, tuple)) else ():
        table = Keys(each, "BottomUpResizeAlign.transforms")
        kinds.append(table.word("type"))
        if kinds[-1] == "NormalizeTensor":
            mean, std = _three(table, "mean"), _three(table, "std")
        elif kinds[-1] != "ToTensor":
            raise table.unknown("type", kinds[-1], ("ToTensor", "NormalizeTensor"))
        table.ignore("device")
        table.done()
    if kinds not in (["ToTensor"], ["ToTensor", "NormalizeTensor"]):
        raise BadConfigError(
            f"BottomUpResizeAlign.transforms must be ToTensor and then NormalizeTensor, got {kinds}.", field="config"
        )
    return mean, std


def _three(table: Keys, name: str) -> tuple[float, ...]:
    value = table.take(name)
    good = isinstance(value, (list, tuple)) and len(value) == 3
    if not good or not all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in value):
        raise table.wrong(name, value, "three numbers")
    return tuple(float(each) for each in value)


def _skeleton(dataset: Mapping[str, Any], joints: int, *, flip: bool) -> tuple[Skeleton, str]:
    """The joints by `dataset_info`, else by the kind of data set, and where they are from."""
    info, kind = dataset.get("dataset_info"), str(dataset.get("type", "")).rpartition(".")[2]
    if isinstance(info, Mapping):
        made = _described(info)
        name = str(info.get("dataset_name", "dataset_info"))[:60]
    elif kind in _DATASETS:
        name = _DATASETS[kind]
        made = SKELETONS[name]
    elif flip:
        raise BadConfigError(
            f"nothing says which of {joints} joints are left and right: the data set {kind!r} has no dataset_info, and "
            "flip_test needs it. Add dataset_info, or set flip_test=False in test_cfg.",
            field="config",
        )
    else:
        made, name = Skeleton(tuple(f"joint_{index}" for index in range(joints)), tuple(range(joints))), "no name"
    if len(made.joints) != joints:
        raise BadConfigError(
            f"test_cfg.num_joints is {joints}, but {name} has {len(made.joints)} joints.", field="config"
        )
    return made, name


def _described(info: Mapping[Any, Any]) -> Skeleton:
    """The joints of a `dataset_info` table."""
    points = _table(info.get("keypoint_info"), "dataset_info.keypoint_info")
    # A configuration that went through JSON has its numbers as texts.
    if not all(str(place).isdecimal() for place in points):
        raise BadConfigError("dataset_info.keypoint_info must number its joints from 0 on.", field="config")
    by_place = {int(place): _table(each, "dataset_info.keypoint_info") for place, each in points.items()}
    if sorted(by_place) != list(range(len(by_place))):
        raise BadConfigError("dataset_info.keypoint_info must number its joints from 0 on.", field="config")
    rows = [by_place[place] for place in range(len(by_place))]
    names = [str(row.get("name")) for row in rows]
    place_of = {name: place for place, name in enumerate(names)}
    links = _table(info.get("skeleton_info") or {}, "dataset_info.skeleton_info").values()
    ends = [each.get("link") if isinstance(each, Mapping) else None for each in links]
    pairs = [tuple(map(str, each)) if isinstance(each, (list, tuple)) else () for each in ends]
    swaps = [str(row.get("swap") or row.get("name")) for row in rows]
    unknown = [name for name in (*swaps, *(end for pair in pairs for end in pair)) if name not in place_of]
    if unknown or any(len(pair) != 2 for pair in pairs):
        raise BadConfigError(f"dataset_info names the joint {unknown[:1]!r:.60}, which it has not.", field="config")
    sigmas = info.get("sigmas") or ()
    if not isinstance(sigmas, (list, tuple)) or not all(isinstance(each, (int, float)) for each in sigmas):
        raise BadConfigError(f"dataset_info.sigmas must be numbers, got {sigmas!r:.60}.", field="config")
    return Skeleton(
        tuple(names),
        tuple(place_of[swap] for swap in swaps),
        tuple((place_of[start], place_of[end]) for start, end in pairs),
        tuple(float(each) for each in sigmas),
    )


def _table(value: Any, where: str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise BadConfigError(f"{where} must be a table, got {value!r:.60}.", field="config")
    return value
