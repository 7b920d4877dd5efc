"""Options of runs that keep a record of every image: where records go, which errors are allowed, and who computes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields

from densecast.errors import UsageError
from densecast.spec import choices
from densecast.spec.options import option

_STORE = "Records of every image (--store)"
_SHARD = re.compile(r"(\d+)/(\d+)")
_RAY = re.compile(r"ray(?::(.+))?")


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Where a run's records go, and how it goes on.

    `store` is a folder or a URL as `s3://bucket/run`; None for no records, and then all else is without effect.
    `max_errors` is a number of images, or a share of them as `1%`, that may fail before the run stops. `on` is `local`,
    `ray`, or `ray:ADDRESS` of a cluster. `shard` K/N computes the K-th of N parts of the images, told by their ids.
    `shard_size` is the number of images that are recorded at a time; None for as many as take half a minute.
    """

    store: str | None = option(
        None,
        "Folder or URL for a record of every image. Recorded images are not computed again: repeat a "
        "command to continue.",
        group=_STORE,
    )
    retry_failed: bool = option(False, "Try images again that failed before.", group=_STORE)
    max_errors: str = option(
        "0", "How many images may fail before the run stops: a number, or a share such as 1%.", group=_STORE
    )
    keep_predictions: bool = option(False, "Keep the predictions in the records as well.", group=_STORE)
    on: str = option("local", "Where to compute: local, ray, or ray:ADDRESS of a cluster.", group=_STORE)
    shard: str | None = option(
        None, "K/N: compute only the K-th of N parts; densecast merge combines them.", group=_STORE
    )
    shard_size: int | None = option(
        None, "Number of images recorded at a time; default: half a minute's worth.", group=_STORE, minimum=1
    )

    def __post_init__(self) -> None:
        """Check every form, and that nothing is asked for that needs a store.

        Raises:
            UsageError: a form that stands for nothing, or an option without effect.
        """
        choices.types_of(self)
        if self.store is None:
            plain = {each.name: each.default for each in fields(self)}
            idle = next((name for name, default in plain.items() if getattr(self, name) != default), None)
            if idle is not None:
                raise UsageError(f"{idle} has an effect on runs that keep records only: name a --store.", field=idle)
        elif not self.store.strip():
            raise UsageError("a store is a folder or a URL; the name is empty.", field="store")
        self.allowed_errors(1)
        if not (self.on == "local" or _RAY.fullmatch(self.on)):
            raise UsageError(f"on must be local, ray or ray:ADDRESS, got {self.on!r}.", field="on")
        if self.shard is not None:
            parts = _SHARD.fullmatch(self.shard)
            if not parts or not 1 <= int(parts[1]) <= int(parts[2]):
                raise UsageError(f"shard must be K/N with K from 1 to N, as 3/16, got {self.shard!r}.", field="shard")
            if self.on != "local":
                raise UsageError("shard divides the images by itself; a cluster does that on its own.", field="shard")
        if self.shard_size is not None and self.shard_size < 1:
            raise UsageError(f"shard_size must be at least 1, got {self.shard_size}.", field="shard_size")
        choices.check(self)

    def allowed_errors(self, images: int) -> int:
        """How many of so many images may fail.

        >>> StoreOptions("run", max_errors="2.5%").allowed_errors(1000)
        25

        Raises:
            UsageError: neither a number nor a share.
        """
        text = self.max_errors.strip()
        try:
            number = float(text.removesuffix("%"))
        except ValueError:
            number = math.nan
        is_share = text.endswith("%")
        if not number >= 0 or math.isinf(number) or (is_share and number > 100) or (not is_share and number % 1):
            raise UsageError(
                f"max_errors must be a number of images or a share of them, as 10 or 1%, got {self.max_errors!r}.",
                field="max_errors",
            )
        return math.floor(number * images / 100) if is_share else int(number)

    @property
    def part(self) -> tuple[int, int] | None:
        """K and N of `shard`, from 1."""
        parts = _SHARD.fullmatch(self.shard or "")
        return (int(parts[1]), int(parts[2])) if parts else None

    @property
    def ray_address(self) -> str | None:
        """The cluster's address; "" for one that Ray finds or starts; None where Ray is not asked for."""
        parts = _RAY.fullmatch(self.on)
        return None if parts is None else parts[1] or ""
