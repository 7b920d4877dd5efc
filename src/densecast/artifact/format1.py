"""Reads format 1 manifests (densecast 0.1) by renaming their fields to those of format 2.

Only names have changed, so every artifact of format 1 can be opened: what it computes is in its other files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Plain = dict[str, Any]

_SPEC = {"keep_float_types": "excluded_types", "keep_float_names": "excluded_names", "sixteen_bit": "half_type"}
_QUANTIZE = {
    "estimator": "calibration_method",
    "ignored_types": "excluded_types",
    "ignored_names": "excluded_names",
}
_BUILD = {"sixteen_bit": "half_type", "rewrites": "graph_passes"}
_CALIBRATION = {"estimator": "calibration_method"}
_TUNING = {"asked": "options"}
_TUNING_TRIAL = {
    "against": "baseline",
    "needed": "required_ratio",
    "duel": "timing",
    "taken": "accepted",
    "remembered": "from_cache",
}
_TIMING = {"champion": "baseline", "challenger": "candidate", "turns": "rounds"}
_SEARCH = {"asked": "options", "front": "pareto_front", "kept_promise": "within_limit"}
_SEARCH_TRIAL = {"kept": "half_layers"}
_PASSES = {"swap_sides": "transpose_hw", "pixels_as_rows": "channels_last_matmul"}
# What a manifest of either kind holds no more, because it says nothing about that kind.
_COMPILED_ONLY = (
    "parent",
    "build",
    "calibration",
    "precision_asked",
    "precision_ran",
    "settings",
    "build_seconds",
    "search",
    "tuning",
)


def upgraded(manifest: Plain) -> Plain:
    """Convert a manifest of format 1 to format 2. Anything unknown is left for the reader to refuse."""
    plain = _renamed(manifest, {"evidence": "measurements"})
    plain["format"] = 2
    _change(plain, "spec", _spec)
    if plain.get("kind") == "float":
        for name in _COMPILED_ONLY:
            plain.pop(name, None)
        return plain
    _change(plain, "build", _build)
    _change(plain, "calibration", lambda each: _renamed(each, _CALIBRATION))
    _change(plain, "tuning", _tuning)
    _change(plain, "search", _search)
    return plain


def _spec(spec: Plain) -> Plain:
    """One input and one output become lists."""
    plain = _renamed(spec, _SPEC)
    for one, several in (("input", "inputs"), ("output", "outputs")):
        if one in plain:
            plain[several] = [plain.pop(one)]
    return plain


def _build(build: Plain) -> Plain:
    plain = _with_passes(_renamed(build, _BUILD))
    _change(plain, "quantize", lambda each: _renamed(each, _QUANTIZE))
    return plain


def _setting(setting: Plain) -> Plain:
    return _with_passes(_renamed(setting, _BUILD))


def _tuning(tuning: Plain) -> Plain:
    def trial(each: Plain) -> Plain:
        plain = _renamed(each, _TUNING_TRIAL)
        _change(plain, "setting", _setting)
        _change(plain, "baseline", _setting)
        _change(plain, "timing", lambda timing: _renamed(timing, _TIMING))
        return plain

    plain = _renamed(tuning, _TUNING)
    _change(plain, "winner", _setting)
    _change_all(plain, "trials", trial)
    return plain


def _search(search: Plain) -> Plain:
    plain = _renamed(search, _SEARCH)
    _change_all(plain, "trials", lambda each: _renamed(each, _SEARCH_TRIAL))
    return plain


def _renamed(plain: Plain, names: dict[str, str]) -> Plain:
    return {names.get(key, key): value for key, value in plain.items()}


def _with_passes(plain: Plain) -> Plain:
    names = plain.get("graph_passes")
    if isinstance(names, list):
        plain["graph_passes"] = [_PASSES.get(name, name) for name in names]
    return plain


def _change(plain: Plain, key: str, change: Callable[[Plain], Plain]) -> None:
    if isinstance(plain.get(key), dict):
        plain[key] = change(plain[key])


def _change_all(plain: Plain, key: str, change: Callable[[Plain], Plain]) -> None:
    if isinstance(plain.get(key), list):
        plain[key] = [change(each) if isinstance(each, dict) else each for each in plain[key]]
