"""Builds are for a kind of CPU: what each kind computes, and which of them this machine is."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from densecast.runtime import cpuid, machine
from densecast.spec import cpu as cpus
from densecast.spec.cpu import CPUS, Cpu

SAPPHIRE_RAPIDS = "avx2 avx512f avx512bw avx512_vnni avx_vnni avx512_bf16 avx512_fp16 amx_bf16 amx_int8"
# As Linux lists them, and what is known of each: which targets it can run, and whether int8 sums are 32 bits wide.
KNOWN: dict[str, tuple[str, tuple[Cpu, ...], bool, set[str]]] = {
    "Nehalem": ("", (), False, set()),
    "Ivy Bridge": ("avx", (), False, set()),
    "Haswell": ("avx2", ("avx2",), False, set()),
    "Skylake-SP": ("avx2 avx512f avx512bw", ("avx512", "avx2"), False, set()),
    "Cascade Lake": ("avx2 avx512f avx512bw avx512_vnni", ("vnni", "avx512", "avx2"), True, set()),
    "Alder Lake": ("avx2 avx_vnni", ("vnni", "avx2"), True, set()),
    "Zen 4": ("avx2 avx512f avx512bw avx512_vnni avx512_bf16", ("vnni", "avx512", "avx2"), True, {"bfloat16"}),
    "Sapphire Rapids": (SAPPHIRE_RAPIDS, ("amx", "vnni", "avx512", "avx2"), True, {"bfloat16", "float16"}),
    "Graviton 2": ("asimd asimdhp asimddp", ("arm64",), True, {"float16"}),
    "Graviton 3": ("asimd asimdhp asimddp sve i8mm bf16", ("arm64",), True, {"float16", "bfloat16"}),
    "Raspberry Pi 4": ("asimd", ("arm64",), True, set()),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_cpu_is_the_targets_that_its_instruction_sets_make_it(name: str) -> None:
    flags, targets, is_wide, halves = KNOWN[name]
    assert cpus.kinds(flags.split()) == targets
    able = cpus.able(flags.split())
    assert ("wide_int8_sums" in able) == is_wide
    assert able - {"wide_int8_sums"} == halves
    assert cpus.resolved("native", flags.split()) == (targets[0] if targets else "any")


@pytest.mark.parametrize("cpu", [each for each in CPUS if each != "native"])
def test_weights_of_8_bits_are_only_for_cpus_whose_int8_sums_hold_them(cpu: Cpu) -> None:
    runs_it = [able for flags, targets, able, _ in KNOWN.values() if cpu in targets or (cpu == "any" and targets)]
    assert cpus.takes_full_weights(cpu) == all(runs_it)


def test_weights_of_7_bits_never_saturate_a_pair_of_products() -> None:
    # Two products of an unsigned activation and a signed weight have to fit into a signed number of 16 bits.
    for weight, fits in ((-64, True), (64, True), (63, True), (-127, False), (127, False)):
        assert (abs(2 * 255 * weight) <= np.iinfo(np.int16).max) == fits


@pytest.mark.skipif(platform.system() != "Linux", reason="needs /proc/cpuinfo to compare with")
def test_the_cpu_says_of_itself_what_the_kernel_says_of_it() -> None:
    lines = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    shown = {key.strip(): value.strip() for key, value in lines.items()}
    told, known = cpuid.flags(), set(machine.NOTED_FLAGS)
    assert told is not None
    assert told & known == set((shown.get("flags") or shown["Features"]).split()) & known
    if "model name" in shown:
        assert cpuid.name() == shown["model name"]


@pytest.mark.skipif("avx512bw" not in (cpuid.flags() or ()), reason="this CPU has no AVX-512 to be kept from engines")
@pytest.mark.parametrize(("most", "first"), [("AVX512_CORE", "avx512"), ("avx2", "avx2"), ("DEFAULT", None)])
def test_a_cpu_whose_abilities_are_kept_from_the_engines_is_a_lesser_one(most: str, first: str | None) -> None:
    code = "from densecast.runtime import machine; print(machine.kinds()[0])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": most},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == (first or machine.kinds()[0])
