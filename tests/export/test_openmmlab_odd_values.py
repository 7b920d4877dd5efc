"""Odd values in a configuration are read as the original reads them or refused in words, whatever key they stand at."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_openmmlab_checkpoints import DATA, LATER, MODEL
from test_openmmlab_pose import TEXT as POSE

torch = pytest.importorskip("torch")

from densecast.errors import BadCheckpointError, BadConfigError, DensecastError  # noqa: E402
from densecast.io import python_config  # noqa: E402
from densecast.networks import openmmlab  # noqa: E402
from densecast.spec.verb_options import ExportOptions  # noqa: E402
from densecast.verbs.export import export  # noqa: E402
from densecast.verbs.export import openmmlab as exporting  # noqa: E402
from densecast.verbs.export.openmmlab import recipe  # noqa: E402
from densecast.verbs.export.retrained import Stated  # noqa: E402

pytestmark = pytest.mark.torch
ODD: tuple[Any, ...] = (
    *(None, -1, 0, 1.5, float("nan"), 10**9, True, "odd", "", [], {}, (), [None], ["a", 1], {"type": 3}),
    *({"type": "odd"}, (1, 2, 3, 4, 5, 6, 7, 8), [[1]], {"type": "BN", "odd": 1}),
)
CONFIGS = {name: python_config.parse(text, name) for name, text in
           {"first": MODEL + DATA, "second": MODEL + LATER, "pose": POSE}.items()}  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a configuration."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def with_value(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    """A configuration with another value at a place."""
    if not path:
        return other
    made = dict(value) if isinstance(value, dict) else list(value)
    made[path[0]] = with_value(made[path[0]] if path[1:] else None, path[1:], other)
    return tuple(made) if isinstance(value, tuple) else made


def taken(config: dict[str, Any]) -> str:
    """What becomes of a configuration: taken, or the error's words."""
    try:
        made = recipe.read(config)
        with torch.device("meta"):
            openmmlab.build(openmmlab.Options.of(made.network))
        exporting.described(made, "odd", Stated())
    except DensecastError as error:
        assert str(error) and "\n" not in str(error)
        return str(error)
    except (ValueError, RuntimeError, IndexError, TypeError, ArithmeticError) as error:
        # Numbers that do not fit each other are told by whoever builds a checkpoint's network.
        assert any("densecast/networks/" in each.filename for each in pytest_frames(error)), error
        return str(error)
    return "taken"


def pytest_frames(error: BaseException) -> list[Any]:
    import traceback

    return list(traceback.extract_tb(error.__traceback__))


@pytest.mark.parametrize("name", CONFIGS)
def test_no_value_anywhere_breaks_the_reader(name: str) -> None:
    config = CONFIGS[name]
    cases = [(path, value) for path in places(config) if path[0] != "data" or len(path) < 4 for value in ODD]
    for path, value in random.Random(0).sample(cases, 40):
        taken(with_value(config, path, value))


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_no_value_of_all_breaks_the_reader(name: str) -> None:
    for path in places(CONFIGS[name]):
        for value in ODD:
            taken(with_value(CONFIGS[name], path, value))


def test_classes_in_a_file_of_training_are_numbered_and_not_those_of_the_data_set() -> None:
    text = (MODEL + DATA).replace("type='ADE20KDataset', data_root", "type='PotsdamDataset', data_root")
    text = text.replace("num_classes=3", "num_classes=6")
    named = exporting.described(recipe.read(python_config.parse(text, "x")), "x", Stated())[0]
    assert named.labels[0] == "impervious_surface"
    text = text.replace("data_root=", "classes='lists/mine.txt', data_root=")
    numbered, notes = exporting.described(recipe.read(python_config.parse(text, "x")), "x", Stated())
    assert numbered.labels == tuple(f"class_{index}" for index in range(6)) and any("--labels" in n for n in notes)


ROUND = {
    "type": "KernelUpdateHead", "num_heads": 2, "num_mask_fcs": 1, "feedforward_channels": 8, "in_channels": 8,
    "out_channels": 8,
    "kernel_updator_cfg": {"type": "KernelUpdator", "in_channels": 8, "feat_channels": 8, "out_channels": 8},
}  # fmt: skip
KERNELS = {
    "type": "IterativeDecodeHead",
    "num_stages": 1,
    "kernel_update_head": [ROUND],
    "kernel_generate_head": {"type": "FCNHead", "in_channels": 32, "channels": 8, "num_classes": 4, "in_index": 3},
}


