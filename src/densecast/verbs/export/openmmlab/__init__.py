"""Exports checkpoints of MMSegmentation and MMPose by the configuration that they carry, without those packages."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from densecast import artifact
from densecast.artifact import FloatArtifact, FloatManifest, NetworkRef, WeightsRecord
from densecast.datasets import _layouts
from densecast.errors import BadCheckpointError, BadConfigError, DensecastError
from densecast.io import config_files, config_lines, files, python_config
from densecast.networks import openmmlab as networks
from densecast.runtime import machine
from densecast.spec.model import Evaluation, ModelSpec
from densecast.spec.preprocess import Preprocess
from densecast.spec.recipe import Recipe, SlideInference
from densecast.spec.slide import Slide
from densecast.spec.verb_options import ExportOptions
from densecast.tasks.pose import PoseDecode
from densecast.tasks.pose.skeleton import COCO
from densecast.verbs.export import asked, torch_module, trial_sizes
from densecast.verbs.export import checkpoint as checkpoints
from densecast.verbs.export.checkpoint import Checkpoint
from densecast.verbs.export.openmmlab import recipe as recipes
from densecast.verbs.export.openmmlab import weights
from densecast.verbs.export.retrained import Stated
from densecast.verbs.export.spec_file import SpecFile

_NETWORK = "openmmlab"
_EXAMPLE_HW = (512, 512)
_PERSON_RGB = (0, 158, 115)
_OWN_FOLDERS = "CustomDataset"


def recipe_of(found: Checkpoint, file: str, config: str | None = None, preprocess: Preprocess | None = None) -> Recipe:
    """The recipe of an opened checkpoint: from the configuration file where one is named, else from its own.

    A stated `preprocess` is taken in place of its test pipeline, which may then be one that cannot be expressed.

    Raises:
        BadConfigError: a configuration file that cannot be read, or says what cannot be expressed.
        BadCheckpointError: the same of the checkpoint's own, or it has none.
        MissingFileError: no such configuration file.
    """
    if config is not None:
        with _located(found, config):
            made = recipes.read(config_files.read(Path(config)), preprocess)
    elif found.config is None:
        raise BadCheckpointError(
            f"{file} holds weights without a configuration. Name its file: --config CONFIG.py.", field="config"
        )
    else:
        try:
            own = found.config
            names = python_config.parse(own, f"the configuration of {file}") if isinstance(own, str) else own
            with _located(found, None):
                made = recipes.read(names, preprocess)
        except BadConfigError as error:
            raise BadCheckpointError(f"{file}: {error}") from None
    labels = found.labels if found.labels is not None else made.labels
    # The configuration's colours are those of its own classes.
    palette = found.palette or (made.palette if labels == made.labels else None)
    return replace(made, labels=labels, palette=palette)


@contextlib.contextmanager
def _located(found: Checkpoint, config: str | None) -> Iterator[None]:
    """Add the line to errors that are about a key: of the configuration file, else of the checkpoint's own text."""
    try:
        yield
    except BadConfigError as error:
        keys, place = config_lines.path_in(str(error)), None
        if keys and config is not None:
            place = config_lines.in_files(Path(config), keys)
        elif keys and isinstance(found.config, str):
            count, line = config_lines.line_of(found.config, keys)
            place = ("its configuration", line) if count else None
        if place is None:
            raise
        raise BadConfigError(f"{place[0]}, line {place[1]}: {error}", field=error.field, hint=error.hint) from None


