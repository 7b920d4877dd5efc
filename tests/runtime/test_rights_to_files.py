"""Which rights to files a kernel is asked to take away: those that its version of Landlock knows, or it refuses all."""

from __future__ import annotations

import pytest

from densecast.runtime import confinement

# include/uapi/linux/landlock.h: EXECUTE is bit 0, MAKE_SYM 12, REFER 13, TRUNCATE 14, IOCTL_DEV 15.
MAKE_SYM, REFER, TRUNCATE, IOCTL_DEV = 12, 13, 14, 15


@pytest.mark.parametrize(
    ("abi", "last"),
    [(1, MAKE_SYM), (2, REFER), (3, TRUNCATE), (4, TRUNCATE), (5, IOCTL_DEV), (6, IOCTL_DEV), (9, IOCTL_DEV)],
)
def test_rights_are_those_up_to_the_last_that_the_version_knows(abi: int, last: int) -> None:
    assert confinement.file_rights(abi) == sum(1 << bit for bit in range(last + 1))
