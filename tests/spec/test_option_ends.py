"""Numbers of options hold up to their ends and no further, and a refusal names the option that is meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from densecast.errors import UsageError
from densecast.spec.handoff_options import PrepareOptions
from densecast.spec.handover_options import ExportToOptions
from densecast.spec.options import LARGEST_SIZE, InputShape, QuantizeOptions, Range
from densecast.spec.preprocess import Native, Preprocess
from densecast.spec.serve_options import ServeOptions
from densecast.spec.verb_options import (
    BenchmarkOptions,
    CompareLimits,
    EvaluateOptions,
    ExportOptions,
    MaxDrop,
    TuneOptions,
)

NAN, INF = float("nan"), float("inf")


def drop(**given: Any) -> MaxDrop:
    return MaxDrop(**{"points": 0.5, **given})


@pytest.mark.parametrize(
    ("options", "field", "good", "bad"),
    [
        (ServeOptions, "host", ("127.0.0.1", "::1", "cars.example"), ("", "two words", "a\n")),
        (ServeOptions, "port", (0, 65535), (-1, 65536)),
        (ServeOptions, "grpc_port", (1, 65535), (0, 65536, 8000)),
        (ServeOptions, "batch_wait_ms", (0.0, 0.1), (-0.1, INF, NAN)),
        *((ServeOptions, name, (0.001, 86400.0), (0.0, 86400.1, -1.0, NAN)) for name in ("deadline", "grace")),
        *(
            (ServeOptions, f"{name}_timeout", (0.001, 86400.0), (0.0, 86400.1, -1.0, NAN))
            for name in ("header", "body", "idle")
        ),
        *((ServeOptions, name, (1, 9), (0, -1)) for name in ("workers", "max_connections", "batch", "queue")),
        (ServeOptions, "max_body_mib", (1, 1024), (0, 1025)),
        (ServeOptions, "max_megapixels", (0.001, 5.0), (0.0, -1.0, 0.0009, NAN)),
        (BenchmarkOptions, "batch", (None, 1), (0,)),
        (BenchmarkOptions, "images", (1,), (0,)),
        (BenchmarkOptions, "seconds", (0.0, 0.1), (-0.1, NAN)),
        (BenchmarkOptions, "warm_up", (0, 1), (-1,)),
        (EvaluateOptions, "limit", (None, 1), (0,)),
        (EvaluateOptions, "batch", (None, 1), (0,)),
        (drop, "points", (0.001, 99.9), (0.0, 100.0, -1.0, NAN)),
        (drop, "seconds", (0.001, INF), (0.0, -1.0, NAN)),
        (drop, "images", (0, 1), (-1,)),
        (TuneOptions, "seconds", (0.001,), (0.0, -1.0, NAN)),
        (CompareLimits, "tolerance", (None, 0.0, 5.0), (-0.1, NAN)),
        *((CompareLimits, name, (None, 0.0, 1.0), (-0.1, 1.1, NAN)) for name in ("max_changed", "min_oks")),
        (QuantizeOptions, "images", (0, 1), (-1,)),
        (QuantizeOptions, "percentile", (50.0, 100.0), (49.9, 100.1, NAN)),
        (ExportOptions, "opset", (11, 23), (10, 24)),
        (PrepareOptions, "batch", (1,), (0,)),
        (PrepareOptions, "device", (0, 3), (-1,)),
        (PrepareOptions, "processes", (None, 1, 256), (0, 257)),
        (PrepareOptions, "limit", (None, 1), (0,)),
    ],
)
def test_an_option_holds_up_to_its_ends(
    options: Callable[..., object], field: str, good: tuple[Any, ...], bad: tuple[Any, ...]
) -> None:
    for value in good:
        assert getattr(options(**{field: value}), field) == value
    for value in bad:
        with pytest.raises(UsageError) as refused:
            options(**{field: value})
        assert str(refused.value.field).rpartition(".")[2] == field


def test_sizes_are_from_one_pixel_to_the_largest() -> None:
    for size in (1, LARGEST_SIZE):
        assert InputShape(height=size, width=size).height == size
        assert InputShape((size,)).batch == (size,)
    assert (Range(1, 1).min, Range(1, LARGEST_SIZE).max) == (1, LARGEST_SIZE)
    for low, high in ((0, 5), (5, 4), (1, LARGEST_SIZE + 1)):
        with pytest.raises(UsageError):
            Range(low, high)
    for wrong in ({"height": 0}, {"width": LARGEST_SIZE + 1}, {"batch": ()}, {"batch": (1, 0)}):
        with pytest.raises(UsageError):
            InputShape(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [ExportToOptions, PrepareOptions])
def test_height_and_width_go_together(options: Callable[..., object]) -> None:
    options(height=3, width=5)
    for one in ({"height": 3}, {"width": 5}):
        with pytest.raises(UsageError, match="go together"):
            options(**one)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"insecure": True}, "insecure"),  # nobody else reaches this machine's own address
        ({"insecure": True, "host": "0.0.0.0", "token_file": "t"}, "insecure"),
        ({"insecure": True, "host": "0.0.0.0"}, None),
        ({"allowed_host": ("a",), "token_file": "t"}, "allowed_host"),
        ({"allowed_host": ("a",)}, None),
        ({"token_file": "t"}, None),
    ],
)
def test_what_has_no_effect_on_who_may_ask_is_refused(given: dict[str, Any], field: str | None) -> None:
    """Whoever passes it believes that it protects, or that it opens, the server."""
    if field is None:
        ServeOptions(**given)
        return
    with pytest.raises(UsageError) as refused:
        ServeOptions(**given)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        *(("localhost", True), ("LOCALHOST", True), ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True)),
        *(("[::1]", True), ("0.0.0.0", False), ("::", False), ("192.168.0.1", False), ("cars.example", False)),
    ],
)
def test_without_a_token_only_this_machine_may_ask(host: str, is_own: bool) -> None:
    options = ServeOptions(host=host)
    assert options.is_loopback == is_own
    if is_own:
        options.check_reach()
        return
    with pytest.raises(UsageError, match="token"):
        options.check_reach()
    ServeOptions(host=host, token_file="t").check_reach()
    ServeOptions(host=host, insecure=True).check_reach()


def test_what_numbers_rest_on_if_nothing_is_said_stays_as_it_is() -> None:
    """A changed default would change scores, models and timings of everybody who never named it."""
    rule = Preprocess(Native())
    assert (rule.mean, rule.std, rule.divisor) == ((0.0,) * 3, (255.0,) * 3, 1.0)
    assert (rule.pad_multiple, rule.pad_fill, rule.use_exif) == (1, (0.0,), False)
    assert (rule.colour, rule.interpolation, rule.value_range) == ("RGB", "bilinear_opencv", None)
    int8 = QuantizeOptions()
    assert (int8.images, int8.seed, int8.split, int8.percentile) == (300, 0, "train", 99.99)
    timed = BenchmarkOptions()
    assert (timed.images, timed.seconds, timed.warm_up) == (50, 3.0, 5)
    assert (drop().seconds, drop().images, drop().split, TuneOptions().seconds) == (600.0, 0, "val", 600.0)
    assert (EvaluateOptions().split, EvaluateOptions().seed, EvaluateOptions().limit) == ("val", 0, None)
    exported = ExportOptions()
    assert (exported.opset, exported.side, exported.largest_batch) == (17, Range(32, 4096), 64)
