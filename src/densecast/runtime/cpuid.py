"""Asks the CPU itself what it is: its name and instruction sets, as a program that runs on it now can use them.

`/proc/cpuinfo` shows the machine, which under an emulator is another one. On x86 the CPU answers by the instructions
`cpuid` and `xgetbv` (Intel's manual, volume 2), on ARM the kernel by `getauxval`. Neither takes a millisecond.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import platform
from collections.abc import Callable, Iterator

# cpuid(leaf, subleaf, out[4]) in System V's convention:
#   push rbx; mov r8, rdx; mov eax, edi; mov ecx, esi; cpuid; mov [r8..], eax ebx ecx edx; pop rbx; ret
_CPUID = bytes.fromhex("53 4989d0 89f8 89f1 0fa2 418900 41895804 41894808 4189500c 5b c3")
# xgetbv(0): xor ecx, ecx; xgetbv; shl rdx, 32; or rax, rdx; ret
_XGETBV = bytes.fromhex("31c9 0f01d0 48c1e220 4809d0 c3")
_EAX, _EBX, _ECX, _EDX = range(4)
# Name: leaf, subleaf, register and bit.
_BITS = {
    "fma": (1, 0, _ECX, 12),
    "avx": (1, 0, _ECX, 28),
    "avx2": (7, 0, _EBX, 5),
    "avx512f": (7, 0, _EBX, 16),
    "avx512bw": (7, 0, _EBX, 30),
    "avx512_vnni": (7, 0, _ECX, 11),
    "amx_bf16": (7, 0, _EDX, 22),
    "avx512_fp16": (7, 0, _EDX, 23),
    "amx_int8": (7, 0, _EDX, 25),
    "avx_vnni": (7, 1, _EAX, 4),
    "avx512_bf16": (7, 1, _EAX, 5),
    "amx_fp16": (7, 1, _EAX, 21),
}
_OSXSAVE = 27
# What of the registers the operating system keeps: XMM and YMM; masks and ZMM; tiles.
_AVX_STATE, _AVX512_STATE, _AMX_STATE = 0x6, 0xE6, 0x60000
_AT_HWCAP, _AT_HWCAP2 = 16, 26
# Bits of AT_HWCAP and AT_HWCAP2 (linux/arch/arm64/include/uapi/asm/hwcap.h).
_ARM_BITS = {"asimd": (0, 1), "asimdhp": (0, 10), "asimddp": (0, 20), "sve": (0, 22), "i8mm": (1, 13), "bf16": (1, 14)}


def flags() -> frozenset[str] | None:
    """The instruction sets that may be used here, under Linux's names; None where the CPU cannot be asked."""
    machine = platform.machine()
    if machine in ("aarch64", "arm64"):
        return _arm_flags()
    if machine not in ("x86_64", "AMD64") or platform.system() not in ("Linux", "Darwin"):
        return None
    with contextlib.suppress(OSError, ValueError), asking() as (cpuid, xgetbv):
        highest = cpuid(0, 0)[_EAX]
        leaves = {key: cpuid(*key) for key in {(leaf, sub) for leaf, sub, _, _ in _BITS.values()} if key[0] <= highest}
        found = {
            name
            for name, (leaf, sub, register, bit) in _BITS.items()
            if (leaf, sub) in leaves and leaves[leaf, sub][register] >> bit & 1
        }
        kept = xgetbv() if leaves[1, 0][_ECX] >> _OSXSAVE & 1 else 0
        return frozenset(name for name in found if kept & _state(name) == _state(name))
    return None


def name() -> str | None:
    """The CPU's name as it gives it; None where it cannot be asked."""
    if platform.machine() not in ("x86_64", "AMD64") or platform.system() not in ("Linux", "Darwin"):
        return None
    with contextlib.suppress(OSError, ValueError), asking() as (cpuid, _):
        if cpuid(0x80000000, 0)[_EAX] >= 0x80000004:
            words = [word for leaf in (0x80000002, 0x80000003, 0x80000004) for word in cpuid(leaf, 0)]
            text = b"".join(word.to_bytes(4, "little") for word in words)
            return text.split(b"\0")[0].decode("ascii", "replace").strip() or None
    return None


def _state(flag: str) -> int:
    if flag.startswith("amx"):
        return _AMX_STATE
    return _AVX512_STATE if flag.startswith("avx512") else _AVX_STATE


class _Asked:
    """Two small programs in memory that may be executed."""

    def __init__(self, page: mmap.mmap) -> None:
        page.write(_CPUID.ljust(64, b"\xcc") + _XGETBV)
        anchor = ctypes.c_char.from_buffer(page)
        address = ctypes.addressof(anchor)
        del anchor  # it holds the page
        self._cpuid = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p)(address)
        self._xgetbv = ctypes.CFUNCTYPE(ctypes.c_uint64)(address + 64)

    def cpuid(self, leaf: int, subleaf: int) -> tuple[int, int, int, int]:
        """EAX, EBX, ECX and EDX of one leaf."""
        out = (ctypes.c_uint32 * 4)()
        self._cpuid(leaf, subleaf, ctypes.addressof(out))
        return out[0], out[1], out[2], out[3]

    def xgetbv(self) -> int:
        """The states that the operating system keeps, by bit."""
        return int(self._xgetbv())


@contextlib.contextmanager
def asking() -> Iterator[tuple[Callable[[int, int], tuple[int, int, int, int]], Callable[[], int]]]:
    """Both calls, for the block.

    Raises:
        OSError: no memory that may be executed is given here.
    """
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    try:
        asked = _Asked(page)
        yield asked.cpuid, asked.xgetbv
    finally:
        page.close()


def _arm_flags() -> frozenset[str] | None:
    getauxval = getattr(ctypes.CDLL(None), "getauxval", None) if platform.system() == "Linux" else None
    if getauxval is None:
        return None
    getauxval.restype, getauxval.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    words = (getauxval(_AT_HWCAP), getauxval(_AT_HWCAP2))
    return frozenset(flag for flag, (word, bit) in _ARM_BITS.items() if words[word] >> bit & 1)
