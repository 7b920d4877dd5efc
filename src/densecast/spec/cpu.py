"""CPUs that builds are for: what each kind of CPU computes exactly, and what numbers may therefore depend on.

Int8 products of unsigned activations and signed weights are summed in pairs. Without VNNI or AMX the pair's sum is kept
in 16 bits that saturate (`vpmaddubsw`): 255 * 127 * 2 does not fit, 255 * 64 * 2 does. Weights of 7 of the 8 bits
therefore give the same sums on every CPU, and weights of all 8 only where sums are wide.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from densecast.errors import UnknownNameError, UsageError

Cpu = Literal["native", "any", "avx2", "avx512", "vnni", "amx", "arm64"]
CPUS: tuple[Cpu, ...] = get_args(Cpu)
Ability = Literal["wide_int8_sums", "bfloat16", "float16", "same_architecture"]


@dataclass(frozen=True, slots=True)
class CpuTarget:
    """A kind of CPU: what its instruction sets are called, any of each group, and what it computes natively.

    `half_types` are the 16-bit types that all CPUs of the kind compute in, the usual one first; without one, networks
    in 16 bits are computed in float32 there.
    """

    name: Cpu
    words: str
    flags: tuple[tuple[str, ...], ...]
    has_wide_int8_sums: bool
    half_types: tuple[str, ...] = ()


_WIDE = ("avx512_vnni", "avx_vnni", "amx_int8")
# Most able first, which is how one's own is told.
TARGETS: tuple[CpuTarget, ...] = (
    CpuTarget("amx", "Intel from Sapphire Rapids on", (("amx_int8",), ("amx_bf16",)), True, ("bf16", "f16")),
    CpuTarget("vnni", "Intel from Cascade Lake, AMD from Zen 4 on", (_WIDE, ("avx2",)), True),
    CpuTarget("avx512", "Intel's Skylake servers", (("avx512f",), ("avx512bw",)), False),
    CpuTarget("avx2", "Intel from Haswell, AMD from Zen on", (("avx2",),), False),
    CpuTarget("arm64", "Graviton, Ampere and other 64-bit ARM", (("asimd",),), True, ("f16",)),
)
_ABILITY_FLAGS: dict[Ability, tuple[str, ...]] = {
    # ARM's multiplications widen to 16 bits, and its sums to 32 before they overflow.
    "wide_int8_sums": (*_WIDE, "asimd"),
    "bfloat16": ("avx512_bf16", "amx_bf16", "bf16"),
    "float16": ("avx512_fp16", "amx_fp16", "asimdhp"),
}
_HALF_ABILITIES: dict[str, Ability] = {"bf16": "bfloat16", "f16": "float16"}


def parse(name: str) -> Cpu:
    """The kind of CPU of that name, in any case.

    Raises:
        UnknownNameError: there is none.
    """
    known = next((each for each in CPUS if each == name.lower()), None)
    if known is None:
        raise UnknownNameError.among("kind of CPU", name, CPUS)
    return known


def kinds(flags: Iterable[str]) -> tuple[Cpu, ...]:
    """The targets that a CPU with these instruction sets can run, most able first; empty for one too old."""
    held = set(flags)
    return tuple(target.name for target in TARGETS if all(held & set(group) for group in target.flags))


def able(flags: Iterable[str]) -> frozenset[Ability]:
    """What a CPU with these instruction sets computes natively, of what numbers depend on."""
    held = set(flags)
    return frozenset(ability for ability, any_of in _ABILITY_FLAGS.items() if held & set(any_of))


def resolved(cpu: Cpu, flags: Iterable[str]) -> Cpu:
    """`native` as the most able target of these instruction sets (`any` on a CPU of none); others as they are."""
    return cpu if cpu != "native" else next(iter(kinds(flags)), "any")


def target(cpu: Cpu) -> CpuTarget | None:
    """The kind of CPU of a name; None for `any`, which is none in particular.

    Raises:
        UsageError: `native`, which is to be resolved first.
    """
    if cpu == "native":
        raise UsageError("the target 'native' is to be resolved on a machine first.", field="cpu")
    return next((each for each in TARGETS if each.name == cpu), None)


def takes_full_weights(cpu: Cpu) -> bool:
    """Whether int8 weights may use all 8 bits there, for `cpu` resolved."""
    kind = target(cpu)
    return kind is not None and kind.has_wide_int8_sums


def half_type_there(half_type: str, abilities: Collection[Ability]) -> str:
    """The type of layers that were built for 16 bits on a CPU of these abilities: float32 where it lacks their own.

    Left to itself an engine takes the other 16-bit type, which rounds more, or overflows.

    >>> half_type_there("f16", {"bfloat16"}), half_type_there("f16", {"float16"}), half_type_there("f32", ())
    ('f32', 'f16', 'f32')
    """
    ability = _HALF_ABILITIES.get(half_type)
    return half_type if ability is None or ability in abilities else "f32"


def needs(cpu: Cpu, *, is_int8: bool, half_type: str) -> tuple[Ability, ...]:
    """What the numbers of a build depend on; `half_type` is `f32` where no layer runs in 16 bits."""
    found: list[Ability] = ["wide_int8_sums"] if is_int8 and takes_full_weights(cpu) else []
    if half_type in _HALF_ABILITIES:
        found.append(_HALF_ABILITIES[half_type])
    return tuple(found)
