"""What the options of an export say of the model itself: its name and its sliding windows."""

from __future__ import annotations

from dataclasses import replace

from densecast.runtime import cell_server
from densecast.spec import slide
from densecast.spec.model import ModelSpec
from densecast.spec.verb_options import ExportOptions
from densecast.tasks._base import TASKS, check_slide
from densecast.tasks.segmentation import resized_twice


def with_options(spec: ModelSpec, options: ExportOptions) -> ModelSpec:
    """The spec with the name and the sliding windows that the options ask for.

    Raises:
        BadConfigError: windows that this model cannot have.
    """
    if options.name is not None:
        spec = replace(spec, name=options.name)
    if options.slide is not None:
        # Logits of windows are averaged at the network's size.
        spec = resized_twice(replace(spec, slide=slide.of(options.slide, options.stride)))
    return checked(spec)


def checked(spec: ModelSpec) -> ModelSpec:
    """The spec, after a check that its task and sliding windows can be, now that more is known of it.

    A confined process leaves that to who has asked it: it may not know the task.

    Raises:
        BadConfigError: they cannot.
        BadGraphError: the network's outputs are not what the task needs.
    """
    if not cell_server.is_inside():
        task = TASKS.load_trusted(spec.task)
        task.check(spec)
        if spec.slide is not None:
            check_slide(spec, task)
    return spec
