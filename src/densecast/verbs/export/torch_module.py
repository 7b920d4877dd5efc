"""Exports a torch module with all its outputs, and compares the graph with the module at several shapes."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densecast import artifact
from densecast.artifact import FloatArtifact, FloatManifest
from densecast.errors import BadGraphError, BadShapeError, ParityError
from densecast.graph import _quantised, as_float32
from densecast.io import files
from densecast.runtime import stages
from densecast.spec.model import ModelSpec
from densecast.spec.shapes import check_resize
from densecast.spec.tensor import Feeds, TensorSpec
from densecast.spec.verb_options import ExportOptions
from densecast.verbs.export import (
    asked,
    behaviour,
    decided_sizes,
    found_modules,
    graph_sizes,
    heads,
    onnx_file,
    output_form,
    outputs,
    own_normalisation,
    own_sigmoid,
    trial_sizes,
    wrappers,
)
from densecast.verbs.export.behaviour import Network
from densecast.verbs.export.framework import Framework
from densecast.verbs.export.to_onnx import Made, declared_axes, to_onnx

if TYPE_CHECKING:
    from torch import nn

_SEED = 20


@dataclass(frozen=True, slots=True)
class Exported:
    """The exported module with its options, for storing the original beside the graph.

    `module` returns the outputs of `spec` in their order. The original may return a sequence in which they are found
    neither by name nor in that order: `places` are their places in it then, and else None.
    """

    module: nn.Module
    spec: ModelSpec
    places: tuple[int, ...] | None
    trials: tuple[tuple[Feeds, Feeds], ...]


Keep = Callable[[Path, Exported], tuple[str, ...]]
"""Writes the original network into a folder; what to note in the manifest."""


def export(
    network: nn.Module,
    manifest: FloatManifest,
    options: ExportOptions,
    example_size_hw: tuple[int, int],
    keep: Keep,
    out: Path,
) -> FloatArtifact:
    """Export, check and compare with the framework at several shapes before anything is written.

    An empty `manifest.key` becomes the graph's own.

    Raises:
        BadGraphError: no exporter can, or the outputs do not fit the task.
        ParityError: graph and framework differ by more than the tolerance.
    """
    spec = manifest.spec
    check_resize(spec.input, spec.preprocess, spec.slide)
    shapes = trial_sizes.shapes(spec.input, example_size_hw)
    feeds = [outputs.trial_feeds(spec, shape, _SEED) for shape in shapes]
    framework = Framework(network, [tensor.name for tensor in spec.outputs])
    results = [behaviour.answer(framework, feed, spec.name) for feed in feeds]
    shapes_of = heads.preferred_first({name: array.shape for name, array in results[0].items()}, spec)
    image_hw = (shapes[0][2], shapes[0][3])
    settled = output_form.settle(None, {name: results[0][name] for name in shapes_of}, image_hw, spec, options)
    stated, spec = spec, settled.spec
    found = None if spec is stated else settled.main
    selection = outputs.select(shapes_of, spec, options, found)
    is_named = options.output_name is not None
    selection, dropped = heads.without_training(selection, shapes, results, spec, is_named=is_named)
    results = [{name: result[name] for name in selection.names} for result in results]
    described = outputs.describe_all(selection.names, list(zip(shapes, results, strict=True)), spec.input)
    module = network if framework.is_single else framework.selected(selection.names)
    sizes = [(array.shape[2], array.shape[3]) for array in feeds[0].values()]
    axes = {tensor.name: declared_axes(tensor, spec.input) for tensor in described}
    stages.at("exporting to ONNX")
    made = to_onnx(module, spec.inputs, axes, sizes, opset=options.opset, exporter=options.exporter)
    model = made.model
    behaviour.check_types(model)
    onnx_file.check(model, "the exported graph")
    behaviour.check_reads_image(model, spec.input.name)
    model, serialised, graph, lowered = _running(model)
    trials = tuple(zip(feeds, results, strict=True))
    stages.at("comparing the graph with the framework")
    exact = Framework(network, framework.names, selection.names, is_exact=True)
    if manifest.network is None:
        for narrowed, note in decided_sizes.of_multiples(manifest.spec, made.decides, framework, graph, trials):
            with contextlib.suppress(BadGraphError, BadShapeError, ParityError):
                noted = replace(manifest, spec=narrowed, passes=(*manifest.passes, note))
                return export(network, noted, options, example_size_hw, keep, out)
    record = behaviour.compared(graph, trials, options.tolerance, framework, exact)
    spec, notes_on_sizes = _narrowed(spec, manifest, made, graph, framework)
    remark = check_resize(spec.input, spec.preprocess, spec.slide)
    described = outputs.describe_all(selection.names, list(zip(shapes, results, strict=True)), spec.input)
    settled = output_form.refined(model, *next(iter(results[0].items())), image_hw, stated, spec)
    spec, said = _as_found(model, settled, described)
    notes = (*_of_graph(made, selection), *lowered, *notes_on_sizes, *said, *dropped, *([remark] if remark else []))
    exported = Exported(module, spec, framework.places(selection.names), trials)
    return _written(out, replace(manifest, parity=record), serialised, notes, exported, keep)


def _running(model: Any) -> tuple[Any, bytes, Callable[[Feeds], Feeds], tuple[str, ...]]:
    """The graph, serialised, and as a function; without the float64 that torch's tracer makes of ramps of fixed sizes.

    Raises:
        BadGraphError: ONNX Runtime does not take it, in float32 neither.
    """
    serialised = model.SerializeToString()
    try:
        return model, serialised, onnx_file.graph_runner(serialised), ()
    except BadGraphError:
        changed = as_float32.apply(model, as_float32.DOUBLES)
        if not changed.changed:
            raise
    serialised = changed.model.SerializeToString()
    return changed.model, serialised, onnx_file.graph_runner(serialised), (changed.notes,)


def _written(
    out: Path, manifest: FloatManifest, serialised: bytes, notes: tuple[str, ...], exported: Exported, keep: Keep
) -> FloatArtifact:
    """The artifact of a graph that was compared."""
    with artifact.writing(out) as draft:
        files.write_bytes(draft.folder / "model.onnx", serialised)
        told = (*manifest.passes, *notes, *keep(draft.folder, exported))
        key = manifest.key or files.sha256_text(repr((files.sha256(draft.folder / "model.onnx"), exported.spec)))
        draft.finish(replace(manifest, spec=exported.spec, key=key, passes=told))
    return FloatArtifact.open(out)


def _of_graph(made: Made, selection: outputs.Selection) -> tuple[str, ...]:
    """Notes on the exported graph."""
    import onnx

    opset = made.model.opset_import[0].version
    return (
        f"exported by torch's {made.exporter} exporter, opset {opset}, onnx {onnx.__version__}",
        *((selection.note,) if selection.note else ()),
        *((_quantised.NOTE,) if _quantised.is_quantised(made.model) else ()),
    )


def _narrowed(
    spec: ModelSpec, manifest: FloatManifest, made: Made, graph: Network, framework: Network
) -> tuple[ModelSpec, tuple[str, ...]]:
    """The spec with the sizes that the graph takes, and notes; networks of ours are known to take theirs.

    Raises:
        BadGraphError: see `graph_sizes.fit` and `decided_sizes.fit`.
    """
    if manifest.network is not None:
        return spec, ()
    had_open_sides = not all(isinstance(side, int) for side in spec.input.shape[2:])
    spec, notes = graph_sizes.fit(spec, graph, made.model, "the exported graph")
    if had_open_sides and all(isinstance(side, int) for side in spec.input.shape[2:]):
        raise BadGraphError(
            f"{'; '.join(notes)}. Export it for one size only: --static 1xHEIGHTxWIDTH.", field="size_hw"
        )
    spec, decided = decided_sizes.fit(spec, made.decides, framework, graph)
    return spec, (*notes, *decided)


def _as_found(
    model: Any, settled: output_form.Settled, described: tuple[TensorSpec, ...]
) -> tuple[ModelSpec, tuple[str, ...]]:
    """The spec with the outputs of the graph, fed as the graph has to be, and what to say of both."""
    rule, normalises = own_normalisation.settle(model, settled.spec.input.name, settled.spec.preprocess)
    spec = replace(settled.spec, outputs=described, preprocess=rule)
    spec, ending = own_sigmoid.settle(model, described[0].name, spec)
    return asked.checked(spec), (*settled.notes, *normalises, *ending)


def as_found(network: nn.Module, manifest: FloatManifest, where: str) -> found_modules.Found:
    """The network brought to our layout, with the sizes that it takes: see `found_modules.adapt`."""
    names = [tensor.name for tensor in manifest.spec.outputs]
    return found_modules.adapt(network, manifest, lambda each: Framework(each, names), where)


def keep_weights(network: nn.Module, name: str) -> Keep:
    """Store the weights of a named network, which can be rebuilt."""

    def keep(folder: Path, exported: Exported) -> tuple[str, ...]:
        from safetensors.torch import save_file

        if exported.places is not None:
            raise BadGraphError(
                f"network {name!r} returns a tuple, of which the first is the main output: let it return a dict to "
                "choose another.",
                field="output_name",
            )
        # A module under two names is stored twice: the format holds no shared memory.
        seen: set[int] = set()
        state = {}
        for key, value in network.state_dict().items():
            state[key] = value.clone() if value.data_ptr() in seen else value.contiguous()
            seen.add(value.data_ptr())
        target = folder / "weights.safetensors"
        with files.written_by_library(target, "the weights"):
            save_file(state, target)
        return ()

    return keep


def keep_script(path: Path, changed: nn.Module | None = None) -> Keep:
    """Store the TorchScript file; if its outputs have other names or positions, inside a wrapper that names them.

    `changed` is stored in its place, where the script was brought to another layout.
    """

    def keep(folder: Path, exported: Exported) -> tuple[str, ...]:
        import shutil

        target = folder / "model.pt"
        if exported.places is None and changed is None:
            shutil.copyfile(path, target)
            return ()
        if exported.places is None:
            _save_script(changed, target)
            return ("the script is stored as it was brought to this layout",)
        names = [tensor.name for tensor in exported.spec.outputs]
        pairs = zip(names, exported.places, strict=True)
        results = ", ".join(f"{name!r}: results[{place}]" for name, place in pairs)
        network = changed if changed is not None else onnx_file.load_torchscript(path)
        wrapped = wrappers.script_around(network, f"{{{results}}}", len(exported.spec.inputs))
        _save_script(wrapped, target)
        return ("the script's outputs were given names",)

    return keep


def keep_traced(folder: Path, exported: Exported) -> tuple[str, ...]:
    """Store the module as traced TorchScript, if that computes the same; else nothing, with a note."""
    import numpy as np
    import torch

    from densecast.networks._outputs import module_outputs

    names = [tensor.name for tensor in exported.spec.outputs]
    first = tuple(torch.from_numpy(array.copy()) for array in exported.trials[0][0].values())
    try:
        with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
            warnings.simplefilter("ignore")
            # Not strict: several outputs are a dict, whose names tell them apart whatever their order.
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                wrappers.naming(exported.module, names), first, check_trace=False, strict=False
            )
            for feeds, expected in exported.trials:
                result = module_outputs(traced(*(torch.from_numpy(array.copy()) for array in feeds.values())), names)
                for name, array in expected.items():
                    if not np.allclose(result[name].numpy(), np.asarray(array, np.float64), rtol=1e-4, atol=1e-5):
                        raise ValueError(f"traced, its output {name!r} is another one")
            script = _serialised(traced)
    except Exception as error:  # torch raises whatever the module's code does
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return (f"without the original network, which torch cannot trace ({reason}): no backend 'torch'",)
    with files.written_by_library(folder / "model.pt", "the script"):
        (folder / "model.pt").write_bytes(script)
    return ("the original network is stored as traced by torch",)


def _save_script(script: Any, target: Path) -> None:
    with files.written_by_library(target, "the script"):
        target.write_bytes(_serialised(script))


def _serialised(script: Any) -> bytes:
    """A script's bytes, made in memory: torch ends the process where it cannot write a file to its end."""
    import torch

    with io.BytesIO() as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the end of TorchScript
        torch.jit.save(script, stream)
        return stream.getvalue()
