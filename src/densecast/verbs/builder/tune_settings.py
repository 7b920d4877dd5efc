"""The variations that tuning tries, and the speed-up that each needs to be accepted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from densecast.artifact.tune_record import Setting
from densecast.spec.options import ActivationScheme, BuildOptions, HalfType, QuantizeOptions
from densecast.spec.precision import Precision
from densecast.spec.verb_options import TuneOptions
from densecast.verbs.builder import graph_passes
from densecast.verbs.builder.calibration_methods import DEFAULT

# A difference that another run would not turn around.
_CLEARLY = 1.02
# bfloat16 has three bits of mantissa less than float16, symmetric ranges waste half of those of ReLU's outputs, and
# int8 loses most: speed has to be worth it.
_WORTH_BFLOAT16 = 1.1
_WORTH_SYMMETRIC = 1.1
_WORTH_INT8 = 1.05
# float32 is the most accurate: it is taken where 16 bits bring nothing.
_AS_FAST = 0.98
# Enough for NNCF to place its operations, which is all that speed depends on.
_TRIAL_IMAGES = 4


@dataclass(frozen=True, slots=True)
class Variation:
    """A variation: its description, its setting, and the speed-up over the best so far that it needs."""

    what: str
    setting: Setting
    required_ratio: float


def first(options: BuildOptions, batch: int) -> Setting:
    """The initial float setting, with one stream; float16 if the 16-bit type is not fixed."""
    precision: Precision = options.precision if options.precision == "force_float32" else "force_float16"
    half_type: HalfType = "f16" if options.half_type == "auto" and precision == "force_float16" else options.half_type
    return Setting(
        precision,
        half_type,
        graph_passes.chosen(replace(options, precision=precision)),
        options.quantize.activations,
        1,
        batch,
    )


def quick(quantize: QuantizeOptions) -> QuantizeOptions:
    """Options for a trial: of few images, without what changes results and not their speed."""
    images = min(quantize.images or _TRIAL_IMAGES, _TRIAL_IMAGES)
    return replace(quantize, images=images, calibration_method=DEFAULT, bias_correction="none")


def types(best: Setting, options: BuildOptions) -> Iterator[Variation]:
    """Variations of the floating-point type."""
    if best.precision != "force_float16":
        return
    if options.half_type == "auto":
        yield Variation("bf16 instead of f16", replace(best, half_type="bf16"), _WORTH_BFLOAT16)


def float32(best: Setting, options: BuildOptions) -> Iterator[Variation]:
    """float32, to check whether 16 bits bring anything."""
    if best.precision == "force_float16":
        by_rule = graph_passes.chosen(replace(options, precision="force_float32"))
        yield Variation("float32 instead", replace(best, precision="force_float32", graph_passes=by_rule), _AS_FAST)


def graph_pass(best: Setting, name: str) -> Variation:
    """A variation with one graph pass more or less."""
    without = name in best.graph_passes
    names = [each for each in graph_passes.NAMES if (each in best.graph_passes) != (each == name)]
    return Variation(f"{'without' if without else 'with'} {name}", replace(best, graph_passes=tuple(names)), _CLEARLY)


def streams(best: Setting, tune_options: TuneOptions, threads: int) -> Iterator[Variation]:
    """Variations with several streams on fewer threads each, for throughput."""
    if tune_options.goal == "latency":
        return
    for count in powers_of_two(1, threads)[1:]:
        yield Variation(f"{count} inferences at a time", replace(best, streams=count), _CLEARLY)


def batches(best: Setting, tune_options: TuneOptions, options: BuildOptions) -> Iterator[Variation]:
    """Variations with other batch sizes that the build supports."""
    if tune_options.goal == "latency":
        return
    for batch in batch_sizes(options):
        if batch != best.batch:
            yield Variation(f"batch {batch}", replace(best, batch=batch), _CLEARLY)


def int8(best: Setting, options: BuildOptions) -> Setting:
    """The initial int8 setting, with the streams and batch size of the best float setting."""
    by_rule = graph_passes.chosen(replace(options, precision="qint8_mixed_float16"))
    half_type = best.half_type if best.precision == "force_float16" else options.half_type
    return replace(best, precision="qint8_mixed_float16", graph_passes=by_rule, half_type=half_type)


def schemes(best: Setting, by_rule: ActivationScheme) -> Iterator[Variation]:
    """Variations of the activation scheme; `by_rule` is what `auto` resolves to for the network."""
    if "symmetric" not in (best.activations, by_rule):
        yield Variation("symmetric int8 ranges", replace(best, activations="symmetric"), _WORTH_SYMMETRIC)


def against_float(quantised: Setting) -> Variation:
    """int8 against the best build in float."""
    return Variation("int8 instead", quantised, _WORTH_INT8)


def batch_sizes(options: BuildOptions) -> tuple[int, ...]:
    """The listed batch sizes, or the powers of two in a range, ascending."""
    batch = options.shape.batch
    return tuple(sorted(set(batch))) if isinstance(batch, tuple) else powers_of_two(batch.min, batch.max)


def powers_of_two(low: int, high: int) -> tuple[int, ...]:
    """`low`, and the powers of two above it, up to `high`."""
    powers = [low]
    power = 1
    while power <= high:
        if power > low:
            powers.append(power)
        power *= 2
    return tuple(powers)
