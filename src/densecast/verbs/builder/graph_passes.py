"""Selects the graph passes of a build, and applies them in order.

They change no number in real arithmetic, only how fast an engine computes it: what helps one engine and precision
costs another. Where none are named they are chosen by the rule below, whose measurements `benchmarks/passes.py`
repeats; tuning measures on this machine instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import onnx

from densecast.errors import UnknownNameError
from densecast.graph import (
    channels_last_matmul,
    constant_pool_branch,
    conv_before_upsampling,
    drop_outside_taps,
    join_hard_swish,
    split_dilated_convs,
    split_padded_joins,
    split_upsampled_joins,
    transpose_hw,
    widen_strided_kernels,
)
from densecast.graph._base import PassResult
from densecast.runtime import machine
from densecast.spec import cpu as cpus
from densecast.spec.cpu import Cpu
from densecast.spec.options import BuildOptions

_PASSES = {
    "drop_outside_taps": drop_outside_taps.apply,
    "conv_before_upsampling": conv_before_upsampling.apply,
    "join_hard_swish": join_hard_swish.apply,
    "constant_pool_branch": constant_pool_branch.apply,
    "split_upsampled_joins": split_upsampled_joins.apply,
    "split_dilated_convs": split_dilated_convs.apply,
    "split_padded_joins": split_padded_joins.apply,
    "transpose_hw": transpose_hw.apply,
    "channels_last_matmul": channels_last_matmul.apply,
    "widen_strided_kernels": widen_strided_kernels.apply,
}
NAMES = tuple(_PASSES)


def chosen(options: BuildOptions) -> tuple[str, ...]:
    """The passes of a build, in order of application.

    Raises:
        UnknownNameError: one that the options name does not exist.
    """
    if options.graph_passes is None:
        return _by_rule(options)
    for name in options.graph_passes:
        if name not in _PASSES:
            raise UnknownNameError.among("graph pass", name, NAMES)
    return tuple(name for name in NAMES if name in options.graph_passes)


def apply(model: onnx.ModelProto, options: BuildOptions) -> tuple[onnx.ModelProto, list[str]]:
    """Apply the passes; returns the graph and notes on what was done or why a named pass did not apply."""
    notes = []
    for name in chosen(options):
        result: PassResult = _PASSES[name](model)
        model = result.model
        if result.changed:
            notes.append(result.notes)
        elif options.graph_passes is not None:
            notes.append(f"{name} not applied: {result.notes}")
    return model, notes


def differ(model: onnx.ModelProto, names: Sequence[str] = NAMES) -> tuple[str, ...]:
    """The passes that would change this graph."""
    effective = []
    for name in names:
        result = _PASSES[name](model)
        model = result.model
        if result.changed:
            effective.append(name)
    return tuple(effective)


def _by_rule(options: BuildOptions) -> tuple[str, ...]:
    # Fewer products, in every engine and type.
    names = {"drop_outside_taps", "conv_before_upsampling"}
    if options.precision == "force_float16" and not _computes_16_bits(options.cpu):
        # There 16 bits are computed in float32, whose kernels have other weaknesses.
        options = replace(options, precision="force_float32")
    if options.precision != "qint8_mixed_float16":
        # Fewer products too, in int8 as well, but there they quantise a sum that the network does not have.
        names |= {"split_upsampled_joins"} | ({"constant_pool_branch"} if options.backend == "openvino" else set())
    if options.backend == "openvino":
        names.add("join_hard_swish")
    if options.backend == "openvino" and options.precision != "force_float32":
        # What the kernels on AMX are slow with, and copies that weigh more beside them; those of float32 are slower.
        names |= {"split_padded_joins", "transpose_hw", "channels_last_matmul"}
        # What they compute wrongly.
        names.add("widen_strided_kernels")
    if options.backend == "openvino" and options.precision == "force_float16":
        # OpenVINO's 16-bit kernel is slow where rows lie far apart; float32's is not. In int8 the gain is smaller, and
        # sums that the network does not have are quantised: that is for tuning, or by name.
        names.add("split_dilated_convs")
    return tuple(name for name in NAMES if name in names)


def _computes_16_bits(cpu: Cpu) -> bool:
    """Whether layers of 16 bits are computed as such on that kind of CPU, or may be."""
    if cpu == "native":
        return bool({"bfloat16", "float16"} & machine.able())
    kind = cpus.target(cpu)
    return kind is None or bool(kind.half_types)
