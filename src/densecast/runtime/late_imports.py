"""Imports OpenVINO, numba and NNCF without what they load only for what nobody may call.

OpenVINO brings its converter of other frameworks' models along, and numba looks for SciPy's linear algebra, for a YAML
reader and for coverage.py: together a third of a second of every new process. NNCF imports PyTorch, if it is there, and
asks it of every model: seconds of a build. A stand-in is there while they are imported, and gone afterwards; whoever
calls the converter, compiles a product of matrices, or quantises a model of PyTorch's, gets the real one then.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

_CONVERTER, _BLAS = "openvino.tools.ovc", "scipy.linalg.cython_blas"
_ARRAY_FUNCTIONS = "numba.np.arraymath"
# For a configuration file that hardly anybody has, and for what is measured of compiling.
_NAMED_BY_NUMBA = ("yaml", "coverage")
_TORCH_PARTS = tuple(f"nncf.tensor.functions.torch_{part}" for part in ("io", "linalg", "numeric"))
_NNCF_FOR_TORCH = "nncf.torch"
_guard, _giving_way = threading.RLock(), threading.Lock()


def openvino() -> Any:
    """The package `openvino`, whose `convert_model` is imported when it is called.

    Raises:
        ImportError: it is not installed, or cannot be loaded.
    """
    if "openvino" in sys.modules:
        return importlib.import_module("openvino")  # waits for a thread that is importing it
    converter = _empty(_CONVERTER)
    converter.convert_model = _convert_model
    with _instead(_CONVERTER, converter):
        return importlib.import_module("openvino")


def numba() -> Any:
    """The package `numba`; what it only names is imported when it is used."""
    with contextlib.ExitStack() as stack:
        for name in _NAMED_BY_NUMBA if "numba" not in sys.modules else ():
            if name not in sys.modules and importlib.util.find_spec(name) is not None:
                stack.enter_context(_instead(name, _named(name)))
        return importlib.import_module("numba")


def numba_array_functions() -> None:
    """Import numba's array functions, which the first call of any compiled kernel does, without SciPy."""
    if _ARRAY_FUNCTIONS in sys.modules or importlib.util.find_spec("scipy") is None:
        return
    with _instead(_BLAS, _empty(_BLAS)):
        importlib.import_module(_ARRAY_FUNCTIONS)


def nncf() -> Any:
    """The package `nncf`; what it has for PyTorch is imported when it quantises a model of PyTorch's.

    Raises:
        ImportError: it is not installed, or cannot be loaded.
    """
    if "nncf" in sys.modules or "torch" in sys.modules:
        return importlib.import_module("nncf")
    with contextlib.ExitStack() as stack:
        for name in _TORCH_PARTS:
            stack.enter_context(_instead(name, None))
        found = importlib.import_module("nncf")
    sys.meta_path.insert(0, _PartsForTorch())
    backend = importlib.import_module("nncf.common.utils.backend")
    for name in ("is_torch_model", "is_torch_fx_model"):
        if (asked := getattr(backend, name, None)) is not None:
            setattr(backend, name, _once_torch_is_there(asked))
    return found


def _named(name: str) -> Any:
    """A module for a package that is imported when something of it is used; until then it has but a name."""
    stand_in = _empty(name)

    def of_the_package(attribute: str) -> Any:
        with _giving_way:
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]
        return getattr(importlib.import_module(name), attribute)

    stand_in.__getattr__ = of_the_package
    return stand_in


def _once_torch_is_there(asked: Any) -> Any:
    """The question whether a model is one of PyTorch's, which none is before anybody has imported that."""

    def answer(model: Any) -> bool:
        return "torch" in sys.modules and bool(asked(model))

    return answer


class _PartsForTorch:
    """Imports NNCF's functions for tensors of PyTorch's just before the rest of what it has for PyTorch."""

    def __init__(self) -> None:
        self._is_done = False

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> None:
        """Never finds a module; leaves that to the others."""
        if name == _NNCF_FOR_TORCH and not self._is_done:
            self._is_done = True
            with contextlib.suppress(ImportError):  # NNCF goes without them, too
                for part in _TORCH_PARTS:
                    importlib.import_module(part)


def _convert_model(*given: Any, **named: Any) -> Any:
    """Convert a model of another framework by OpenVINO's converter."""
    return importlib.import_module(_CONVERTER).convert_model(*given, **named)


def _empty(name: str) -> Any:
    """A module with nothing in it."""
    return importlib.util.module_from_spec(importlib.machinery.ModuleSpec(name, None))


@contextlib.contextmanager
def _instead(name: str, module: Any) -> Iterator[None]:
    """Have a module, or with None an ImportError, stand for one that is not loaded yet, during the block."""
    with _guard:
        is_there = name in sys.modules
        if not is_there:
            sys.modules[name] = module
        try:
            yield
        finally:
            if not is_there and sys.modules.get(name) is module:
                sys.modules.pop(name, None)
