"""Confines this process for good: files by Landlock, network and other processes by seccomp, memory and time by limits.

All three are Linux's own, need no rights, and cannot be lifted again. What the kernel does not offer is left out and
`describe` says so: nobody is told of a confinement that is not there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

from densecast.io import system

with contextlib.suppress(ImportError):  # where nothing can be confined, nobody asks for limits
    import resource

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446

# Landlock's rights by bit (linux/landlock.h), and how many of them each version of its interface knows.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_TCP_ABI, _SCOPE_ABI = 4, 6
_BIND_AND_CONNECT, _ABSTRACT_SOCKETS_AND_SIGNALS = 0b11, 0b11

# Numbers of the system calls that a computation has no use for: sockets, other processes, programs, the kernel itself.
_REFUSED = {
    "x86_64": (
        *(41, 42, 43, 44, 46, 49, 50, 53, 57, 58, 59, 101, 109, 112, 129, 165, 166, 169, 175, 200, 246, 248, 249, 250),
        *(272, 288, 297, 298, 304, 308, 310, 311, 313, 321, 322, 323, 424, 425, 438),
    ),
    "aarch64": (
        *(198, 199, 200, 201, 202, 203, 206, 211, 221, 117, 154, 157, 138, 40, 39, 142, 105, 130, 104, 217, 218, 219),
        *(97, 240, 241, 242, 265, 268, 270, 271, 273, 280, 281, 282, 424, 425, 438),
    ),
}
# clone, clone3, the calls whose first argument must be this process, and those where 0 stands for it.
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_OWN_ONLY = {"x86_64": (62, 234), "aarch64": (129, 131)}
_PRLIMIT = {"x86_64": 302, "aarch64": 261}
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE_THREAD = 0x00010000
_X32_BIT = 0x40000000
_ALLOW, _KILL, _EPERM, _ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06


class ConfinementError(OSError):
    """The kernel offers a confinement, and refused to set it up."""


def landlock_abi() -> int:
    """The version of Landlock's interface; 0 where the kernel has none."""
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def has_seccomp() -> bool:
    """Whether the kernel filters system calls, on a processor whose numbers of them are known here."""
    return platform.machine() in _REFUSED and (system.PROC / "sys" / "kernel" / "seccomp" / "actions_avail").exists()


def describe() -> str:
    """What `confine` puts in force on this machine, in words."""
    abi = landlock_abi()
    files = f"Landlock (ABI {abi})" if abi else "no confinement by this kernel, operators are checked"
    if has_seccomp():
        network = "seccomp"
    elif abi >= _TCP_ABI:
        network = "Landlock, TCP only"
    else:
        network = "no confinement by this kernel"
    return f"files: {files}; network and programs: {network}; memory, CPU time and file size: limits"


def confine(readable: Iterable[Path], writable: Iterable[Path], scratch: Path, file_bytes: int) -> None:
    """Confine this process and all threads it will start; there is no way back.

    It may read what is at and below `readable`, also write what is in `writable` (devices), and do everything below
    `scratch`. No socket, no other program, no signal to another process. A file may grow to `file_bytes`.

    Raises:
        ConfinementError: the kernel offers this and refused it.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_FSIZE, file_bytes)
    if _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise _failed("no_new_privs")
    if abi := landlock_abi():
        _restrict_files(abi, readable, writable, scratch)
    if has_seccomp():
        _filter_calls(platform.machine())


def limit_memory(data_bytes: int) -> None:
    """Bound the memory that this process may still ask for, to `data_bytes` in all.

    Counted is what it may write and is nobody else's (`RLIMIT_DATA`); the address space is bounded more loosely, for
    threads reserve far more of it than they use.
    """
    held = _status_bytes("VmData")
    _lower(resource.RLIMIT_DATA, held + data_bytes)
    _lower(resource.RLIMIT_AS, _status_bytes("VmSize") + data_bytes + (4 << 30))


def limit_cpu(seconds: int) -> None:
    """Bound the CPU time of this process, from now on, to `seconds`; SIGXCPU ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + seconds)


