"""What libraries say of memory is told apart: none was left, or a size is one that no memory has."""

from __future__ import annotations

import pytest

from densecast.runtime import cell


@pytest.mark.parametrize(
    "words",
    ["std::bad_alloc", "Unable to allocate 3.00 GiB for an array", "Cannot allocate memory", "CUDA out of memory"],
)
def test_no_memory_is_known_by_its_words(words: str) -> None:
    assert cell.is_about_memory(f"the model: {words}.")


def test_a_size_of_more_bytes_than_a_number_holds_is_about_the_file() -> None:
    """As `openvino.Core().read_model` says of a constant of 2**62 values; nothing was asked of the system."""
    assert not cell.is_about_memory(
        "Check 'byte_size' failed: Cannot allocate memory for type: i64 and shape: [4718536909550752067]"
    )
