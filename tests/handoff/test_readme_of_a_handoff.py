"""The README of a handoff names its tensors, its steps in order, and what is there alone."""

from __future__ import annotations

from dataclasses import replace

import tiny_specs

from densecast.artifact import CalibrationRecord, manifest
from densecast.measure.store import manifest as store_manifest
from densecast.results import json_result
from densecast.spec.sample import SplitRecord
from densecast.spec.tensor import TensorSpec
from densecast.verbs.handoff import input_sizes, package, steps

SPEC = input_sizes.fixed_spec(tiny_specs.segmentation(), [(8, 16)], 4, uint8=False)
DATA = SplitRecord("carvana", "val", 32, 320, 0, "ab" * 32)
HANDOFF = package.Handoff(
    SPEC, "ascend", "force_float16", "logits", 4, TensorSpec("y", "float32", (2, 8, 0)), {"8x16": (2, 8, 16)}, DATA,
    "val", 0, None, "source", "key", "2024-01-02", {},
)  # fmt: skip


def test_it_says_what_is_in_the_folder() -> None:
    text = steps.readme(HANDOFF)
    assert text.startswith("# tiny for ascend, force_float16, batch 4\n")
    assert "32 images of carvana (val). Hardware: not run on hardware." in text
    assert "- output `y`: float32, 2×8×? an image" in text and "input `image`" in text
    assert "calibration/" not in text and "MagicMind" not in text
    record = CalibrationRecord("folder", 1, ("a",), None, "")
    assert "- `calibration/`: one batch a file" in steps.readme(replace(HANDOFF, calibration=record))
    other = steps.readme(replace(HANDOFF, target="magicmind"))
    assert "where MagicMind is installed" in other and other != text
    assert text.endswith("simulates the device on this machine's CPU.\n")


def test_commands_are_numbered_in_their_order() -> None:
    commands = {"atc": "atc --model=x", "ais_bench": "python3 -m ais_bench"}
    text = steps.readme(replace(HANDOFF, commands=commands), 3)
    assert (
        text.index("\n1. ") < text.index("   atc --model=x") < text.index("\n2. ") < text.index("python3 -m ais_bench")
    )
    assert "\n3. " not in text


def test_formats_that_are_kept_on_disk_have_their_numbers() -> None:
    """Whoever reads a file of an earlier version tells it by its number: a new one is a new format."""
    assert (package.FORMAT, manifest.FORMAT, store_manifest.FORMAT, json_result.FORMAT) == (2, 2, 1, 1)
    assert HANDOFF.format == 2 and HANDOFF.hardware == "not run on hardware"