def export(path: Path, out: Path, options: ExportOptions, stated: Stated) -> FloatArtifact:
    """Export a checkpoint to a float artifact at `out`; `stated` overrules what its recipe says.

    Raises:
        BadConfigError, BadCheckpointError, MissingFileError: see `recipe_of`; or the weights do not fit.
        ParityError: graph and framework differ by more than the tolerance.
    """
    found = weights.open_weights(path, options.weights, options.config)
    recipe = recipe_of(found, path.name, options.config, stated.preprocess)
    network_options = networks.Options.of(recipe.network)
    network = _built(network_options, path, options, found)
    fixed_hw = getattr(getattr(network, "backbone", None), "fixed_hw", None)
    if fixed_hw is not None:
        options = _of_size(options, fixed_hw)
    checkpoints.load_into(network, found.state, networks.NETWORK, network_options, f"checkpoint {path}")
    spec, notes = described(recipe, options.name or path.name.partition(".")[0], stated)
    spec = trial_sizes.requested(asked.with_options(spec, options), options)
    manifest = FloatManifest(
        spec,
        "",
        artifact.now(),
        machine.describe(),
        source=path.name,
        network=NetworkRef(_NETWORK, dataclasses.asdict(network_options)),
        weights=WeightsRecord(path.name, files.sha256(path), len(found.state)),
        passes=(*found.notes, *recipe.notes, *notes),
    )
    manifest = torch_module.as_found(network, manifest, path.name).manifest
    keep = torch_module.keep_weights(network, _NETWORK)
    return torch_module.export(network, manifest, options, options.size_hw or _EXAMPLE_HW, keep, out)


def _of_size(options: ExportOptions, fixed_hw: tuple[int, int]) -> ExportOptions:
    """The options for a network whose positions are those of one image size.

    Raises:
        BadConfigError: another size was asked for.
    """
    if options.size_hw is not None and options.size_hw != fixed_hw:
        (height, width), (own_height, own_width) = options.size_hw, fixed_hw
        raise BadConfigError(
            f"this network takes images of {own_height}x{own_width}, the img_size of its configuration, and not "
            f"{height}x{width}: leave --static out.",
            field="size_hw",
        )
    return replace(options, size_hw=fixed_hw)


def preprocess_of(path: Path, config: str | None = None) -> Preprocess:
    """What the checkpoint's configuration does to images before its network.

    Raises:
        BadConfigError, BadCheckpointError, MissingFileError: see `recipe_of`.
    """
    return recipe_of(checkpoints.open_checkpoint(path), path.name, config).preprocess


def _built(network_options: networks.Options, path: Path, options: ExportOptions, found: Checkpoint) -> Any:
    """The network in evaluation mode; a configuration that came with the checkpoint is the checkpoint's fault."""
    try:
        with _located(found, options.config):
            weights.check_size(network_options, found, path.name)
            return networks.build(network_options).eval()
    except BadConfigError as error:
        if options.config is None:
            raise BadCheckpointError(f"{path.name}: {error}") from None
        raise
    except DensecastError:
        raise
    except (ValueError, RuntimeError, IndexError, TypeError, ArithmeticError) as error:
        # Numbers that are each possible and together are not, such as groups that do not divide channels.
        raise BadConfigError(f"the configuration's network cannot be built: {error}.", field="config") from None


