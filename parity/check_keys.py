"""Change every key of every part, one at a time: the network changes as the original's does, or is refused.

Run in the environment of make_env.sh: .venv-parity/bin/python parity/check_keys.py [WORD …]. The networks are the
narrow ones of tests/networks/openmmlab_families.py, and four of bottom-up pose; their keys are those of the original
classes' signatures, base classes too. Each key gets several other values, which follow from its usual one. Exits with 1
where densecast builds something else than the original, or nothing although it takes the value.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import inspect
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "networks"))
sys.path.insert(0, str(ROOT / "src"))

import seeded  # noqa: E402
from openmmlab_families import FAMILIES, FIXED_HW  # noqa: E402

import originals  # noqa: E402
from check_openmmlab import TOLERANCE, seeded_state  # noqa: E402
from densecast.errors import BadConfigError  # noqa: E402
from densecast.networks import openmmlab  # noqa: E402
from make_family_goldens import built  # noqa: E402

_SIZE_HW = (64, 96)
# What only training reads, and what only a network's builder gives.
_TRAINING = {
    *("self", "args", "kwargs", "init_cfg", "pretrained", "loss_decode", "loss_se_decode", "sampler", "ignore_index"),
    *("loss_keypoint", "loss_pose", "test_cfg"),
    *("with_cp", "frozen_stages", "norm_eval", "zero_init_residual", "type", "train_cfg", "dropout_ratio", "init_std"),
}
_WORDS = (
    *("pytorch", "caffe", "bilinear", "bicubic", "nearest", "resize_concat", "multiple_select"),
    *("embedded_gaussian", "gaussian", "dot_product", "concatenation", "att", "avg", "bi-direction", "collect"),
    *("distribute", "ignore", "add", "project", "cat", "mul", "small", "large", "s24", "STDCNet1", "STDCNet2"),
)
_NORMS = (
    {"type": "BN", "eps": 0.01},
    {"type": "SyncBN", "momentum": 0.3},
    {"type": "GN", "num_groups": 2},
    {"type": "IN"},
    {"type": "LN", "eps": 0.01},
    {"type": "BN", "affine": False},
    None,
)
_ACTIVATIONS = (
    *({"type": name} for name in ("ReLU", "GELU", "ELU", "PReLU", "HSwish", "Sigmoid", "Tanh")),
    {"type": "LeakyReLU", "negative_slope": 0.2},
    None,
)
_LOSS = {
    "type": "MultiLossFactory", "num_joints": 3, "num_stages": 1, "ae_loss_type": "exp", "with_ae_loss": [True],
    "push_loss_factor": [0.1], "pull_loss_factor": [0.1], "with_heatmaps_loss": [True], "heatmaps_loss_factor": [1.0],
}  # fmt: skip
_GROUPING = {
    "num_joints": 3, "max_num_people": 30, "detection_threshold": 0.1, "tag_threshold": 1, "use_detection_val": True,
    "ignore_too_much": False, "nms_kernel": 5, "nms_padding": 2, "tag_per_joint": True, "flip_test": False,
}  # fmt: skip
_UP = {"num_deconv_layers": 1, "num_deconv_filters": (6,), "num_deconv_kernels": (4,)}


def _pose(backbone: dict[str, Any], head: dict[str, Any]) -> dict[str, Any]:
    return {"type": "AssociativeEmbedding", "backbone": backbone, "keypoint_head": head}


_SIMPLE: dict[str, Any] = {"type": "AESimpleHead", "num_joints": 3, "with_ae_loss": [True], **_UP}
POSES = {
    "pose_higher": _pose(
        {"type": "HRNet", "extra": FAMILIES["hrnet_ocr"]["backbone"]["extra"]},
        {
            "type": "AEHigherResolutionHead", "in_channels": 4, "num_joints": 3, "extra": {"final_conv_kernel": 1},
            "num_basic_blocks": 1, "cat_output": [True], "with_ae_loss": [True, False], **_UP,
        },
    ),
    "pose_residual": _pose({"type": "ResNet", "depth": 18, "base_channels": 64}, {**_SIMPLE, "in_channels": 512}),
    "pose_mobile": _pose(
        {"type": "MobileNetV2", "widen_factor": 0.25, "out_indices": (7,)},
        {
            **_SIMPLE, "in_channels": 1280,
            "extra": {"final_conv_kernel": 3, "num_conv_layers": 1, "num_conv_kernels": [3]},
        },
    ),
    "pose_hourglass": _pose(
        {
            "type": "HourglassAENet", "num_stacks": 1, "downsample_times": 2, "out_channels": 6, "feat_channels": 8,
            "stage_channels": (8, 12, 16),
        },
        {
            "type": "AEMultiStageHead", "in_channels": 6, "out_channels": 6, "num_stages": 1, "num_deconv_layers": 0,
            "extra": {"final_conv_kernel": 0},
        },
    ),
}  # fmt: skip


def original_of(table: Any) -> Any:
    """The original network of a table."""
    if "keypoint_head" not in table:
        return built(table)
    from mmcv import ConfigDict
    from mmpose.models import build_posenet

    model = ConfigDict(table)
    model.keypoint_head.loss_keypoint = _LOSS
    model.update(train_cfg={}, test_cfg=_GROUPING)
    return build_posenet(model).eval()


def computed(network: Any, image: np.ndarray) -> list[np.ndarray]:
    """All outputs of one of our networks, or of an original."""
    given = torch.from_numpy(image)
    if hasattr(network, "forward_dummy") and hasattr(network, "keypoint_head"):
        return [each.numpy() for each in network.forward_dummy(given)]
    if hasattr(network, "forward_dummy"):
        return [originals.run(network, image)]
    made = network(given)
    return [each.numpy() for each in (made.values() if isinstance(made, Mapping) else [made])]


def others(name: str, value: Any) -> Iterator[Any]:
    """Values that a key could have instead of this one."""
    if name.endswith(("norm_cfg", "norm_layer")):
        yield from _NORMS
    elif name.endswith("act_cfg"):
        yield from _ACTIVATIONS
    elif name == "conv_cfg":
        yield from ({"type": "Conv2d"}, {"type": "ConvWS"}, {"type": "Conv1d"})
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, (int, float)):
        yield from {value + 1, value * 2, value - 1, value / 2 if isinstance(value, float) else value // 2}
    elif isinstance(value, str):
        yield from _WORDS
    elif isinstance(value, (list, tuple)) and value and all(isinstance(each, (int, float)) for each in value):
        kind = type(value)
        yield kind(reversed(value))
        yield kind(value[:-1])
        yield kind([*value, value[-1]])
        yield kind(2 * each for each in value) if not isinstance(value[0], bool) else kind(not v for v in value)
        yield kind([value[0] + 1, *value[1:]]) if not isinstance(value[0], bool) else value
        yield value[0]
    elif value is None:
        yield from (1, 2, True, (1, 2), (1, 2, 4), "bilinear", {"type": "DCN"}, [{"cfg": {"type": "ContextBlock"}}])


def parts(table: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Mapping[str, Any]]]:
    """Every table of a network that names a class, with its place."""
    if isinstance(table, Mapping):
        if "type" in table and path:
            yield path, table
        for key, value in table.items():
            yield from parts(value, (*path, key))
    elif isinstance(table, (list, tuple)):
        for index, value in enumerate(table):
            yield from parts(value, (*path, index))


def signature(kind: str, is_pose: bool) -> dict[str, Any]:
    """The keys that a class takes, with their defaults; empty for what is no class of the original's."""
    from mmcls.models import BACKBONES as OTHERS
    from mmcv.cnn.bricks.transformer import TRANSFORMER_LAYER
    from mmpose.models.builder import BACKBONES as OF_POSES
    from mmpose.models.builder import HEADS as HEADS_OF_POSES
    from mmseg.models.builder import BACKBONES, HEADS, NECKS

    name = kind.removeprefix("mmcls.")
    registries = (OTHERS,) if name != kind else (BACKBONES, NECKS, HEADS, TRANSFORMER_LAYER)
    registries = (OF_POSES, HEADS_OF_POSES) if is_pose else registries
    found = next((made for registry in registries if (made := registry.get(name)) is not None), None)
    keys: dict[str, Any] = {}
    for each in inspect.getmro(found) if found else ():
        if not each.__module__.startswith(("mmseg", "mmcls", "mmpose")):
            continue
        taken = inspect.signature(each.__init__).parameters
        keys = {n: p.default for n, p in taken.items() if n not in _TRAINING and p.kind is not p.VAR_KEYWORD} | keys
        if not any(p.kind is p.VAR_KEYWORD for p in taken.values()):
            break
    return keys


