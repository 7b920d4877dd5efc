"""Decides the order in which mixed-precision configurations are tried, most promising first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from densecast.artifact.search_record import Trial

LayerGroup = tuple[str, ...]
# A mixed-precision configuration: the layers in half precision, all others being in int8.
HalfLayers = frozenset[str]
Measure = Callable[[HalfLayers], Trial]

# A layer cheaper than this share of the dearest one is as good as free: its cost is below what timing can tell.
_LEAST_COST = 0.02
# Below this speed a configuration is slower than 16 bits, whatever timing may err by; more half layers slow it further.
_PAYS = 0.9
# Of two models this near in speed, the one that loses less is taken.
TIE = 0.02


def explore(
    cost_ms: Mapping[str, float],
    sensitivity: Callable[[], Mapping[LayerGroup, float]],
    measure: Measure,
    points: float,
) -> None:
    """Try configurations until none is left that promises to be better.

    `cost_ms` is the time that leaving a layer in half precision takes, empty if unknown; `sensitivity`
    finds groups of layers, and the share of the int8 model's error that leaving each in half precision takes away: it
    is called only if it has to be. `measure` measures and remembers, and raises to stop the search.

    1. Everything in int8, then with those layers in half precision which int8 does not even make faster.
    2. Unless one of them is within `points`: groups by gain for their cost are added, 1, 2, 4, 8, …, until one is, or
       int8 no longer pays, then halving back to the fewest; then likewise by gain alone.
    3. From the fastest one that is within `points`, the groups that cost most are given back to int8 one by one.
    """
    free = frozenset(layer for layer, cost in cost_ms.items() if cost <= 0)
    first = {half_layers: measure(half_layers) for half_layers in dict.fromkeys((frozenset[str](), free))}
    if any(trial.is_within(points) for trial in first.values()):
        return
    base: HalfLayers = frozenset() if _is_slower(first[free], first[frozenset()]) else free
    gain = {group: gained for group, gained in sensitivity().items() if gained > 0 and not base.issuperset(group)}
    cost = {group: sum(cost_ms.get(layer, 0.0) for layer in group) for group in gain}
    dearest = max(cost.values(), default=0.0)

    def worth(group: LayerGroup) -> float:
        return gain[group] / max(cost[group], _LEAST_COST * dearest, 1e-9)

    by_worth, by_gain = (sorted(gain, key=key, reverse=True) for key in (worth, gain.__getitem__))
    orders = [by_worth] if by_worth == by_gain else [by_worth, by_gain]
    within = [trial for order in orders if (trial := _fewest(base, order, measure, points)) is not None]
    if within:
        fastest = max(within, key=lambda trial: trial.speed)
        dearest_first = sorted((group for group in gain if cost[group] >= 0), key=cost.__getitem__, reverse=True)
        _give_back(fastest, dearest_first, measure, points)


def _fewest(base: HalfLayers, order: Sequence[LayerGroup], measure: Measure, points: float) -> Trial | None:
    """The shortest prefix of `order` that is within `points`; None if int8 stops paying off before."""

    def with_first(count: int) -> Trial:
        return measure(base.union(*order[:count]))

    low, count, best = 0, 1, None
    while best is None and low < len(order):
        count = min(count, len(order))
        trial = with_first(count)
        if trial.is_within(points):
            best = trial
        elif trial.is_clearly_slower_than(_PAYS) and count > 1:
            return None
        else:
            low, count = count, 2 * count
    high = count
    while best is not None and high - low > 1:
        middle = (low + high) // 2
        trial = with_first(middle)
        if trial.is_within(points):
            best, high = trial, middle
        else:
            low = middle
    return best


def _give_back(best: Trial, dearest_first: Sequence[LayerGroup], measure: Measure, points: float) -> None:
    """Return groups to int8, most expensive first, while the drop stays within `points` and speed does not fall."""
    for group in dearest_first:
        if not set(best.half_layers).issuperset(group):
            continue
        trial = measure(frozenset(best.half_layers) - set(group))
        if trial.is_within(points) and not _is_slower(trial, best):
            best = trial


def _is_slower(trial: Trial, than: Trial) -> bool:
    """Whether a trial is slower than another by more than a tie, and noise is no explanation for it."""
    return trial.is_clearly_slower_than(than.least_speed * (1 - TIE))


def winner(trials: Sequence[Trial], points: float) -> tuple[Trial | None, str]:
    """The fastest trial within `points`, and why; None if all such int8 models are clearly slower than 16 bits.

    Of those whose speeds cannot be told apart the one that loses least is taken.
    """
    within = [trial for trial in trials if trial.is_within(points)]
    if not within:
        nearest = min(trials, key=lambda trial: trial.worst_drop, default=None)
        named = f"; the nearest, {nearest.name}, loses {nearest.drop}" if nearest else ""
        return None, f"no int8 model was shown to lose at most {points:g} points{named}"
    fastest = max(within, key=lambda trial: trial.speed)
    near = [trial for trial in within if trial.speed >= fastest.speed * (1 - TIE) or not _is_slower(trial, fastest)]
    best = min(near, key=lambda trial: (trial.drop.high, len(trial.half_layers)))
    if best.is_clearly_slower_than(1 - TIE):
        return None, f"int8 is slower here: {best.name} is within the limit at {best.speed:.2f} times the 16-bit speed"
    faster = len([trial for trial in trials if trial.speed > best.speed and not trial.is_within(points)])
    if best.load.is_too_high or best.least_speed < 1 - TIE:
        noise = best.load if best.load.is_too_high else f"in the rounds it was {best.speed_range} times as fast"
        return best, (
            f"loses at most {points:g} points ({best.drop}); whether it is faster than 16 bits could not be decided: "
            f"{noise}"
        )
    why = f"{best.speed:.2f} times as fast as 16 bits, the fastest that loses at most {points:g} points ({best.drop})"
    return best, why + (f"; {faster} faster ones lose more, or may" if faster else "")
