"""Imported by a process, takes the filter of system calls from it, as on a kernel or processor that has none."""

from __future__ import annotations

from densecast.runtime import confinement

confinement.has_seccomp = lambda: False