def changed(table: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The network with another value at a place."""
    made = copy.deepcopy(table)
    *above, last = path
    holder = made
    for key in above:
        holder = holder[key]
    holder[last] = value
    return made


def runs(network: Any, image: np.ndarray) -> bool:
    """Whether one of our networks computes anything."""
    try:
        with torch.no_grad():
            computed(network, image)
    except Exception:
        return False
    return True


def outcome(table: Any, size_hw: tuple[int, int]) -> str:
    """What becomes of a network: as the original, refused, refused by the original alone, or different."""
    image = seeded.image(size_hw)
    try:
        ours = openmmlab.build(openmmlab.Options.of(table)).eval()
    except BadConfigError:
        return "refused"
    except Exception as error:  # numbers that do not fit each other are told apart where a checkpoint is exported
        ours = f"{type(error).__name__} {error}"
    try:
        original = original_of(copy.deepcopy(table))
        state = seeded_state(original)
        original.load_state_dict(state, strict=True)
        with torch.no_grad():
            expected = computed(original, image)
    except Exception as error:
        return "built by neither" if isinstance(ours, str) or not runs(ours, image) else f"looser: {error}"[:120]
    if isinstance(ours, str):
        return f"DIFFERENT: {ours}"[:120]
    cleaned = openmmlab.clean(state)
    missing, unexpected = set(ours.state_dict()) - set(cleaned), set(cleaned) - set(ours.state_dict())
    if missing or unexpected:
        return f"DIFFERENT: missing {sorted(missing)[:2]}, unexpected {sorted(unexpected)[:2]}"
    try:
        ours.load_state_dict(cleaned, strict=True)
        with torch.no_grad():
            got = computed(ours, image)
    except Exception as error:
        return f"DIFFERENT: {type(error).__name__} {error}"[:160]
    shapes = [[each.shape for each in outputs] for outputs in (got, expected)]
    if shapes[0] != shapes[1]:
        return f"DIFFERENT: {shapes[0]} instead of {shapes[1]}"
    apart = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(got, expected, strict=True))
    return "as the original" if apart <= TOLERANCE else f"DIFFERENT: by {apart:.2g} of the largest"


def main() -> int:
    """Change all keys of the families whose names hold one of the words; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--record", type=Path, help="keeps what each change came to; a later run goes on behind it")
    parser.add_argument("--verbose", action="store_true", help="every value, not only what is different")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    originals.import_package("mmseg")
    originals.import_package("mmpose")
    importlib.import_module("mmcls.models")
    record = arguments.record
    known: dict[str, str] = json.loads(record.read_text()) if record and record.is_file() else {}
    done: dict[str, str] = {}
    for family, table in (FAMILIES | POSES).items():
        if arguments.words and not any(word in family for word in arguments.words):
            continue
        for path, part in parts(table):
            kind = f"{'pose ' if family in POSES else ''}{part['type']}"
            for name, default in signature(part["type"], family in POSES).items():
                usual = part.get(name, None if default is inspect.Parameter.empty else default)
                for value in others(name, usual):
                    case = f"{kind}.{name} = {value!r}"
                    if case in done or value == usual:
                        continue
                    if case not in known:
                        known[case] = outcome(changed(table, (*path, name), value), FIXED_HW.get(family, _SIZE_HW))
                    done[case] = known[case]
                    if arguments.verbose or known[case].startswith(("DIFFERENT", "looser")):
                        print(f"{family} {case}: {known[case]}", flush=True)
            if record:
                record.write_text(json.dumps(known, indent=1))
    counts = Counter(found.partition(":")[0] for found in done.values())
    print(f"{len(done)} changes of {len({case.partition(' = ')[0] for case in done})} keys: {dict(counts)}")
    return 1 if counts["DIFFERENT"] else 0


if __name__ == "__main__":
    sys.exit(main())
