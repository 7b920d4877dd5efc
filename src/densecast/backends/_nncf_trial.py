"""Corrects biases in full in a process of its own first, where a crash in one of its pieces names the layer.

NNCF then runs pieces of the network, from a layer to the next ones, that nothing else runs: what fails in them may end
the process, and with it a build of an hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from densecast.backends import _trial
from densecast.errors import BadGraphError
from densecast.io import codec, files
from densecast.spec.options import QuantizeOptions
from densecast.spec.tensor import TensorSpec

if TYPE_CHECKING:
    from densecast.runtime.trial import EngineCrashError

_SIDE = 128
FUNCTION = "densecast.backends._nncf_trial:correct_fully"
# The same server's as for OpenVINO's other trials: NNCF is imported in the process that needs it.
_LIBRARIES = ("numpy", "densecast.backends._openvino_light", "densecast.backends._openvino_trial")
_passed: set[str] = set()


def check(path: Path, specs: Sequence[TensorSpec], options: QuantizeOptions) -> None:
    """Check that correcting the biases of the graph in `path` in full does not end the process that does it.

    What fails in words passes: it is told where it is used.

    Raises:
        BadGraphError: it does.
    """
    from densecast.runtime.trial import EngineCrashError

    run = _Run(path, tuple(specs), replace(options, calibration_method="minmax"))
    key = _trial.key(path, FUNCTION, specs, run.options)
    if key in _passed:
        return
    error = run.tried(None)
    if isinstance(error, EngineCrashError):
        raise BadGraphError(
            f"NNCF cannot correct biases in full on this CPU: it {_trial.told(error, run.first_that_crashes())}. "
            "Correct them layer by layer (fast), or not at all (none).",
            field="quantize.bias_correction",
        )
    _passed.add(key)


def correct_fully(payload: dict[str, Any], folder: Path) -> dict[str, str | None]:
    """In the process of its own: quantise the graph, or its first so many operators, for one made-up image.

    Returns `fault`, why that did not go to its end, in words, or None.
    """
    from densecast.backends import _nncf, _openvino_model, _openvino_trial
    from densecast.runtime import late_imports

    ov: Any = late_imports.openvino()
    model = ov.Core().read_model(payload["model"])
    if payload["operators"] is not None:
        model = _openvino_trial.beginning(ov, model, payload["operators"])
    rng = np.random.default_rng(0)
    feeds = {
        name: (rng.random(shape) * (255 if payload["types"][name] == "uint8" else 1)).astype(payload["types"][name])
        for name, shape in payload["shapes"].items()
    }
    options = codec.from_plain(payload["options"], QuantizeOptions, "the trial")
    try:
        _nncf.quantize(_openvino_model.folded(model), [feeds], options, full_weights=True)
    except Exception as error:  # libraries raise whatever a graph leads them to
        return {"fault": f"{type(error).__name__}: {error}"}
    return {"fault": None}


@dataclass(frozen=True, slots=True)
class _Run:
    """A graph, and how it is quantised in the process of its own."""

    path: Path
    specs: tuple[TensorSpec, ...]
    options: QuantizeOptions

    def tried(self, operators: int | None) -> EngineCrashError | None:
        """How the process ended with the graph, or with its first so many operators; None if it did not."""
        from densecast.runtime import trial

        model = files.real(self.path)
        payload = {
            "model": str(model),
            "operators": operators,
            "options": codec.to_plain(self.options),
            "shapes": {spec.name: spec.typical_shape(_SIDE) for spec in self.specs},
            "types": {spec.name: spec.dtype for spec in self.specs},
        }
        try:
            trial.run(FUNCTION, payload, subject="NNCF's model", readable=[model.parent], libraries=_LIBRARIES)
        except trial.EngineCrashError as error:
            return error
        return None

    def first_that_crashes(self) -> str | None:
        """The name of the operator with which a beginning of the network first ends the process."""
        from densecast.backends import _openvino_trial

        names = _openvino_trial.operator_names(self.path)
        return _trial.first_that_crashes(names, lambda count: self.tried(count) is not None)
