"""Divides ids into shards, and finds the image to blame when workers die: no engine, no process, no clock."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PART_S = 30.0
"""What a shard should take: as much is lost when a process is killed."""

_FIRST, _MOST = 8, 2048
# A worker that dies may have been killed for reasons of its machine: once is no evidence.
_DEATHS = 2


@dataclass(frozen=True, slots=True)
class Shard:
    """Ids that are computed and recorded together; `deaths` is how many workers have died of them."""

    ids: tuple[str, ...]
    deaths: int = 0


class Shards:
    """Ids that wait for a worker.

    Without a `size`, shards grow until each takes `PART_S`, and shrink at the end so that `workers` end together; their
    number may change.
    """

    def __init__(self, ids: Iterable[str], size: int | None = None, workers: int = 1) -> None:
        self._waiting = deque(ids)
        self._again: deque[Shard] = deque()
        self._size, self.workers = size, workers
        self._seconds_per_image: float | None = None

    @property
    def left(self) -> int:
        """How many ids no worker has."""
        return len(self._waiting) + sum(len(shard.ids) for shard in self._again)

    def take(self) -> Shard | None:
        """The next shard; None if there is none."""
        if self._again:
            return self._again.popleft()
        count = min(len(self._waiting), self._size or self._fitting())
        return Shard(tuple(self._waiting.popleft() for _ in range(count))) if count else None

    def timed(self, shard: Shard, seconds: float) -> None:
        """Note how long a worker took for a shard."""
        self._seconds_per_image = seconds / max(1, len(shard.ids))

    def put_back(self, shard: Shard) -> None:
        """Return a shard that was not computed, through no fault of its own: its machine went away."""
        self._again.append(shard)

    def died(self, shard: Shard) -> str | None:
        """Return a shard whose worker died. The id to blame, if it is clear by now; else it is tried again.

        A shard that two workers have died of is halved, and so on, until one image has killed two workers alone.
        """
        deaths = shard.deaths + 1
        if deaths < _DEATHS:
            self._again.append(Shard(shard.ids, deaths))
            return None
        if len(shard.ids) == 1:
            return shard.ids[0]
        middle = len(shard.ids) // 2
        for half in (shard.ids[:middle], shard.ids[middle:]):
            # One more death is enough to halve it again; a single image has to die twice by itself.
            self._again.appendleft(Shard(half, _DEATHS - 1 if len(half) > 1 else 0))
        return None

    def _fitting(self) -> int:
        if self._seconds_per_image is None:
            return _FIRST
        fitting = int(PART_S / max(self._seconds_per_image, 1e-6))
        fair = -(-len(self._waiting) // (2 * self.workers)) if self.workers > 1 else fitting
        return max(1, min(fitting, fair, _MOST))


def part(ids: Sequence[str], place: int, parts: int) -> list[str]:
    """The ids of the `place`-th of so many parts, from 1, by their hash: the same whatever other ids there are.

    >>> [len(part([f"{n}" for n in range(1000)], place, 4)) for place in (1, 2, 3, 4)]
    [243, 254, 247, 256]
    """

    def number(sample_id: str) -> int:
        digest = hashlib.sha256(sample_id.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big")

    return [each for each in ids if number(each) % parts == place - 1]
