"""Float32 operations with well-defined rounding for compiled loops: fused multiply-add and exponential."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

# exp(x) = 2**k * exp(r): k = round(x / ln 2), r = x - k * ln 2 with ln 2 in two parts, the first with so
# few bits that k times it is exact (Cody and Waite, "Software Manual for the Elementary Functions", 1980).
_INV_LN2 = np.float32(1.4426950408889634)
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440e-4)
# Adding and subtracting it rounds a float32 below 2**22 to a whole number.
_ROUNDER = np.float32(12582912.0)
# Below it the result is taken as exp(-87): 1.6e-38, the edge of the normal numbers.
_LOWEST = np.float32(-87.0)
_ONE = np.float32(1.0)
_TAYLOR = tuple(np.float32(1.0 / factorial) for factorial in (5040.0, 720.0, 120.0, 24.0, 6.0, 2.0))


@intrinsic
def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """`a * b + c` of three float32 numbers, rounded once, on every processor."""
    if not a == b == c == types.float32:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


@intrinsic
def float32_of_bits(typing_context: Any, bits: Any) -> Any:
    """The float32 whose IEEE 754 pattern is this int32."""
    if bits != types.int32:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@njit(cache=True, nogil=True)
def exp_of_negative(x: np.float32) -> np.float32:
    """exp(x) for x <= 0, to within one unit in the last place down to -87, where it stays.

    Written out because a call into the C library would keep the loops around it from being vectorised.
    """
    x = max(x, _LOWEST)
    shifted = fma(x, _INV_LN2, _ROUNDER)
    k = shifted - _ROUNDER
    r = fma(k, -_LN2_LOW, fma(k, -_LN2_HIGH, x))
    p = _TAYLOR[0]
    p = fma(p, r, _TAYLOR[1])
    p = fma(p, r, _TAYLOR[2])
    p = fma(p, r, _TAYLOR[3])
    p = fma(p, r, _TAYLOR[4])
    p = fma(p, r, _TAYLOR[5])
    p = fma(p, r, _ONE)
    p = fma(p, r, _ONE)
    power = np.int32((np.int32(k) + np.int32(127)) << np.int32(23))
    result: np.float32 = p * float32_of_bits(power)
    return result
