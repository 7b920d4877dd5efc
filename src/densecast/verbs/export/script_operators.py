"""Holds a TorchScript file's operators against a list of those that compute, before anything of it runs.

A script is a program: loading it runs what its classes' `__setstate__` says, and torch has operators that read and
write files. So its source in the archive is read first, without torch's loader, and once loaded the graphs of all
methods are walked.
"""

from __future__ import annotations

import ast
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from densecast.errors import BadGraphError
from densecast.verbs.export import own_copy

_MAX_SOURCE_BYTES = 64 << 20
_SHOWN = 5

# An operator reaches out of the process through a text (a file, a host) or an object that stands for something outside.
# Of the operators that take a text, these take the name of a mode, or work on the text itself.
_WITH_TEXT = """
    Delete Float Int __contains__ __getitem__ __interpolate __upsample _assert_async _assert_scalar
    _convolution_mode _functional_assert_async _functional_assert_scalar _linalg_check_errors _linalg_eigh
    _linalg_svd _set_item add any capitalize center clear conv1d conv2d conv3d copy count device dict div div_
    divide divide_ einsum endswith eq expandtabs fft_fft fft_fft2 fft_fftn fft_hfft fft_hfft2 fft_hfftn fft_ifft
    fft_ifft2 fft_ifftn fft_ihfft fft_ihfft2 fft_ihfftn fft_irfft fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftn
    find format ge gelu gelu_ get get_autocast_dtype gt index index_reduce index_reduce_ isalnum isalpha isdecimal
    isdigit isidentifier islower isnumeric isprintable isspace istitle isupper items join keys le len linalg_cond
    linalg_eigh linalg_eigvalsh linalg_lstsq linalg_matrix_norm linalg_norm linalg_qr linalg_svd linalg_svdvals list
    ljust lower lstrip lt meshgrid nanquantile ne ord pad pad_sequence partition percentFormat pop popitem quantile
    remove replace rfind rindex rjust rpartition rsplit rstrip scatter scatter_ scatter_reduce scatter_reduce_
    searchsorted segment_reduce setdefault slice sort sorted split splitlines startswith stft strip swapcase title
    upper update values warn zfill
"""
_OUTSIDE = ("RRef", "Future", "Await", "Stream", "Storage", "PyObject", "torch.classes")
# Namespaces of compute operators only; those of `torchvision` exist once it is installed and imported.
_COMPUTES = ("quantized", "torchvision")
_PRIM = """
    AutogradAdd AutogradZero CallFunction CallMethod Closure Constant ConstantChunk CreateObject DictConstruct
    EnumName EnumValue GetAttr If ListConstruct ListUnpack Loop ModuleContainerIndex NumToTensor Param Print
    RaiseException Return SetAttr StringIndex TupleConstruct TupleIndex TupleSlice TupleUnpack Uninitialized abs
    data device dtype grad id index is_cpu is_cuda is_ipu is_maia is_meta is_mkldnn is_mps is_mtia is_nested
    is_quantized is_sparse is_sparse_csr is_vulkan is_xla is_xpu isinstance itemsize layout max min name nbytes
    rangelist requires_grad tolist type unchecked_cast unchecked_unwrap_optional
"""


def check_source(path: Path) -> None:
    """Check the operators in the source that a TorchScript archive holds; other files are left to torch's loader.

    Raises:
        BadGraphError: an operator that no network needs, or source that cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if "/code/" in f"/{name}" and name.endswith(".py")]
            if sum(archive.getinfo(name).file_size for name in names) > _MAX_SOURCE_BYTES:
                raise BadGraphError(f"{path} holds more than {_MAX_SOURCE_BYTES >> 20} MiB of TorchScript source.")
            texts = [archive.read(name).decode() for name in names]
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, KeyError, NotImplementedError, EOFError):
        return
    used: set[str] = set()
    for text in texts:
        try:
            used.update(_called(ast.parse(text)))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise BadGraphError(f"{path} holds source that is no TorchScript ({type(error).__name__}).") from None
    _refuse(used, path)


def check(module: Any, path: Path) -> None:
    """Check the operators of all methods of a loaded module and of all modules in it.

    Raises:
        BadGraphError: an operator that no network needs.
    """
    used: set[str] = set()
    for each in module.modules():
        for name in each._c._method_names():
            used.update(_operators(each._c._get_method(name).inlined_graph))
    _refuse(used, path)


def _refuse(used: set[str], path: Path) -> None:
    refused = sorted(name for name in used if not _is_allowed(name))
    if any(name.startswith("quantized::") for name in used):
        raise BadGraphError(own_copy.QUANTISED_WORDS.format(path))
    if refused:
        raise BadGraphError(f"{path} holds operators that no network needs: {', '.join(refused[:_SHOWN])}.")


def _operators(graph: Any) -> Iterator[str]:
    waiting = [graph]
    while waiting:
        for node in waiting.pop().nodes():
            yield node.kind()
            waiting.extend(node.blocks())
            waiting.extend(node.g(name) for name in node.attributeNames() if node.kindOf(name) == "g")


def _called(tree: ast.AST) -> Iterator[str]:
    """Operators as serialised source writes them: `torch.name(…)` and `ops.namespace.name(…)`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        inner = node.value
        if isinstance(inner, ast.Name) and inner.id == "torch":
            yield f"aten::{node.attr}"
        elif isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id == "ops":
            yield f"{inner.attr}::{node.attr}"


def _is_allowed(operator: str) -> bool:
    import torch

    namespace, _, name = operator.partition("::")
    if namespace == "prim":
        return name in _PRIM.split()
    if namespace in _COMPUTES:
        return True
    if namespace != "aten":
        return False
    schemas = torch._C._jit_get_schemas_for_operator(operator)
    types = {str(argument.type) for schema in schemas for argument in schema.arguments}
    if any(mark in each for each in types for mark in _OUTSIDE):
        return name in ("set_", "dequantize", "eq", "ne", "len")  # overloads of operators that compute
    return name in _WITH_TEXT.split() or not any("str" in each for each in types)
