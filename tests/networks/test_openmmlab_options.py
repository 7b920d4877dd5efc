"""Options are bounded, published checkpoints are cleaned, and foreign weights are recognised."""

from __future__ import annotations

import importlib
from dataclasses import FrozenInstanceError, fields

import pytest
from published_networks import PUBLISHED

from densecast.errors import BadCheckpointError, BadConfigError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

NETWORKS = sorted({published.network for published in PUBLISHED.values()})


def state_of(name, **changes):
    published = PUBLISHED[name]
    module = published.module()
    with torch.device("meta"):
        return module.build(module.Options(**{**published.options, **changes})).state_dict()


def explain(name, state):
    published = PUBLISHED[name]
    module = published.module()
    return module.explain_mismatch(state, module.Options(**published.options))


@pytest.mark.parametrize("network", NETWORKS)
def test_every_option_refuses_zero_text_and_astronomical_numbers(network):
    options = importlib.import_module(f"densecast.networks.{network}").Options
    defaults = options()
    for name in (field.name for field in fields(options)):
        default = getattr(defaults, name)
        for bad in (0, -1, 10**9, "8", 8.0, True, None):
            value = (bad, *default[1:]) if isinstance(default, tuple) else bad
            with pytest.raises(BadConfigError, match=f"'{name}'"):
                options(**{name: value})
        if isinstance(default, tuple):
            for value in (default[:-1], (*default, 1), list(default), default[0]):
                with pytest.raises(BadConfigError, match=f"'{name}'|'multi_grid'"):
                    options(**{name: value})


@pytest.mark.parametrize("network", NETWORKS)
def test_options_are_frozen_and_have_no_dictionary(network):
    options = importlib.import_module(f"densecast.networks.{network}").Options()
    with pytest.raises(FrozenInstanceError):
        setattr(options, fields(options)[0].name, 3)
    assert not hasattr(options, "__dict__")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_state_needs_no_explanation(name):
    assert explain(name, state_of(name)) is None


@pytest.mark.parametrize("name", PUBLISHED)
def test_foreign_state_is_not_explained(name):
    assert explain(name, {}) is None
    assert explain(name, {"fc.weight": torch.zeros(10, 4), "backbone.conv1.weight": torch.tensor(0.0)}) is None


def test_clean_strips_the_wrapper_and_the_training_head_and_nothing_else():
    clean = PUBLISHED["fcn_r50_d8_voc"].module().clean
    kept, dropped = torch.zeros(1), torch.ones(1)
    state = {
        "module.backbone.stem.0.weight": kept,
        "module.auxiliary_head.conv_seg.weight": dropped,
        "auxiliary_head.conv_seg.bias": dropped,
        "backbone.module.weight": kept,
        "decode_head.auxiliary_head.weight": kept,
    }
    cleaned = clean(state)
    assert sorted(cleaned) == [
        "backbone.module.weight",
        "backbone.stem.0.weight",
        "decode_head.auxiliary_head.weight",
    ]
    assert all(tensor is kept for tensor in cleaned.values())


def test_clean_refuses_a_key_that_is_there_twice():
    with pytest.raises(BadCheckpointError, match=r"both 'a\.weight' and 'module\.a\.weight'"):
        PUBLISHED["fcn_r50_d8_voc"].module().clean({"a.weight": 1, "module.a.weight": 2, "b": 3})


def test_hr18_and_hr18s_weights_are_told_apart():
    assert explain("ocrnet_hr18s", state_of("ocrnet_hr18")) == "these are hr18 weights; use ocrnet_hr18"
    assert explain("ocrnet_hr18", state_of("ocrnet_hr18s")) == "these are hr18s weights; use ocrnet_hr18s"


def test_wrapped_weights_are_recognised_too():
    state = {f"module.{key}": tensor for key, tensor in state_of("ocrnet_hr18").items()}
    assert explain("ocrnet_hr18s", state) == "these are hr18 weights; use ocrnet_hr18"


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("deeplabv3_r101_d16_mg124", {"blocks": (3, 4, 6, 3)}, "blocks=(3, 4, 6, 3)"),
        ("deeplabv3_r101_d16_mg124", {"classes": 150}, "classes=150"),
        ("fcn_r50_d8_voc", {"classes": 19, "head_channels": 128}, "classes=19, head_channels=128"),
        ("unet_s5_d16", {"base_width": 32}, "base_width=32"),
        ("ocrnet_hr18", {"base_width": 48}, "base_width=48"),
        ("hrnet_w32_ae", {"base_width": 48, "joints": 14}, "base_width=48, joints=14"),
        ("res50_ae", {"blocks": (3, 4, 23, 3)}, "blocks=(3, 4, 23, 3)"),
        ("mobilenetv2_ae", {"last_width": 1792}, "last_width=1792"),
    ],
)
def test_differing_options_are_named(name, changes, expected):
    told = explain(name, state_of(name, **changes))
    assert told is not None
    assert told.startswith(f"these weights were made for {expected}; the requested network has ")
