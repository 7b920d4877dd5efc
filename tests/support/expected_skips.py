"""Every test that may be skipped, and why; `pytest --expected-skips-only` fails on any other.

A skip says that something was not tried. What a machine with every extra lacks stands here with its reason; a package
that an extra brings does not: where it cannot be imported, the run is no full one, and fails.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Expected(NamedTuple):
    """Tests whose id begins with `where` may be skipped in words that begin with the expression `reason`."""

    where: str
    reason: str
    why: str


_DATA = "real images are beside the checkout or not; all that needs them has a twin with images made for the test"
_KERNEL = "what a kernel or container permits is not the project's; the test says that nothing was asserted"
_CPU = "another kind of CPU; the other kinds have the other tests"
_TOOL = "a program that no extra can bring; its absence is said aloud"
_CONTRACT = "a contract asks every plug-in; this one says that it has no such thing"

EXPECTED = (
    # Plug-ins that have no such thing.
    Expected(
        "tests/contracts/test_backends_contract.py", r"\w+ has no (16-bit precision|int8|force_\w+), and", _CONTRACT
    ),
    Expected("tests/contracts/test_backends_contract.py", r"\w+ runs one inference at a time", _CONTRACT),
    Expected("tests/contracts/test_datasets_contract.py", r"one file holds all its targets", _CONTRACT),
    Expected("tests/contracts/test_datasets_contract.py", r"its targets are no maps", _CONTRACT),
    Expected("tests/contracts/test_networks_contract.py", r"this network's options cannot be read", _CONTRACT),
    Expected("tests/contracts/test_networks_contract.py", r"[\d,]+ parameters at its narrowest", "a slow test does it"),
    Expected("tests/contracts/test_zoo_contract.py", r"only (pose|segmentations)", _CONTRACT),
    Expected("tests/contracts/test_zoo_contract.py", r"its weights (are fetched, not shipped|bring)", _CONTRACT),
    Expected("tests/backends/test_compiled_cache.py", r"it keeps an ONNX graph", _CONTRACT),
    Expected("tests/imaging/test_read.py", r"Pillow does not write \w+ as \w+", "no such files exist"),
    Expected("tests/large/test_picture_strips.py", r"Pillow writes no such file", "no such files exist"),
    Expected("tests/minimal/", r"\w+ is installed here", "CI's first step runs these without any extra"),
    # Engines that vendors give to owners of their cards only.
    Expected("tests/", r"(ais_bench|magicmind) is not installed", "vendors' engines; fakes stand in for them"),
    # Real images.
    Expected("tests/", r"set DENSECAST_TEST_DATA to", _DATA),
    Expected("tests/", r"DENSECAST_TEST_DATA holds no", _DATA),
    Expected("tests/datasets/test_real_carvana.py", r"there are enough images for one", _DATA),
    # Kernels, containers, systems.
    Expected("tests/export/", r"this kernel has no Landlock or no seccomp", _KERNEL),
    Expected("tests/", r"new name spaces are not permitted here", _KERNEL),
    Expected("tests/", r"strace (is not permitted|may not attach)", _KERNEL),
    Expected("tests/cli/test_endings.py", r"only root can become", _KERNEL),
    Expected("tests/io/test_killed.py", r"this C library has no renameat2", _KERNEL),
    Expected("tests/large/test_large_tiles.py", r"needs a device that is always full", _KERNEL),
    Expected("tests/cpus/test_targets.py", r"needs /proc/cpuinfo", _KERNEL),
    Expected("tests/test_architecture.py", r"not a git checkout", "a source archive has no list of its own files"),
    # CPUs.
    Expected("tests/cpus/", r"this CPU has n", _CPU),
    Expected("tests/cpus/", r"weights of 8 bits cannot be built on this CPU", _CPU),
    Expected("tests/kernels/", r"OpenCV('s own| gives other)", _CPU),
    # Programs that are not Python packages, or live in an environment of their own.
    Expected("tests/", r"strace is not installed", _TOOL),
    Expected("tests/containers/", r"\w+ is not installed", _TOOL),
    Expected("tests/handover/test_cpp.py", r"NO ", _TOOL),
    Expected("tests/handover/test_bundle.py", r"NO index", "pip's index cannot be reached from everywhere"),
    Expected("tests/handover/test_receivers_software.py", r"NO \w+: what is handed over", _TOOL),
    Expected("tests/", r"needs Chromium", _TOOL),
    Expected("tests/serve/test_page.py", r"needs playwright", _TOOL),
    Expected("tests/serve/test_openapi.py", r"schemathesis is not installed", _TOOL),
    Expected("tests/tasks/test_predictions.py", r"supervision is not installed", _TOOL),
)


def is_expected(test: str, reason: str) -> bool:
    """Whether a test's id and the words of its skip are in the list."""
    said = reason.removeprefix("Skipped: ")
    return any(test.startswith(each.where) and re.match(each.reason, said) for each in EXPECTED)
