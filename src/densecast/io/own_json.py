"""Knows the results that densecast wrote as JSON by their keys, so that nothing else is written over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from densecast.errors import UsageError

_MOST_BYTES = 1 << 30

_REPORT = {"rows", "parity", "spec", "summary"}
# Keys of a command's result that, together, no other program writes.
_OBJECTS = (
    {"format", "precision", "score"},  # evaluate, merge, handoff collect
    {"format", "precision", "results"},  # infer
    {"format", "store", "shard", "done"},
    {"format", "samples_ms", "stages"},  # benchmark
    {"format", "artifact", "key", "kind"},  # export, build
    {"format", "artifacts", "wheels"},  # bundle
    {"format", "problems", "layout", "splits"},  # data check
    {"format", "baseline", "candidate", "changed"},  # compare results, of stores
    {"format", "receiver", "model_file"},  # export-to
    {"format", "output_form", "output_shapes", "target"},  # handoff prepare
    {"format", "macs", "parameters", "origin"},  # info
    {"format", "store", "worst"},  # report of a store
    {"format", "metric", "runs", "entries"},  # report of several runs
    _REPORT,  # run, demo, report
    {"artifact", "built", "half_type"},  # report of a build
    {"artifact", "checks", "seconds"},  # verify
    {"backends", "cpu_targets", "extras"},  # doctor
    {"checkpoint", "example_size_hw", "has_graph"},  # models NAME
)
# Results of few keys are known only by having no others.
_SMALL = ({"outputs", "tool"}, {"artifacts"}, {"url", "models"})
_ITEMS = (
    {"title", "candidate", "reference", "max_error"},  # compare
    {"baseline", "candidate", "worse", "allowed"},  # compare results
    {"kind", "layer", "node", "advice"},  # diagnose
)
_PERSON = ["image_id", "category_id", "keypoints", "score"]


def refuse_others(path: Path, field: str, *, is_people: bool = False) -> None:
    """Refuse to replace a file that is no result of densecast's; one that is empty, as `mktemp` makes it, may be.

    `is_people`: what is to be written is COCO's list of people.

    Raises:
        UsageError: it is another program's, or the user's.
    """
    if not path.is_file() or path.stat().st_size == 0:
        return
    try:
        text = path.read_text(encoding="utf-8") if path.stat().st_size <= _MOST_BYTES else ""
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is there already, and holds no JSON. Name another file.", field=field) from None
    if not (_is_people(found, text) if is_people else _is_own(found)):
        raise UsageError(f"{path} is there already, and densecast did not write it. Name another file.", field=field)


def is_report(path: Path) -> bool:
    """Whether a file is the report of a run."""
    try:
        found = json.loads(path.read_bytes()) if path.stat().st_size <= _MOST_BYTES else None
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.keys() >= _REPORT


def _is_own(found: Any) -> bool:
    """Whether this is what `--json` writes."""
    if isinstance(found, list):
        return all(isinstance(each, dict) and any(keys <= each.keys() for keys in _ITEMS) for each in found)
    if not isinstance(found, dict):
        return False
    of_models = bool(found) and all(isinstance(each, dict) and _is_known(each) for each in found.values())
    return of_models or _is_known(found) or found.keys() in _SMALL


def _is_known(found: dict[str, Any]) -> bool:
    return any(keys <= found.keys() for keys in _OBJECTS)


def _is_people(found: Any, text: str) -> bool:
    """Whether this is what `--results` writes: COCO's list of people, which others lay out in other ways."""
    is_list = isinstance(found, list) and all(isinstance(each, dict) and [*each] == _PERSON for each in found)
    return is_list and text == json.dumps(found) + "\n"
