"""Everything around a vendor's card but the card itself: inputs for its tools, a simulator of it, and its results."""

from __future__ import annotations

from densecast.verbs.handoff.collect import collect
from densecast.verbs.handoff.package import Handoff, open_handoff
from densecast.verbs.handoff.prepare import PrepareOptions, prepare
from densecast.verbs.handoff.simulator import simulate

__all__ = ["Handoff", "PrepareOptions", "collect", "open_handoff", "prepare", "simulate"]