def _lower(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, hard))


def _status_bytes(key: str) -> int:
    for line in (system.PROC / "self" / "status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) << 10
    return 0


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _failed(what: str) -> ConfinementError:
    number = ctypes.get_errno()
    return ConfinementError(number, f"{what}: {os.strerror(number)}")


def file_rights(abi: int) -> int:
    """The rights to files that a version of Landlock's interface can take away, a bit each; of newer ones the known.

    As in the kernel's userspace-api/landlock.rst: 13 at first, then moving files elsewhere, truncating, and devices.
    """
    return (1 << _RIGHTS_BY_ABI.get(abi, 16)) - 1


def _restrict_files(abi: int, readable: Iterable[Path], writable: Iterable[Path], scratch: Path) -> None:
    handled = file_rights(abi)
    attributes = [handled]
    if abi >= _TCP_ABI:
        attributes.append(_BIND_AND_CONNECT)
    if abi >= _SCOPE_ABI:
        attributes.append(_ABSTRACT_SOCKETS_AND_SIGNALS)
    packed = struct.pack(f"={len(attributes)}Q", *attributes)
    ruleset = _libc().syscall(_CREATE_RULESET, packed, ctypes.c_size_t(len(packed)), 0)
    if ruleset < 0:
        raise _failed("landlock_create_ruleset")
    try:
        for path in readable:
            _allow(ruleset, path, _READ)
        for path in writable:
            _allow(ruleset, path, _READ | (_WRITE_FILE & handled))
        _allow(ruleset, scratch, handled)
        if _libc().syscall(_RESTRICT_SELF, ruleset, 0):
            raise _failed("landlock_restrict_self")
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    """Allow `rights` at and below a path; one that is not there, or must not be opened, needs no rule."""
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, handle)
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            rights &= _ON_FILES
        rule = struct.pack("=Qi", rights, handle)
        if _libc().syscall(_ADD_RULE, ruleset, 1, rule, 0):
            raise _failed(f"landlock_add_rule of {path}")


def filter_code(machine: str, own: int) -> list[tuple[int, int, int, int]]:
    """The filter of system calls for a processor, and for the process `own`: instructions of classic BPF.

    Each is an operation, how many to leave out if it holds and if not, and a value (`struct sock_filter` of Linux).
    """
    # Each rule starts with the number of the call in the accumulator, and leaves it there.
    code = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, _ARCHITECTURE[machine]), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    if machine == "x86_64":
        code += [(_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, _EPERM)]
    for number in _REFUSED[machine]:
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _EPERM)]
    # glibc falls back on clone, whose flags a filter can see.
    code += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ENOSYS)]
    code += [(_EQUAL, 0, 4, _CLONE[machine]), (_LOAD, 0, 0, 16), (_ANY_BIT, 0, 1, _CLONE_THREAD)]
    code += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _EPERM)]
    for number in _OWN_ONLY[machine]:
        code += [(_EQUAL, 0, 4, number), (_LOAD, 0, 0, 16), (_EQUAL, 0, 1, own)]
        code += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _EPERM)]
    code += [(_EQUAL, 0, 5, _PRLIMIT[machine]), (_LOAD, 0, 0, 16), (_EQUAL, 1, 0, 0), (_EQUAL, 0, 1, own)]
    code += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _EPERM), (_RETURN, 0, 0, _ALLOW)]
    return code


def _filter_calls(machine: str) -> None:
    code = filter_code(machine, os.getpid())
    instructions = b"".join(struct.pack("=HBBI", *each) for each in code)
    buffer = ctypes.create_string_buffer(instructions, len(instructions))

    class Program(ctypes.Structure):
        """`struct sock_fprog`."""

        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    program = Program(len(code), ctypes.cast(buffer, ctypes.c_void_p))
    if _libc().prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
        raise _failed("seccomp")
