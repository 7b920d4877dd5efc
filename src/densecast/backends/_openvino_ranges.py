"""Gives a quantised OpenVINO model other ranges: calibration methods differ in four numbers a quantiser, and no more.

NNCF would insert every quantiser anew for each method, and round all weights again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_WEIGHTS = "/fq_weights_"
_NAMES = {"PRE_LAYER_OPERATION": "fq_input", "POST_LAYER_OPERATION": "fq_output"}


def parameters(
    groups: Sequence[Sequence[Any]], configs: Mapping[Any, Any], statistics: Mapping[Any, Any], unify: Any
) -> dict[str, Any]:
    """NNCF's parameters of every quantiser of activations, by the quantiser's name.

    `configs` are NNCF's by the place of a quantiser, `statistics` those of activations' places; the places of each of
    `groups` share the range that `unify` makes of theirs.
    """
    from nncf.quantization.fake_quantize import QuantizerGroup, calculate_quantizer_parameters

    shared = {place: unify([statistics[each] for each in group]) for group in groups for place in group}
    # All of a group are quantised as its first is.
    firsts = {place: group[0] for group in groups for place in group}
    found = {}
    for place, own in statistics.items():
        config = configs[firsts.get(place, place)]
        name = f"{place.target_node_name}/{_NAMES[place.type.name]}_{place.port_id}"
        found[name] = calculate_quantizer_parameters(shared.get(place, own), config, QuantizerGroup.ACTIVATIONS)
    return found


def with_ranges(model: Any, ranges: Mapping[str, Any]) -> Any | None:
    """A copy of a quantised model with other ranges of activations; None where its quantisers are not those named."""
    from openvino import Type, opset13

    copy = model.clone()
    named = {node.get_friendly_name(): node for node in copy.get_ops() if node.get_type_name() == "FakeQuantize"}
    of_activations = {name for name in named if _WEIGHTS not in name}
    if of_activations != set(ranges):
        return None
    for name, given in ranges.items():
        node = named[name]
        if node.get_attributes()["levels"] != given.levels:
            return None
        ends = (given.input_low, given.input_high, given.output_low, given.output_high)
        for port, end in enumerate(ends, start=1):
            before = node.input_value(port).get_node()
            if before.get_type_name() != "Constant" or before.get_element_type() != Type.f32:
                return None
            value = np.asarray(end.data, np.float32)
            if list(before.get_output_shape(0)) != list(value.shape):
                return None
            constant = opset13.constant(value, Type.f32, name=before.get_friendly_name())
            node.input(port).replace_source_output(constant.output(0))
    return copy
