"""Handoff to a vendor's device: prepare inputs for its tools, simulate it, collect and score its outputs."""

from __future__ import annotations

from densecast.spec.handoff_options import PrepareOptions
from densecast.verbs.handoff.collect import collect
from densecast.verbs.handoff.package import Handoff, open_handoff
from densecast.verbs.handoff.prepare import prepare
from densecast.verbs.handoff.simulator import simulate

__all__ = ["Handoff", "PrepareOptions", "collect", "open_handoff", "prepare", "simulate"]
