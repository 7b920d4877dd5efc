"""What a float graph answers, and what it answers with rounded weights: run once for all builds of the same graph."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from densecast.errors import BadGraphError
from densecast.graph import _quantised, _rounded
from densecast.io import files
from densecast.runtime import engine_words
from densecast.spec.precision import Precision
from densecast.spec.tensor import Array, Feeds, feeds_sha256


@dataclass(frozen=True, slots=True)
class _Form:
    """What is rounded, to how many bits."""

    kind: Literal["", "weights", "int8"]
    bits: int = 0


_AS_IT_IS = _Form("")
# The graph's hash, what is rounded, the outputs asked for, and the hash of the feeds.
_Key = tuple[str, _Form, tuple[str, ...], str]
# Every precision and engine of a run is compared with the same graph, on the same few images.
_MOST_BYTES = 1 << 26
_kept: OrderedDict[_Key, list[Array] | None] = OrderedDict()
_guard = threading.Lock()


class FloatGraph:
    """The float graph, or a rounded form of it, in ONNX Runtime; opened when an answer is not known already."""

    def __init__(self, path: Path, names: Sequence[str], form: _Form = _AS_IT_IS, content: str = "") -> None:
        self._path, self._names, self._form = path, tuple(names), form
        self._content = content or files.sha256(path)

    def __call__(self, feeds: Feeds) -> list[Array] | None:
        """The outputs (N, ...) for an input's feeds, in the order of the names, which nobody may write to.

        None where the graph has no such form: those with other types than float32 inside.
        """
        key = (self._content, self._form, self._names, feeds_sha256(feeds))
        with _guard:
            if key in _kept:
                return _kept[key]
        session = self._session
        found = [np.asarray(each) for each in session.run(list(self._names), feeds)] if session is not None else None
        _keep(key, found)
        return found

    def rounded(self, precision: Precision, bits: int) -> FloatGraph | None:
        """The graph with the rounding of a precision, of which 16-bit types have `bits` significant bits; else None."""
        if precision == "force_float32":
            return None
        form = _Form("weights", bits) if precision == "force_float16" else _Form("int8", 8)
        return FloatGraph(self._path, self._names, form, self._content)

    @functools.cached_property
    def is_quantised(self) -> bool:
        """Whether the graph itself has quantisers."""
        import onnx

        return _quantised.is_quantised(onnx.load(self._path, load_external_data=False))

    @functools.cached_property
    def _session(self) -> Any:
        if self._form == _AS_IT_IS:
            return _opened(str(self._path))
        import onnx

        model: Any = onnx.load(self._path)
        is_int8 = self._form.kind == "int8"
        with contextlib.suppress(BadGraphError), engine_words.as_ours("it has no rounded form"):
            made = _rounded.int8(model) if is_int8 else _rounded.weights_of_bits(model, self._form.bits)
            return _opened(made.SerializeToString()) if made is not None else None
        return None


def _opened(model: str | bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Of large images the arena would keep, and cut up, several times what is in use at any moment.
    options.enable_cpu_mem_arena = False
    # Threads that wait for the next image would take the CPUs of who makes it ready.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _keep(key: _Key, found: list[Array] | None) -> None:
    """Keep the last answers, as many as are small."""
    with _guard:
        _kept[key] = found
        while sum(array.nbytes for each in _kept.values() for array in each or ()) > _MOST_BYTES:
            _kept.popitem(last=False)
