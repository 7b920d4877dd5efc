"""Every model runs in a process of its own once before it is used, and never a second time in the same way."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tiny_artifacts

from densecast.artifact import CompiledArtifact
from densecast.io import files
from densecast.runtime import trial
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.precision import Precision


@pytest.mark.parametrize("precision", ["force_float32", "force_float16"])
def test_no_model_is_tried_twice_in_one_type(
    precision: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    tried: list[tuple[str, str]] = []
    run = trial.run

    def noted(function: str, payload: dict[str, Any], **given: Any) -> Any:
        path = Path(payload["model"])
        held = files.sha256(path) + files.sha256(path.with_suffix(".bin"))
        tried.append((held, f"{payload['hint']} {payload['calibrates']}"))
        return run(function, payload, **given)

    monkeypatch.setattr(trial, "run", noted)
    built = tiny_artifacts.compiled(tmp_path, BuildOptions("openvino", precision, InputShape((1,), 40, 56)))
    assert isinstance(built, CompiledArtifact)
    ran = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}[built.manifest.precision_ran.compute]
    assert max(Counter(tried).values()) == 1
    assert f"{ran} False" in {how for _, how in tried}
