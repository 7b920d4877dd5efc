"""Instruction sets by the bits of Intel's manual (volume 2, CPUID), and the states that the system keeps (volume 1)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from densecast.runtime import cpuid

EAX, EBX, ECX, EDX = range(4)
XMM_YMM, MASKS_ZMM, TILES = 0b110, 0b1110_0000, 0b11 << 17
ALL = XMM_YMM | MASKS_ZMM | TILES
OSXSAVE = ((1, 0), ECX, 27)
FLAGS = {
    "fma": ((1, 0), ECX, 12),
    "avx": ((1, 0), ECX, 28),
    "avx2": ((7, 0), EBX, 5),
    "avx512f": ((7, 0), EBX, 16),
    "avx512bw": ((7, 0), EBX, 30),
    "avx512_vnni": ((7, 0), ECX, 11),
    "amx_bf16": ((7, 0), EDX, 22),
    "avx512_fp16": ((7, 0), EDX, 23),
    "amx_int8": ((7, 0), EDX, 25),
    "avx_vnni": ((7, 1), EAX, 4),
    "avx512_bf16": ((7, 1), EAX, 5),
    "amx_fp16": ((7, 1), EAX, 21),
}


def answer(monkeypatch: pytest.MonkeyPatch, *bits: Any, kept: int = ALL, highest: int = 7, text: bytes = b"") -> None:
    """Have the CPU answer with these bits set."""
    leaves: dict[tuple[int, int], list[int]] = {(0, 0): [highest, 0, 0, 0], (0x80000000, 0): [0x80000004, 0, 0, 0]}
    for leaf, register, bit in bits:
        leaves.setdefault(leaf, [0, 0, 0, 0])[register] |= 1 << bit
    for number in range(3):
        part = text.ljust(48, b"\0")[16 * number : 16 * (number + 1)]
        leaves[0x80000002 + number, 0] = [int.from_bytes(part[at : at + 4], "little") for at in range(0, 16, 4)]

    @contextlib.contextmanager
    def asking() -> Iterator[Any]:
        yield (lambda leaf, subleaf: tuple(leaves.get((leaf, subleaf), (0, 0, 0, 0)))), lambda: kept

    monkeypatch.setattr(cpuid, "asking", asking)
    monkeypatch.setattr(cpuid.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(cpuid.platform, "system", lambda: "Linux")


@pytest.mark.parametrize("name", FLAGS)
def test_each_instruction_set_has_its_bit(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    leaf, register, bit = FLAGS[name]
    answer(monkeypatch, OSXSAVE, FLAGS[name])
    assert cpuid.flags() == {name}
    everything = [((1, 0), ECX, 27), *((leaf, register, other) for other in range(32) if other != bit)]
    answer(monkeypatch, *everything)
    assert cpuid.flags() == {each for each, (where, at, _) in FLAGS.items() if (where, at) == (leaf, register)} - {name}


@pytest.mark.parametrize(
    ("kept", "left"),
    [
        (ALL, set(FLAGS)),
        (0, set()),
        (0b010, set()),
        (0b100, set()),
        (XMM_YMM, {"fma", "avx", "avx2", "avx_vnni"}),
        (XMM_YMM | 0b1100_0000, {"fma", "avx", "avx2", "avx_vnni"}),
        (XMM_YMM | MASKS_ZMM, {each for each in FLAGS if not each.startswith("amx")}),
        (XMM_YMM | TILES, {"fma", "avx", "avx2", "avx_vnni", "amx_bf16", "amx_int8", "amx_fp16"}),
        (XMM_YMM | 1 << 17, {"fma", "avx", "avx2", "avx_vnni"}),
    ],
)
def test_what_the_system_does_not_keep_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, kept: int, left: set[str]
) -> None:
    answer(monkeypatch, OSXSAVE, *FLAGS.values(), kept=kept)
    assert cpuid.flags() == left


def test_a_system_that_does_not_say_what_it_keeps_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, *FLAGS.values())
    assert cpuid.flags() == set()


def test_leaves_that_a_cpu_does_not_have_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, OSXSAVE, *FLAGS.values(), highest=6)
    assert cpuid.flags() == {"fma", "avx"}


@pytest.mark.parametrize(
    ("text", "name"), [(b"  A CPU @ 2.00GHz  ", "A CPU @ 2.00GHz"), (b"x" * 48, "x" * 48), (b"", None), (b"  ", None)]
)
def test_the_name_is_that_of_the_three_leaves(monkeypatch: pytest.MonkeyPatch, text: bytes, name: str | None) -> None:
    answer(monkeypatch, text=text)
    assert cpuid.name() == name


@pytest.mark.parametrize(("machine", "system"), [("riscv64", "Linux"), ("x86_64", "Plan9"), ("ppc64le", "Darwin")])
def test_other_machines_are_not_asked(monkeypatch: pytest.MonkeyPatch, machine: str, system: str) -> None:
    answer(monkeypatch, OSXSAVE, *FLAGS.values(), text=b"A CPU")
    monkeypatch.setattr(cpuid.platform, "machine", lambda: machine)
    monkeypatch.setattr(cpuid.platform, "system", lambda: system)
    assert cpuid.flags() is None and cpuid.name() is None
