"""Record of which CPUs a build is for, and what its numbers depend on."""

from __future__ import annotations

from dataclasses import dataclass

from densecast.spec.cpu import Ability, Cpu


@dataclass(frozen=True, slots=True)
class TargetRecord:
    """The kind of CPU that a build is for, with `native` resolved.

    `needs` is what a CPU must compute natively to give the same numbers; where it does not, the stored answer decides
    whether the model may be used. `weight_bits` are how many of the 8 bits int8 weights use; 0 without int8.
    """

    cpu: Cpu
    needs: tuple[Ability, ...] = ()
    weight_bits: int = 0