def described(recipe: Recipe, name: str, stated: Stated) -> tuple[ModelSpec, tuple[str, ...]]:
    """The model's spec by its recipe, and notes.

    Raises:
        BadConfigError: labels or colours of another number than the network's classes.
    """
    if recipe.library == "mmpose":
        return _described_pose(recipe, name, stated)
    notes = []
    classes = _classes(recipe.network)
    labels = stated.labels if stated.labels is not None else recipe.labels
    palette = stated.palette if stated.palette is not None else recipe.palette
    if stated.labels is not None and stated.palette is None and stated.labels != recipe.labels:
        palette = None
    is_named = recipe.dataset is not None and recipe.dataset.classes != ()
    named = _layouts.class_names(recipe.dataset.type) if recipe.dataset is not None and is_named else ()
    if labels is None and len(named) == classes:
        labels = named
    if labels is None:
        labels = ("background", "class_1") if classes == 1 else tuple(f"class_{index}" for index in range(classes))
        notes.append(f"{len(labels)} labels numbered, as nothing names them (--labels does)")
    if classes == 1 and len(labels) == 1:
        labels, palette = ("background", *labels), ((0, 0, 0), *palette) if palette else None
    if len(labels) != max(classes, 2 if classes == 1 else 1):
        raise BadConfigError(
            f"the network tells {max(classes, 2)} classes apart, but {len(labels)} labels are given: "
            f"{', '.join(labels[:5])}{' …' if len(labels) > 5 else ''}. Name all of them: --labels.",
            field="labels",
        )
    windows = stated.slide
    if windows is None and isinstance(recipe.inference, SlideInference):
        windows = Slide(recipe.inference.crop_hw, recipe.inference.stride_hw)
        (height, width), (down, across) = windows.crop_hw, windows.stride_hw
        notes.append(f"sliding windows of {height}x{width}, {down}x{across} apart, as the configuration tests")
    if not recipe.augment.is_plain:
        ratios = ",".join(f"{ratio:g}" for ratio in recipe.augment.ratios)
        notes.append(f"the configuration tests with ratios {ratios}{', mirrored too' if recipe.augment.flip else ''}")
    described = SpecFile(
        labels=labels,
        palette=palette,
        preprocess=stated.preprocess or recipe.preprocess,
        task="segmentation",
        decode=stated.decode or recipe.decode,
        evaluation=stated.evaluation or _evaluation(recipe, labels),
        channels=_channels(recipe.network),
        slide=windows,
    )
    return described.model(name), tuple(notes)


def _described_pose(recipe: Recipe, name: str, stated: Stated) -> tuple[ModelSpec, tuple[str, ...]]:
    """The same of a pose network, whose one class are people."""
    for value, field in ((stated.labels, "labels"), (stated.slide, "slide")):
        if value is not None:
            raise BadConfigError(f"a pose network finds people: it has no {field} to state.", field=field)
    assert isinstance(recipe.decode, PoseDecode)
    notes = []
    if not recipe.augment.is_plain:
        notes.append(f"the configuration tests with ratios {','.join(f'{each:g}' for each in recipe.augment.ratios)}")
    outputs = recipe.network.get(networks.SELECTED) or (0,)
    # Others of the framework's data sets are measured by rules of their own.
    by_coco = recipe.dataset is not None and recipe.dataset.type in ("BottomUpCocoDataset", "BottomUpMhpDataset")
    by_coco = by_coco and (recipe.decode.skeleton or COCO).sigmas != ()
    described = SpecFile(
        labels=("person",),
        palette=(_PERSON_RGB,),
        preprocess=stated.preprocess or recipe.preprocess,
        task="pose",
        decode=stated.decode or recipe.decode,
        evaluation=stated.evaluation or (Evaluation("coco_keypoints", "coco_keypoints") if by_coco else None),
        outputs=networks.output_names(len(outputs)),
    )
    return described.model(name), tuple(notes)


def _evaluation(recipe: Recipe, labels: tuple[str, ...]) -> Evaluation | None:
    """The data set that the configuration tests on, with its folders where it names them.

    A class of somebody's own is read as the framework's data set of folders.
    """
    if recipe.dataset is None:
        return None
    kind, layout = recipe.dataset.type, recipe.dataset.layout
    named = _layouts.class_names(kind)
    if named and not set(labels) <= set(named):
        return None
    if not named and layout is None:
        return None
    return Evaluation(kind if _layouts.is_configured(kind) else _OWN_FOLDERS, "iou", layout=layout)


def _classes(network: Mapping[str, Any]) -> int:
    """Planes of the network's logits."""
    head = recipes.deciding_head(network) or {}
    count = head.get("out_channels") or head.get("num_classes")
    if not isinstance(count, int) or count < 1:
        raise BadConfigError(f"model.decode_head.num_classes must be a whole number, got {count!r}.", field="config")
    return count


def _channels(network: Mapping[str, Any]) -> int:
    backbone = network.get("backbone")
    count = backbone.get("in_channels", 3) if isinstance(backbone, Mapping) else 3
    return count if isinstance(count, int) else 3
