"""Takes torch networks as they are found: weights of 16 or 64 bits, images channels last, planes without channels."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from densecast.artifact import FloatManifest
from densecast.errors import BadGraphError
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import Array, Feeds
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.export import trial_sizes, wrappers
from densecast.verbs.export.torch_file import last_line

if TYPE_CHECKING:
    from torch import nn

_TWO, _MAP = 2, 4
_TURNED = "its output (N, h, w, C) is given as (N, C, h, w)"
Run = Callable[[Feeds], Feeds]


@dataclass(frozen=True, slots=True)
class Found:
    """The network as a function of float32 (N, C, H, W), and whether it is another object than it was."""

    network: nn.Module
    manifest: FloatManifest
    is_changed: bool


def adapt(network: nn.Module, manifest: FloatManifest, run_of: Callable[[nn.Module], Run], where: str) -> Found:
    """Bring a network to our layout, find the multiple that its height and width must be of, and note what was done.

    `run_of` makes a network a function of named arrays; it is not changed but for the type of its weights.

    Raises:
        BadGraphError: it takes further tensors, or runs at none of the sizes that were tried.
    """
    spec = manifest.spec
    _refuse_further_inputs(network, spec, where)
    notes: list[str] = []
    kinds = {tensor.dtype for tensor in (*network.parameters(), *network.buffers()) if tensor.is_floating_point()}
    others = sorted(str(kind).removeprefix("torch.") for kind in kinds if str(kind) != "torch.float32")
    original = network
    if others:
        network = network.float()
        notes.append(f"its weights of {', '.join(others)} became float32")
    _refuse_volumes(network, spec, run_of, where)
    try:
        fitted, note = _fitted(network, spec, run_of, where)
    except BadGraphError as error:
        found = _channels_last(network, spec, run_of, where)
        if found is None:
            raise error
        network, fitted, note = found
        notes.append("it takes its image channels last: (N, H, W, C)")
    notes += [note] if note else []
    for arranged, note in ((_with_channels, "its plane is given as (N, 1, h, w)"), (_channels_first, _TURNED)):
        changed = arranged(network, fitted, run_of)
        if changed is not None:
            network = changed
            notes.append(note)
    made = replace(manifest, spec=fitted, passes=(*manifest.passes, *notes))
    return Found(network, made, network is not original or bool(others))


def _refuse_further_inputs(network: nn.Module, spec: ModelSpec, where: str) -> None:
    """Refuse a network that needs more tensors than the spec declares.

    Raises:
        BadGraphError: names them.
    """
    needed, by_keyword = _needed(network), _needed_by_keyword(network)
    if by_keyword:
        raise BadGraphError(
            f"{where} takes {', '.join(by_keyword)} by name alone, and images are given by position. Wrap it in a "
            "module of the image alone, whose forward(self, image) gives it by name."
        )
    if len(needed) > len(spec.inputs):
        raise BadGraphError(
            f"{where} takes {', '.join(needed)}, and {len(spec.inputs)} of them can be made of an image. Declare "
            "how the others are ([input_preprocess.NAME] in a spec file), or wrap it in a module of the image alone."
        )


def _refuse_volumes(network: nn.Module, spec: ModelSpec, run_of: Callable[[nn.Module], Run], where: str) -> None:
    """Refuse a network whose convolutions are all of three dimensions, unless it makes volumes of images itself.

    Raises:
        BadGraphError: it takes volumes.
    """
    import torch

    from densecast.verbs.export import outputs

    kinds = {type(part) for part in network.modules()}
    channels = spec.input.shape[1]
    if torch.nn.Conv3d not in kinds or torch.nn.Conv2d in kinds or not isinstance(channels, int):
        return
    # Of one image its channels would be taken for a batch.
    if outputs.answered(run_of(network), outputs.trial_feeds(spec, (2, channels, 64, 64), 0)) is None:
        raise BadGraphError(
            f"{where} takes volumes (N, C, D, H, W): all of its convolutions are Conv3d. densecast takes networks of "
            "images (N, C, H, W); make the network with two spatial dimensions, and train it on slices."
        )


def _needed(network: nn.Module) -> list[str]:
    """Names of the arguments without a default."""
    import torch

    if isinstance(network, torch.jit.ScriptModule):
        script: Any = network
        return [each.name for each in script.forward.schema.arguments[1:] if not each.has_default_value()]
    try:
        parameters = inspect.signature(network.forward).parameters.values()
    except (TypeError, ValueError):  # written in C, or made at run time
        return []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [each.name for each in parameters if each.kind in positional and each.default is inspect.Parameter.empty]


def _needed_by_keyword(network: nn.Module) -> list[str]:
    """Names of arguments that cannot be given by position and have no default; all where none can be."""
    import torch

    if isinstance(network, torch.jit.ScriptModule):
        return []
    try:
        parameters = list(inspect.signature(network.forward).parameters.values())
    except (TypeError, ValueError):  # written in C, or made at run time
        return []
    named = [each for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY]
    needed = [each.name for each in named if each.default is inspect.Parameter.empty]
    if needed or any(
        each.kind not in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD) for each in parameters
    ):
        return needed
    return [str(each) for each in parameters]


def _fitted(
    network: nn.Module, spec: ModelSpec, run_of: Callable[[nn.Module], Run], where: str
) -> tuple[ModelSpec, str | None]:
    """The spec with the multiple that open sizes must be of, and a note on it; fixed sizes are tried.

    Raises:
        BadGraphError: it runs at none of the sizes.
    """
    from densecast.verbs.export import outputs

    height, width = spec.input.shape[2:]
    if isinstance(height, int) and isinstance(width, int):
        shape = trial_sizes.shapes(spec.input, (height, width))[0]
        try:
            run_of(network)(outputs.trial_feeds(spec, shape, 0))
        except Exception as error:  # the network's own code raises its own kinds
            raise BadGraphError(
                f"{where} does not run at {list(shape)} ({last_line(error)}).", field="size_hw"
            ) from None
    return trial_sizes.fit(spec, run_of(network), where)


def _channels_last(
    network: nn.Module, spec: ModelSpec, run_of: Callable[[nn.Module], Run], where: str
) -> tuple[nn.Module, ModelSpec, str | None] | None:
    """The network behind a transposition, if it runs that way."""
    if len(spec.inputs) > 1:
        return None
    turned = wrappers.channels_last(network)
    try:
        return turned, *_fitted(turned, spec, run_of, where)
    except BadGraphError:
        return None


def _with_channels(network: nn.Module, spec: ModelSpec, run_of: Callable[[nn.Module], Run]) -> nn.Module | None:
    """The network with a channel axis, where it returns one plane (N, h, w) of scores for two labels."""
    import numpy as np

    from densecast.verbs.export import output_form

    is_binary = isinstance(spec.decode, SegmentationDecode) and len(spec.labels) == _TWO
    if not is_binary or len(spec.inputs) > 1:
        return None
    plane, shape = _only_output(network, spec, run_of)
    is_plane = plane is not None and plane.ndim == 3 and plane.shape[0] == shape[0] and plane.dtype.kind == "f"
    if plane is None or not is_plane or not output_form.has_aspect((plane.shape[1], plane.shape[2]), shape[2:]):
        return None
    # Whole numbers are a decision, which has no channel axis.
    values = np.asarray(plane, np.float64)
    if bool((values == np.round(values)).all()):
        return None
    return wrappers.with_channels(network)


def _channels_first(network: nn.Module, spec: ModelSpec, run_of: Callable[[nn.Module], Run]) -> nn.Module | None:
    """The network with its map turned, where it returns one (N, h, w, C), as Keras's do."""
    from densecast.verbs.export import found_outputs

    if len(spec.inputs) > 1:
        return None
    output, shape = _only_output(network, spec, run_of)
    if output is None or output.ndim != _MAP or not found_outputs.is_channels_last(output, shape[2:], spec):
        return None
    return wrappers.channels_first(network)


def _only_output(
    network: nn.Module, spec: ModelSpec, run_of: Callable[[nn.Module], Run]
) -> tuple[Array | None, tuple[int, int, int, int]]:
    """What a network of one output gives for an image of some shape, and that shape.

    None of a network of several, and of one that does not run at that shape.
    """
    from densecast.verbs.export import outputs

    images, channels, height, width = trial_sizes.shapes(spec.input, (64, 96))[-1]
    shape = (images, channels, height, width)
    results = list((outputs.answered(run_of(network), outputs.trial_feeds(spec, shape, 0)) or {}).values())
    return results[0] if len(results) == 1 else None, shape
