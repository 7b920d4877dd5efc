"""Which models a run builds, checked with all that they need before anything is made."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from densecast.artifact import FloatArtifact
from densecast.backends._base import BACKENDS
from densecast.errors import BackendMissingError, Lacking, MissingExtraError, UsageError
from densecast.measure.data_source import metric_of
from densecast.report.page import require_jinja
from densecast.spec.precision import PRECISIONS, Precision, short
from densecast.verbs.builder import require
from densecast.verbs.builder.compile_plan import INT8
from densecast.verbs.reproduce import model
from densecast.zoo._base import ZooEntry

if TYPE_CHECKING:
    from densecast.verbs.export.sources import Exportable
    from densecast.verbs.reproduce import RunOptions

Build = tuple[str, Precision]


def combinations(
    source: Exportable | FloatArtifact, said: model.Described, entry: ZooEntry | None, options: RunOptions
) -> tuple[list[Build], list[str]]:
    """The builds of a run by backend and precision, and what is to be said of those left out.

    Raises:
        MissingExtraError: names every extra that is needed and not installed.
        UsageError, BackendMissingError: something that no installation could build.
    """
    lacking = Lacking()
    builds, left_out = note_extras(lacking, options)
    with lacking.noted():
        model.require_extras(source, said, options.export)
    if options.max_drop is not None and INT8 not in _precisions(options):
        raise UsageError(
            "a largest drop limits what int8 models lose, and int8 is not among the precisions.", field="max_drop"
        )
    if entry is not None:
        entry.spec_for(options.export.variant)
        if entry.spec.evaluation is not None:
            with lacking.noted():
                metric_of(entry.spec)
    lacking.refuse()
    if not builds:
        raise BackendMissingError(" ".join(left_out))
    return builds, left_out


def note_extras(lacking: Lacking, options: RunOptions) -> tuple[list[Build], list[str]]:
    """Note what the report and the builds of a run lack, whatever the network; returns those, and words on others.

    Raises:
        UsageError, BackendMissingError: as `combinations`.
    """
    with lacking.noted():
        require_jinja()
    builds: list[Build] = []
    left_out: list[str] = []
    for backend, precision in itertools.product(options.backends, _precisions(options)):
        try:
            require(replace(options.build, backend=backend, precision=precision))
        except (MissingExtraError, BackendMissingError) as error:
            if options.skip_missing:
                left_out.append(f"{backend} {short(precision)} was not built: {error}")
                continue
            if isinstance(error, BackendMissingError):
                raise
            lacking.note(error)
        builds.append((backend, precision))
        kinds = BACKENDS.load(backend).traits.device_kinds
        if options.device and options.device.partition(":")[0] not in kinds:
            raise UsageError(
                f"backend {backend!r} runs on {', '.join(kinds)}, not on {options.device!r}.", field="device"
            )
    return builds, left_out


def with_images(builds: Sequence[Build], options: RunOptions, *, has_images: bool) -> tuple[list[Build], list[str]]:
    """The builds that are possible, and what is to be said of the others: int8 ranges come from the user's images.

    Raises:
        UsageError: int8 was asked for, and there are no images.
    """
    if has_images or not any(precision == INT8 for _, precision in builds):
        return list(builds), []
    if options.precisions is not None or options.max_drop is not None:
        raise UsageError("int8 needs images to set its ranges: name a folder of pictures (--data).", field="data")
    kept = [build for build in builds if build[1] != INT8]
    return kept, ["int8 was not built, for want of images to set its ranges: pass a folder of pictures (--data)."]


def _precisions(options: RunOptions) -> tuple[Precision, ...]:
    return PRECISIONS if options.precisions is None else options.precisions
