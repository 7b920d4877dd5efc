"""PyTorch compiled in int8: see `compiled_torch`."""

from __future__ import annotations

from contenders.compiled_torch import CompiledTorch
from contenders.job import Job


def enter(job: Job) -> CompiledTorch:
    return CompiledTorch(job, is_int8=True)
