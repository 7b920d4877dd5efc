"""The filter of system calls, run by an interpreter of its own, refuses what it should on both kinds of processors.

The kernel of a test machine runs one of them; a wrong number in the other would let a hostile file open a socket there.
"""

from __future__ import annotations

import errno

import pytest

from densecast.runtime import confinement

OWN = 4711
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
# By the kernel's tables: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
NUMBERS = {
    "x86_64": """
        socket 41 connect 42 accept 43 sendto 44 sendmsg 46 bind 49 listen 50 socketpair 53 fork 57 vfork 58 execve 59
        ptrace 101 setpgid 109 setsid 112 rt_sigqueueinfo 129 mount 165 umount2 166 reboot 169 init_module 175 tkill 200
        kexec_load 246 add_key 248 request_key 249 keyctl 250 unshare 272 accept4 288 rt_tgsigqueueinfo 297
        perf_event_open 298 open_by_handle_at 304 setns 308 process_vm_readv 310 process_vm_writev 311 finit_module 313
        bpf 321 execveat 322 userfaultfd 323 pidfd_send_signal 424 io_uring_setup 425 pidfd_getfd 438
    """,
    "aarch64": """
        socket 198 socketpair 199 bind 200 listen 201 accept 202 connect 203 sendto 206 sendmsg 211 execve 221
        ptrace 117 setpgid 154 setsid 157 rt_sigqueueinfo 138 mount 40 umount2 39 reboot 142 init_module 105 tkill 130
        kexec_load 104 add_key 217 request_key 218 keyctl 219 unshare 97 rt_tgsigqueueinfo 240 perf_event_open 241
        accept4 242 open_by_handle_at 265 setns 268 process_vm_readv 270 process_vm_writev 271 finit_module 273 bpf 280
        execveat 281 userfaultfd 282 pidfd_send_signal 424 io_uring_setup 425 pidfd_getfd 438
    """,
}
NEEDED = {
    "x86_64": "read 0 write 1 close 3 mmap 9 mprotect 10 munmap 11 brk 12 futex 202 openat 257 exit_group 231",
    "aarch64": "read 63 write 64 close 57 mmap 222 mprotect 226 munmap 215 brk 214 futex 98 openat 56 exit_group 94",
}
CLONE, KILL_CALL, TGKILL = (
    {"x86_64": 56, "aarch64": 220},
    {"x86_64": 62, "aarch64": 129},
    {"x86_64": 234, "aarch64": 131},
)
PRLIMIT, CLONE3 = {"x86_64": 302, "aarch64": 261}, 435
# linux/audit.h: the machine's ELF number, 64 bits, least byte first.
AUDIT = {"x86_64": 62 | 0xC0000000, "aarch64": 183 | 0xC0000000}
MACHINES = list(NUMBERS)


def named(table: str) -> dict[str, int]:
    words = table.split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


def answer(machine: str, number: int, first: int = 0, audit: int | None = None) -> int:
    """What the filter says of a call with that first argument, by the rules of classic BPF (linux/filter.h)."""
    code = confinement.filter_code(machine, OWN)
    words = {0: number, 4: AUDIT[machine] if audit is None else audit, 16: first & 0xFFFFFFFF}
    held, place = 0, 0
    while True:
        operation, if_true, if_false, value = code[place]
        place += 1
        if operation == 0x20:  # BPF_LD | BPF_W | BPF_ABS
            held = words[value]
        elif operation == 0x06:  # BPF_RET | BPF_K
            return value
        else:
            holds = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[operation]
            place += if_true if holds else if_false


@pytest.mark.parametrize("machine", MACHINES)
def test_just_the_calls_that_no_computation_needs_are_refused(machine: str) -> None:
    refused = set(named(NUMBERS[machine]).values())
    conditional = {CLONE[machine], CLONE3, KILL_CALL[machine], TGKILL[machine], PRLIMIT[machine]}
    assert not refused & set(named(NEEDED[machine]).values())
    for number in range(600):
        if number not in conditional:
            assert answer(machine, number) == (ERRNO | errno.EPERM if number in refused else ALLOW), number


@pytest.mark.parametrize("machine", MACHINES)
def test_threads_may_be_started_and_processes_not(machine: str) -> None:
    thread, others = 0x00010000, 0x01200011  # CLONE_THREAD; what fork asks for
    assert answer(machine, CLONE[machine], thread | 0x00000F00) == ALLOW
    assert answer(machine, CLONE[machine], others) == ERRNO | errno.EPERM
    assert answer(machine, CLONE[machine], 0) == ERRNO | errno.EPERM
    # The newer call has its flags in memory, where no filter looks: libraries take the older one instead.
    assert answer(machine, CLONE3) == ERRNO | errno.ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_signals_and_limits_are_for_the_process_itself_only(machine: str) -> None:
    for call in (KILL_CALL[machine], TGKILL[machine]):
        assert answer(machine, call, OWN) == ALLOW
        for other in (0, 1, OWN + 1, -1):  # groups of processes, too
            assert answer(machine, call, other) == ERRNO | errno.EPERM
    for own in (0, OWN):
        assert answer(machine, PRLIMIT[machine], own) == ALLOW
    assert answer(machine, PRLIMIT[machine], OWN + 1) == ERRNO | errno.EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_by_another_processors_numbers_end_the_process(machine: str) -> None:
    """Else a program of 32 bits would have every call by a number that the filter does not mean."""
    for other in (3 | 0x40000000, AUDIT["x86_64" if machine == "aarch64" else "aarch64"]):
        assert answer(machine, 0, audit=other) == KILL


def test_the_second_set_of_numbers_of_x86_is_refused() -> None:
    for number in (0x40000000, 0x40000000 + 41, 0x40000000 + 1):
        assert answer("x86_64", number) == ERRNO | errno.EPERM
