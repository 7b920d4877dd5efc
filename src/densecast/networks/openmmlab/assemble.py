"""From a configuration's table to a network, strictly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from densecast.networks.openmmlab import POSE_NETWORKS, SUBDIVISION, backbones, heads, necks, pose
from densecast.networks.openmmlab.heads import Head
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.segmentors import CascadeEncoderDecoder, EncoderDecoder

SEGMENTORS = ("EncoderDecoder", "CascadeEncoderDecoder")


def network(table: Mapping[str, Any]) -> nn.Module:
    """The network of a `model` table.

    Raises:
        BadConfigError: a part or a key that densecast does not know; the message names it.
    """
    keys = Keys(table, "model")
    kind = keys.word("type").removeprefix("mmseg.").removeprefix("mmpose.")
    if kind in POSE_NETWORKS:
        return pose.network(keys)
    if kind not in SEGMENTORS:
        raise keys.unknown("type", kind, (*SEGMENTORS, *POSE_NETWORKS))
    backbone = backbones.backbone(keys.table("backbone"))
    given = keys.take("neck", None)
    neck = None if given is None else necks.neck(Keys(given, "model.neck"))
    keys.ignore("auxiliary_head", "train_cfg", "pretrained", "init_cfg", "data_preprocessor")
    test = keys.take("test_cfg", None)
    test = test if isinstance(test, Mapping) else {}
    refining = {name: test[name] for name in SUBDIVISION if name in test}
    if kind == "EncoderDecoder":
        head = heads.head(keys.table("decode_head"))
        _check_class_token(keys, backbone, neck, [head])
        keys.done()
        return EncoderDecoder(backbone, neck, head)
    cascade = [heads.head(each, refining) for each in keys.tables("decode_head")]
    _check_class_token(keys, backbone, neck, cascade)
    stages = keys.integer("num_stages", len(cascade))
    if stages != len(cascade):
        raise keys.wrong("num_stages", stages, f"the number of its decode heads, {len(cascade)}")
    keys.done()
    return CascadeEncoderDecoder(backbone, neck, cascade)


def _check_class_token(keys: Keys, backbone: nn.Module, neck: nn.Module | None, cascade: Sequence[Head]) -> None:
    """Refuse a class token that no head takes, or that one lacks."""
    given = bool(getattr(backbone, "gives_class", False))
    if any(head.takes_class != given for head in cascade) or (given and neck is not None):
        raise keys.wrong("backbone.output_cls_token", given, "True with DPTHead, which has no neck, and with no other")
