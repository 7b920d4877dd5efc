"""What was measured on other CPUs keeps what is promised of it: read from the recorded table."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from densecast.verbs import other_cpu

ROOT = Path(__file__).resolve().parents[2]
TABLE: dict[str, Any] = json.loads(
    (ROOT / "benchmarks" / "results" / "printed" / "portable.json").read_text(encoding="utf-8")
)
CELLS: list[dict[str, Any]] = json.loads(
    (ROOT / "benchmarks" / "results" / "portable.json").read_text(encoding="utf-8")
)["rows"]
SHIPPED = ("unet_tiny", "fcn_tiny", "ocrnet_hr18s_tiny", "hrnet_w32_ae_tiny")
# Every label of its two photographs is background: how far outputs are from the AMX machine's stands there.
BY_OUTPUTS = "deeplabv3_mnv2_voc, OpenVINO"
ONE_LABEL = 0.01
# ONNX Runtime does not read the variable that makes this machine one of VNNI alone.
ENGINES = {
    "OpenVINO": {"AMX", "VNNI", "AVX-512 without VNNI", "Haswell (AVX2)"},
    "ONNX Runtime": {"AMX", "Haswell (AVX2)"},
}
FIGURE = re.compile(r"([\d.e-]+)( %)?(?: \[([\d.e-]+)(?: %)?\])?(?: \(.*\))?")


def any_int8(row: list[str]) -> dict[str, re.Match[str]]:
    """The figures of int8 for all CPUs, by CPU."""
    place = next(place for place, build in enumerate(row[0].split(" · ")) if "`any`" in build)
    told = {cpu: cell.split(" · ") for cpu, cell in zip(TABLE["columns"][1:], row[1:], strict=True)}
    found = {cpu: FIGURE.fullmatch(parts[place]) for cpu, parts in told.items() if parts[0] != "not run"}
    assert all(found.values()), (row, found)
    return {cpu: figure for cpu, figure in found.items() if figure}


ROWS = [row for row in TABLE["rows"] if "`any`" in row[0]]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_int8_for_all_cpus_changes_at_most_twice_what_it_changes_with_amx(row: list[str]) -> None:
    figures = any_int8(row)
    amx = float(figures.pop("AMX")[1])
    assert figures
    for cpu, figure in figures.items():
        is_of_outputs = row[0].startswith(BY_OUTPUTS)
        most = other_cpu.MOST if is_of_outputs else 2 * float(figure[3] or amx) + (ONE_LABEL if figure[2] else 0)
        assert float(figure[1]) <= most, f"{row[0]} on {cpu}"


@pytest.mark.parametrize("network", SHIPPED)
def test_every_shipped_network_was_run_for_all_cpus(network: str) -> None:
    ran = {
        engine: any_int8(row) for row in ROWS for engine in ENGINES if row[0].startswith(network) and engine in row[0]
    }
    assert set(ran) == set(ENGINES)
    for engine, needed in ENGINES.items():
        assert needed <= set(ran[engine])


def test_cells_that_were_kept_in_full_say_the_same() -> None:
    changed = {name: [row for row in CELLS if row["variant"].endswith(name)] for name in ("int8_any", "fp32_any")}
    assert changed["int8_any"]
    for row in changed["int8_any"]:
        # OpenVINO has int8 kernels of another kind on ARM, with which a model may be refused.
        if row["outcome"] == "refused" and row["cpu"] == "ARM64" and row["variant"].startswith("openvino"):
            continue
        assert row["outcome"] == "ran" and row["changed"] <= 2 * row["changed_here"] + ONE_LABEL / 100, row
    assert all(row["changed"] < 1e-6 for row in changed["fp32_any"])


def test_float32_changes_nothing_anywhere() -> None:
    of_float32 = [row for row in TABLE["rows"] if "fp32" in row[0]]
    cells = [cell.split(" · ")[0] for row in of_float32 for cell in row[1:]]
    assert {cell for cell in cells if cell != "not run"} <= {"0", "4e-7"}


@pytest.fixture(scope="module")
def record() -> ModuleType:
    spec = importlib.util.spec_from_file_location("portable_record", ROOT / "portable" / "record.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_run_replaces_its_own_cells_and_keeps_the_others(record: ModuleType, tmp_path: Path) -> None:
    def row(cpu: str, changed: float, outcome: str = "ran") -> dict[str, Any]:
        return {"cpu": cpu, "network": "net", "variant": "openvino_int8_any", "outcome": outcome, "changed": changed}

    path = tmp_path / "kept" / "portable.json"
    record.write(path, [row("Haswell", 0.1), row("EPYC", 0.2)], images=2)
    record.write(path, [row("Haswell", 0.3), row("VNNI", 0.4, "failed")], images=1)
    kept = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert [(each["cpu"], each["changed"], each["images"]) for each in kept] == [("EPYC", 0.2, 2), ("Haswell", 0.3, 1)]