def test_a_head_that_refines_another_has_its_classes() -> None:
    config = with_value(CONFIGS["first"], ("model", "decode_head"), KERNELS)
    config["model"]["decode_head"]["kernel_generate_head"]["align_corners"] = True
    made = recipe.read(config)
    spec, _ = exporting.described(made, "kernels", Stated())
    assert len(spec.labels) == 4 and made.decode.align_corners  # type: ignore[union-attr]
    network = openmmlab.build(openmmlab.Options.of(made.network)).eval()
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 4, 8, 8)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("num_stages",), 2, "num_stages must be the number of its update heads, 1"),
        (("kernel_generate_head", "type"), "NLHead", "kernel_generate_head.type = 'NLHead' is none that densecast"),
        (("kernel_generate_head", "num_classes"), 1, "num_classes must be 2 or more"),
        (("kernel_update_head", 0, "conv_kernel_size"), 3, "conv_kernel_size = 3 changes the network"),
        (("kernel_update_head", 0, "in_channels"), 16, "in_channels must be the generating head's channels, 8"),
        (("kernel_update_head", 0, "num_heads"), 3, "num_heads must be a divisor"),
        (("kernel_update_head", 0, "act_cfg"), {"type": "PReLU"}, "act_cfg must be an activation without weights"),
        (("kernel_update_head", 0, "kernel_updator_cfg", "out_channels"), 4, "in_channels must be feat_channels"),
        (("kernel_update_head", 0, "kernel_updator_cfg", "odd"), 4, "odd = 4"),
        (("odd",), 4, "odd = 4"),
    ],
)
def test_what_a_refining_head_cannot_be_is_refused_by_key(path: tuple[Any, ...], value: Any, said: str) -> None:
    config = with_value(CONFIGS["first"], ("model", "decode_head"), with_value(KERNELS, path, value))
    with pytest.raises(BadConfigError, match=said):
        openmmlab.build(openmmlab.Options.of(recipe.read(config).network))


VIT = {
    "type": "VisionTransformer", "img_size": 32, "patch_size": 8, "embed_dims": 8, "num_layers": 4, "num_heads": 2,
    "out_indices": (0, 1, 2, 3), "output_cls_token": True,
}  # fmt: skip
DENSE = {
    "type": "DPTHead", "in_channels": (8,) * 4, "in_index": (0, 1, 2, 3), "channels": 8, "embed_dims": 8,
    "post_process_channels": (4, 4, 4, 4), "num_classes": 3,
}  # fmt: skip
PLAIN = {"type": "FCNHead", "in_channels": 8, "channels": 8, "num_classes": 3}
POOLED = {"type": "mmcls.PoolFormer", "arch": {"layers": [1, 1], "embed_dims": [4, 8]}, "out_indices": 2}


@pytest.mark.parametrize(
    ("backbone", "head", "said"),
    [
        (VIT, PLAIN, "output_cls_token must be True with DPTHead"),
        (VIT | {"output_cls_token": False}, DENSE, "output_cls_token must be True with DPTHead"),
        (VIT | {"with_cls_token": False}, DENSE, "output_cls_token must be False without with_cls_token"),
        (VIT, DENSE | {"readout_type": "odd"}, "readout_type = 'odd' is none that densecast builds: add, ignore, proj"),
        (VIT, DENSE | {"expand_channels": True}, "expand_channels = True changes the network"),
        (VIT, DENSE | {"in_channels": (8, 8)}, "in_index must be as many as in_channels"),
        (POOLED | {"out_indices": 3}, PLAIN, "out_indices must be below 3"),
        (POOLED | {"arch": "s13"}, PLAIN, "arch = 's13'"),
        (POOLED | {"pool_size": 2}, PLAIN, "pool_size must be odd"),
        (POOLED | {"arch": {"layers": [1, 1], "embed_dims": [4, 4]}}, PLAIN, "embed_dims must be another at each"),
        ({"type": "ERFNet", "enc_stage_non_bottlenecks": (5, 7)}, PLAIN, "a multiple of 4 dilations"),
        ({"type": "ERFNet", "enc_downsample_channels": (16, 16, 128)}, PLAIN, "more channels at each level"),
    ],
)
def test_parts_that_do_not_fit_are_refused_by_key(backbone: dict[str, Any], head: dict[str, Any], said: str) -> None:
    with pytest.raises(BadConfigError, match=said):
        openmmlab.build(openmmlab.Options.of({"type": "EncoderDecoder", "backbone": backbone, "decode_head": head}))


def test_an_error_names_the_line_of_its_key_in_the_checkpoint_and_in_a_file(tmp_path: Path) -> None:
    text = MODEL.replace("channels=8, pool_scales", "channels='eight', pool_scales") + DATA
    line = next(number for number, each in enumerate(text.splitlines(), 1) if "eight" in each)
    torch.save({"state_dict": {"a": torch.zeros(1)}, "meta": {"config": text}}, tmp_path / "latest.pth")
    with pytest.raises(BadCheckpointError, match=rf"its configuration, line {line}: model.decode_head.channels must"):
        export(tmp_path / "latest.pth", tmp_path / "out")
    (tmp_path / "base.py").write_text(text)
    (tmp_path / "mine.py").write_text("_base_ = 'base.py'\nmodel = dict(\n    backbone=dict(depth=19))\n")
    options = ExportOptions(config=str(tmp_path / "mine.py"))
    with pytest.raises(BadConfigError, match=r"mine.py, line 3: model.backbone.depth = 19"):
        export(tmp_path / "latest.pth", tmp_path / "out", options=options)
    (tmp_path / "mine.py").write_text("_base_ = 'base.py'\n")
    with pytest.raises(BadConfigError, match=rf"base.py, line {line}: model.decode_head.channels"):
        export(tmp_path / "latest.pth", tmp_path / "out", options=options)
