"""The shape of what `--json` writes for every verb: the key paths that scripts follow, with their types.

`score.value: number`, `rows[].artifact: string`; `files.*: string` where keys depend on the data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from json_calls import CALLS, Json, prepare

GOLDEN = Path(__file__).parent / "golden" / "json_contract.json"
REMAKE = "if that is meant: python tests/golden/make_contract_goldens.py json, and say so in CHANGELOG.md"

# Maps whose keys are names in the data: of files, layers, images, packages, classes, sizes, plug-ins, options.
NAMED_BY_DATA = re.compile(
    r"(^|\.)(backends|extras|files|foreign|input_preprocess|layers|measurements|(?<!search\.)(?<!tuning\.)options|other_outputs|output_shapes|packages"
    r"|per_class\.[^.]+|per_image|performance|sensitivity|settings|tried|tried_biases|values|variants)$"
)
# A path from the root of the file system, alone or in a sentence.
PATH = re.compile(r"(^|[\s'\"(=])/[^\s/]+/")
# What is there or not, and of this type or null, as the machine and the installation have it.
OF_THE_MACHINE = re.compile(
    r"(^|\.)(machine\.(cpu_flags|packages)|cgroup_quota_cpus|extras|backends\.\*\.(devices|missing|notes|precisions)|cpu_targets|target\.needs"
    r"|joules_per_image|images_per_kwh)$"
)


def shape(value: object) -> list[str]:
    """Every path to a plain value with its type, sorted; types that differ between elements are all named."""
    found: dict[str, set[str]] = {}
    for path, kind in _walk(value, ""):
        found.setdefault(path, set()).add(kind)
    return sorted(f"{path}: {'|'.join(sorted(kinds))}" for path, kinds in found.items())


def _walk(value: object, path: str) -> Iterator[tuple[str, str]]:
    if OF_THE_MACHINE.search(path):
        yield path, "as the machine has it"
    elif isinstance(value, dict) and value:
        for key, each in value.items():
            step = "*" if NAMED_BY_DATA.search(path) else key
            yield from _walk(each, f"{path}.{step}".removeprefix("."))
    elif isinstance(value, list) and value:
        for each in value:
            yield from _walk(each, f"{path}[]")
    else:
        yield path, _kind(value)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return {str: "string", dict: "empty object", list: "empty array"}[type(value)]


def _score(found: Json) -> object:
    assert isinstance(found, dict)
    return found["score"]


def _states(found: Json) -> object:
    assert isinstance(found, dict) and isinstance(found["checks"], list)
    return {check["name"]: check["state"] for check in found["checks"]}


# What is the same on every machine, whole.
SETTLED: dict[str, Callable[[Json], object]] = {
    "evaluate": _score,
    "compare results": lambda found: found,
    "diagnose": lambda found: found,
    "verify": _states,
}


def everything(root: Path) -> dict[str, dict[str, object]]:
    """The contents of the golden file, for which every extra is needed."""
    prepare(root)
    found = {name: make(root) for name, (make, _) in CALLS.items()}
    return {
        "shapes": {name: shape(each) for name, each in found.items()},
        "values": {name: of(found[name]) for name, of in SETTLED.items()},
    }


def _close(found: object, wanted: object, path: str = "") -> None:
    """Equal, numbers but for the rounding of sums in another order."""
    if isinstance(wanted, dict):
        assert isinstance(found, dict) and set(found) == set(wanted), path
        for key, each in wanted.items():
            _close(found[key], each, f"{path}.{key}")
    elif isinstance(wanted, list):
        assert isinstance(found, list) and len(found) == len(wanted), path
        for index, each in enumerate(wanted):
            _close(found[index], each, f"{path}[{index}]")
    else:
        assert found == (pytest.approx(wanted, rel=1e-9) if isinstance(wanted, float) else wanted), path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("contract"))


@pytest.fixture(scope="module")
def golden() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks) for name, (_, marks) in CALLS.items()])
def test_json_has_the_recorded_shape(name: str, root: Path, golden: dict[str, dict[str, object]]) -> None:
    found = CALLS[name][0](root)
    assert shape(found) == golden["shapes"][name], REMAKE
    if name in SETTLED:
        _close(SETTLED[name](found), golden["values"][name])


def texts(value: object) -> Iterator[str]:
    """Every string in it, names of keys too."""
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("name", ["evaluate", "infer", "verify", "build -b onnxruntime", "compare --data", "doctor"])
def test_json_has_no_path_from_the_root_that_nobody_gave(
    name: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not [text for text in texts(CALLS[name][0](root)) if PATH.search(text.replace(str(root), "given"))]
    monkeypatch.chdir(root)
    assert not [text for text in texts(CALLS[name][0](Path())) if PATH.search(text)]


def test_every_verb_with_json_has_a_recorded_shape() -> None:
    from test_public_names import public_names

    options = public_names()["options"]
    assert isinstance(options, dict)
    writing = {name.removeprefix("densecast ") for name, given in options.items() if "--json" in given}
    # What the demo writes is what run writes.
    recorded = {name.partition(",")[0] for name in CALLS} | {"compare-results", "handoff rehearse", "demo"}
    assert all(any(name == verb or name.startswith(f"{verb} ") for name in recorded) for verb in writing)


def test_a_shape_names_paths_types_and_maps_of_the_data() -> None:
    given = {"files": {"a.xml": "ab"}, "score": {"value": 0.5, "per_class": {"IoU": {"road": None}}}, "rows": [{}, 1]}
    assert shape(given) == [
        "files.*: string",
        "rows[]: empty object|number",
        "score.per_class.IoU.*: null",
        "score.value: number",
    ]
