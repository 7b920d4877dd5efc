"""In which order mixtures of int8 and 16 bits are tried: few of them, the likeliest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from densecast.artifact.search_record import Trial

Bundle = tuple[str, ...]
Kept = frozenset[str]
Attempt = Callable[[Kept], Trial]

# A layer cheaper than this share of the dearest one is as good as free: its cost is below what timing can tell.
_LEAST_COST = 0.02
# Below this speed a mixture is slower than 16 bits, whatever timing may err by, and more of them are only slower.
_PAYS = 0.9
# Of two models this near in speed, the one that loses less is taken.
TIE = 0.02


def explore(
    cost_ms: Mapping[str, float],
    sensitivity: Callable[[], Mapping[Bundle, float]],
    attempt: Attempt,
    points: float,
) -> None:
    """Try mixtures until there is none left that looks better.

    `cost_ms` is the time that leaving a layer in 16 bits takes, empty where it cannot be told; `sensitivity` finds
    bundles of layers, and the share of the int8 model's error that leaving each in 16 bits takes away: it is asked only
    if it has to be. `attempt` measures and remembers, and raises to stop the search.

    1. Everything in int8, then with those layers in 16 bits which int8 does not even make faster.
    2. Unless one of them keeps the promise: layers by gain for their cost are added, 1, 2, 4, 8, …, until it is kept
       or int8 no longer pays, then halving back to the fewest; then likewise by gain alone.
    3. From the fastest one that keeps it, the layers that cost most are given back to int8 one by one.
    """
    free = frozenset(layer for layer, cost in cost_ms.items() if cost <= 0)
    tried = {kept: attempt(kept) for kept in dict.fromkeys((frozenset[str](), free))}
    keeping = [trial for trial in tried.values() if trial.keeps(points)]
    if keeping:
        return
    base: Kept = free if tried[free].speed >= tried[frozenset()].speed * (1 - TIE) else frozenset()
    gain = {bundle: gained for bundle, gained in sensitivity().items() if gained > 0 and not base.issuperset(bundle)}
    cost = {bundle: sum(cost_ms.get(layer, 0.0) for layer in bundle) for bundle in gain}
    dearest = max(cost.values(), default=0.0)

    def worth(bundle: Bundle) -> float:
        return gain[bundle] / max(cost[bundle], _LEAST_COST * dearest, 1e-9)

    by_worth, by_gain = (sorted(gain, key=key, reverse=True) for key in (worth, gain.__getitem__))
    orders = [by_worth] if by_worth == by_gain else [by_worth, by_gain]
    kept = [each for order in orders if (each := _fewest(base, order, attempt, points)) is not None]
    if kept:
        found = max(kept, key=lambda trial: trial.speed)
        dear = sorted((bundle for bundle in gain if cost[bundle] >= 0), key=cost.__getitem__, reverse=True)
        _give_back(found, dear, attempt, points)


def _fewest(base: Kept, order: Sequence[Bundle], attempt: Attempt, points: float) -> Trial | None:
    """The shortest beginning of `order` found to keep the promise; None where none does before int8 stops paying."""

    def with_first(count: int) -> Trial:
        return attempt(base.union(*order[:count]))

    low, count, found = 0, 1, None
    while found is None and low < len(order):
        count = min(count, len(order))
        trial = with_first(count)
        if trial.keeps(points):
            found = trial
        elif trial.speed < _PAYS and count > 1:
            return None
        else:
            low, count = count, 2 * count
    high = count
    while found is not None and high - low > 1:
        middle = (low + high) // 2
        trial = with_first(middle)
        if trial.keeps(points):
            found, high = trial, middle
        else:
            low = middle
    return found


def _give_back(found: Trial, dear: Sequence[Bundle], attempt: Attempt, points: float) -> None:
    """Return bundles to int8, the dearest first, as long as the promise is kept and it is no slower."""
    for bundle in dear:
        if not set(found.kept).issuperset(bundle):
            continue
        trial = attempt(frozenset(found.kept) - set(bundle))
        if trial.keeps(points) and trial.speed >= found.speed * (1 - TIE):
            found = trial


def winner(trials: Sequence[Trial], wide: Trial, points: float) -> tuple[Trial | None, str]:
    """The fastest trial that keeps the promise, and why; None where no int8 model that does beats `wide`, 16 bits."""
    keeping = [trial for trial in trials if trial.keeps(points)]
    if not keeping:
        nearest = min(trials, key=lambda trial: trial.worst_drop, default=None)
        said = f"; the nearest, {nearest.name}, loses {nearest.drop}" if nearest else ""
        return None, f"no int8 model was shown to lose at most {points:g} points{said}"
    fastest = max(trial.speed for trial in keeping)
    near = [trial for trial in keeping if trial.speed >= fastest * (1 - TIE)]
    best = min(near, key=lambda trial: (trial.drop.high, len(trial.kept)))
    if best.speed < 1 - TIE:
        return None, f"int8 is slower here: {best.name} keeps the promise at {best.speed:.2f} times the 16-bit speed"
    beaten = len([trial for trial in trials if trial.speed > best.speed and not trial.keeps(points)])
    why = f"{best.speed:.2f} times as fast as 16 bits, the fastest that loses at most {points:g} points ({best.drop})"
    return best, why + (f"; {beaten} faster ones lose more, or may" if beaten else "")
