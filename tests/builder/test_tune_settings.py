"""What tuning tries, and what each has to gain: settings one step from the best one, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from densecast.artifact.tune_record import Rate, Setting, Trial, TuneRecord
from densecast.spec.options import ActivationScheme, BuildOptions, InputShape, QuantizeOptions, Range
from densecast.spec.verb_options import TuneOptions
from densecast.verbs.builder import tune_settings

FLOAT16 = Setting("force_float16", "f16", (), "auto", 1, 1)
OPTIONS = BuildOptions("openvino")
THROUGHPUT, LATENCY = TuneOptions(goal="throughput"), TuneOptions(goal="latency")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        (FLOAT16, "f16, graph passes none, 1 stream, batch 1"),
        (replace(FLOAT16, half_type="auto", streams=2, batch=4), "16 bits, graph passes none, 2 streams, batch 4"),
        (
            Setting("qint8_mixed_float16", "bf16", ("transpose_hw", "drop_outside_taps"), "symmetric", 1, 8),
            "int8 symmetric with bf16, graph passes transpose_hw + drop_outside_taps, 1 stream, batch 8",
        ),
        (
            Setting("qint8_mixed_float16", "auto", (), "asymmetric", 1, 1),
            "int8 asymmetric with 16 bits, graph passes none, 1 stream, batch 1",
        ),
        (Setting("force_float32", "auto", (), "auto", 3, 1), "float32, graph passes none, 3 streams, batch 1"),
    ],
)
def test_a_setting_is_told_in_words(setting: Setting, told: str) -> None:
    assert str(setting) == told


@pytest.mark.parametrize(
    ("low", "high", "powers"),
    [(1, 8, (1, 2, 4, 8)), (1, 7, (1, 2, 4)), (3, 16, (3, 4, 8, 16)), (4, 4, (4,)), (5, 6, (5,)), (2, 3, (2,))],
)
def test_a_ranges_ends_and_powers_of_two_are_tried(low: int, high: int, powers: tuple[int, ...]) -> None:
    assert tune_settings.powers_of_two(low, high) == powers
    assert tune_settings.batch_sizes(BuildOptions("openvino", shape=InputShape(Range(low, high)))) == powers


def test_listed_batches_are_tried_each_once_from_the_smallest() -> None:
    options = BuildOptions("openvino", shape=InputShape((4, 1, 4)))
    assert tune_settings.batch_sizes(options) == (1, 4)
    found = list(tune_settings.batches(FLOAT16, THROUGHPUT, options))
    assert [(each.what, each.setting.batch) for each in found] == [("batch 4", 4)]
    assert list(tune_settings.batches(FLOAT16, LATENCY, options)) == []


def test_streams_are_tried_for_throughput_alone_up_to_the_threads() -> None:
    found = list(tune_settings.streams(FLOAT16, THROUGHPUT, 4))
    assert [(each.what, each.setting) for each in found] == [
        ("2 inferences at a time", replace(FLOAT16, streams=2)),
        ("4 inferences at a time", replace(FLOAT16, streams=4)),
    ]
    assert list(tune_settings.streams(FLOAT16, LATENCY, 4)) == []


def test_the_first_setting_is_16_bits_unless_float32_is_asked_for() -> None:
    assert tune_settings.first(replace(OPTIONS, precision="qint8_mixed_float16"), 2).half_type == "f16"
    assert tune_settings.first(replace(OPTIONS, precision="force_float16", half_type="bf16"), 2).half_type == "bf16"
    first = tune_settings.first(replace(OPTIONS, precision="force_float32"), 2)
    assert (first.precision, first.half_type, first.streams, first.batch) == ("force_float32", "auto", 1, 2)


def test_another_16_bit_type_costs_mantissa_and_has_to_gain_for_it() -> None:
    (found,) = tune_settings.types(FLOAT16, OPTIONS)
    assert found.setting.half_type == "bf16" and found.required_ratio > 1
    assert list(tune_settings.types(FLOAT16, replace(OPTIONS, half_type="f16"))) == []
    assert list(tune_settings.types(replace(FLOAT16, precision="force_float32"), OPTIONS)) == []
    (found,) = tune_settings.float32(FLOAT16, OPTIONS)
    # More bits are taken where they are as fast.
    assert found.setting.precision == "force_float32" and 0.9 < found.required_ratio <= 1
    assert list(tune_settings.float32(replace(FLOAT16, precision="force_float32"), OPTIONS)) == []


def test_a_graph_pass_is_left_out_where_it_is_and_added_where_it_is_not() -> None:
    without = tune_settings.graph_pass(FLOAT16, "split_dilated_convs")
    assert without.what == "with split_dilated_convs" and without.setting.graph_passes == ("split_dilated_convs",)
    again = tune_settings.graph_pass(without.setting, "split_dilated_convs")
    assert again.what == "without split_dilated_convs" and again.setting == FLOAT16


def test_int8_keeps_what_float_has_found() -> None:
    best = replace(FLOAT16, half_type="bf16", streams=2, batch=4)
    found = tune_settings.int8(best, replace(OPTIONS, half_type="f16"))
    assert (found.precision, found.half_type, found.streams, found.batch) == ("qint8_mixed_float16", "bf16", 2, 4)
    single = replace(best, precision="force_float32", half_type="auto")
    assert tune_settings.int8(single, replace(OPTIONS, half_type="f16")).half_type == "f16"
    assert tune_settings.against_float(found).required_ratio > 1


@pytest.mark.parametrize(
    ("now", "by_rule", "tried"),
    [("asymmetric", "asymmetric", True), ("symmetric", "asymmetric", False), ("auto", "symmetric", False)],
)
def test_symmetric_ranges_are_tried_where_they_are_not_taken_anyway(
    now: ActivationScheme, by_rule: ActivationScheme, tried: bool
) -> None:
    found = list(tune_settings.schemes(replace(FLOAT16, activations=now), by_rule))
    assert [each.setting.activations for each in found] == (["symmetric"] if tried else [])


def test_a_tuned_setting_is_for_its_goal_and_its_threads() -> None:
    trial = Trial("x", FLOAT16, FLOAT16, 1.1, None, True, "taken")
    record = TuneRecord(THROUGHPUT, "force_float16", FLOAT16, 4, (trial,), "why", 3.0, True)
    assert record.for_throughput(4) == FLOAT16
    assert record.for_throughput(2) is None and replace(record, options=LATENCY).for_throughput(4) is None
    assert record.agrees_with(replace(record, seconds=9.0, finished=False))
    assert not record.agrees_with(replace(record, trials=(replace(trial, accepted=False),)))
    assert not record.agrees_with(replace(record, winner=replace(FLOAT16, batch=2))) and not record.agrees_with(None)
    assert Rate(2.0, 5.0).latency_ms == 5.0


def test_what_a_change_has_to_gain_goes_by_what_it_costs() -> None:
    """More than noise for what costs nothing; more for three bits of mantissa, for int8, and for coarser ranges."""
    (half,), (single,) = tune_settings.types(FLOAT16, OPTIONS), tune_settings.float32(FLOAT16, OPTIONS)
    (coarse,) = tune_settings.schemes(replace(FLOAT16, activations="asymmetric"), "asymmetric")
    free = next(tune_settings.streams(FLOAT16, THROUGHPUT, 2))
    batch = next(tune_settings.batches(FLOAT16, THROUGHPUT, BuildOptions("openvino", shape=InputShape((1, 2)))))
    graph = tune_settings.graph_pass(FLOAT16, "split_dilated_convs")
    needed = [each.required_ratio for each in (free, batch, graph, single, half, coarse)]
    assert needed == [1.02, 1.02, 1.02, 0.98, 1.1, 1.1]
    assert tune_settings.against_float(FLOAT16).required_ratio == 1.05


@pytest.mark.parametrize(("asked", "taken"), [(0, 4), (1, 1), (3, 3), (4, 4), (5, 4), (300, 4)])
def test_a_trial_is_calibrated_on_few_images_and_by_the_quickest_method(asked: int, taken: int) -> None:
    options = QuantizeOptions(images=asked, calibration_method="auto", bias_correction="full", activations="symmetric")
    assert tune_settings.quick(options) == QuantizeOptions(
        images=taken, calibration_method="mean_minmax", bias_correction="none", activations="symmetric"
    )
