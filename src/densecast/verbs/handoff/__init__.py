"""Everything around a vendor's card but the card itself: inputs for its tools, a stand-in for it, and its results."""

from __future__ import annotations

from densecast.verbs.handoff.collect import Collected, collect
from densecast.verbs.handoff.package import Handoff, open_handoff
from densecast.verbs.handoff.prepare import PrepareOptions, prepare
from densecast.verbs.handoff.stand_in import rehearse

__all__ = ["Collected", "Handoff", "PrepareOptions", "collect", "open_handoff", "prepare", "rehearse"]
