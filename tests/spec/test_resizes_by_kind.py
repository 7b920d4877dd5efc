"""A resize is a table with a kind: anything else is refused in these words, and what is one comes back as it was."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_specs

from densecast.errors import BadConfigError
from densecast.io import codec
from densecast.spec.conversions import one_or_many
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import Letterbox, Native, PoseAffine, Preprocess, ScaleBy, Stretch


@pytest.mark.parametrize("resize", ["native", 3, None, ["native"], {}, {"kind": "Native"}, {"kind": None}, {"size": 1}])
def test_what_is_no_table_with_a_kind_is_refused(resize: Any) -> None:
    with pytest.raises(BadConfigError, match="a resize is a table with a kind, one of native, "):
        codec.from_plain({"resize": resize}, Preprocess, "a.toml")


@pytest.mark.parametrize("resize", [Native(), ScaleBy(0.5), Stretch((8, 16)), Letterbox((8, 16)), PoseAffine(64, 32)])
def test_a_rule_comes_back_as_it_was(resize: Any) -> None:
    rule = Preprocess(resize)
    plain = codec.to_plain(rule)
    assert plain["resize"]["kind"] == resize.kind and codec.from_plain(plain, Preprocess, "a") == rule


@pytest.mark.parametrize("spec", [tiny_specs.segmentation(), tiny_specs.pose()])
def test_options_of_a_task_are_written_with_their_kind_and_come_back(spec: ModelSpec) -> None:
    plain = codec.to_plain(spec)
    assert plain["decode"]["kind"] == spec.task and isinstance(plain["decode"], dict)
    assert codec.from_plain(plain, ModelSpec, "a") == spec
    for wrong in ({}, {"kind": 3}, {"kind": "unheard_of"}):
        with pytest.raises(Exception, match=r"kind|unheard_of"):
            codec.from_plain({**plain, "decode": wrong}, ModelSpec, "a")


def test_one_number_stands_for_all_channels() -> None:
    for value, expected in ((3, (3,)), (0.5, (0.5,)), ((1, 2), (1, 2)), ([1], [1]), (True, True), ("3", "3")):
        assert one_or_many(value) == expected
