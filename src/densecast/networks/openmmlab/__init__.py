"""Networks of MMSegmentation and MMPose, built from their configuration under the names of the originals' weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from densecast.errors import BadConfigError
from densecast.networks._base import Network

if TYPE_CHECKING:
    from torch import Tensor, nn

_SMALLEST = {
    "type": "EncoderDecoder",
    "backbone": {"type": "ResNetV1c", "depth": 18, "base_channels": 4, "stem_channels": 8},
    "decode_head": {
        "type": "FCNHead",
        "in_channels": 32,
        "channels": 8,
        "num_classes": 2,
        "norm_cfg": {"type": "BN"},
    },
}
POSE_NETWORKS = ("AssociativeEmbedding", "BottomUp")
"""The types of bottom-up pose networks."""
SUBDIVISION = ("subdivision_steps", "subdivision_num_points", "scale_factor")
"""Keys of a network's `test_cfg` that say how a head refines its logits."""
SELECTED = "select_output_index"
"""The key, beside `backbone` and `keypoint_head`, of the outputs that are decoded; all where it is absent."""
# Beside a network's own weights: heads that only training runs, losses, and what mmengine normalises images with.
_OTHERS = (
    *("auxiliary_head.", "data_preprocessor.", "loss", "decode_head.loss_decode."),
    # Heads of branches that only training runs: PIDNet's and DDRNet's.
    *("decode_head.p_head.", "decode_head.d_head.", "decode_head.p_cls_seg.", "decode_head.d_cls_seg."),
    *("decode_head.aux_head.", "decode_head.aux_cls_seg."),
)


@dataclass(frozen=True, slots=True)
class Options:
    """`config` is the network's table as JSON: `model` of a configuration, with its `type`, `backbone`, `decode_head`.

    Raises:
        BadConfigError: no JSON table.
    """

    config: str = json.dumps(_SMALLEST)

    def __post_init__(self) -> None:
        try:
            table = json.loads(self.config)
        except ValueError as error:
            raise BadConfigError(f"the network's configuration is no JSON ({error}).", field="config") from None
        if not isinstance(table, dict):
            raise BadConfigError("the network's configuration must be a table.", field="config")

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Options:
        """The options of a table, whose tuples become lists."""
        return cls(json.dumps(table))

    @property
    def table(self) -> dict[str, Any]:
        """The table itself."""
        made: dict[str, Any] = json.loads(self.config)
        return made


def output_names(count: int) -> tuple[str, ...]:
    """What the outputs of a pose network are called: `maps`, `maps_1`, …"""
    return ("maps", *(f"maps_{index}" for index in range(1, count)))


def build(options: Options | None = None) -> nn.Module:
    """(N, C, H, W) -> logits or maps at the head's own size. Fresh weights.

    Raises:
        BadConfigError: a part or a key that densecast does not know; the message names it.
    """
    from densecast.networks.openmmlab import assemble

    return assemble.network((options or Options()).table)


def clean(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict without the extra entries of published files.

    Raises:
        BadCheckpointError: a key is there with and without `module.`.
    """
    from densecast.networks import _state

    bare = _state.clean(state)
    return {name: tensor for name, tensor in bare.items() if not name.startswith(_OTHERS)}


NETWORK: Network[Options] = Network(Options, build, clean)
