"""What is left out means what it meant: defaults of options, of fields of records, and of public functions.

A file that an earlier densecast wrote leaves out the fields that came later, and a user's call the options that were
not needed: either means something else when a default changes.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any

import densecast

GOLDEN = Path(__file__).parent / "golden" / "defaults.json"
REMAKE = "if that is meant: python tests/golden/make_contract_goldens.py defaults, and say so in CHANGELOG.md"
# Packages whose dataclasses are options, specs, records in files, or results.
KEPT = ("artifact", "metrics", "report", "results", "runtime", "spec", "tasks", "measure.store")


def modules(package: str) -> list[ModuleType]:
    """A package's modules and those of packages in it."""
    top = importlib.import_module(f"densecast.{package}")
    names = [each.name for each in pkgutil.walk_packages(top.__path__, f"{top.__name__}.")]
    return [top, *(importlib.import_module(name) for name in names)]


def told(value: object) -> str:
    """A default as a text that is the same in every process."""
    return f"{value.__module__}.{value.__qualname__}" if inspect.isfunction(value) else repr(value)


def of_fields(kind: type[Any]) -> dict[str, str]:
    """The defaults of a dataclass's fields, as texts."""
    found = {}
    for each in dataclasses.fields(kind):
        if each.default is not dataclasses.MISSING:
            found[each.name] = told(each.default)
        elif each.default_factory is not dataclasses.MISSING:
            found[each.name] = repr(each.default_factory())
    return found


def of_parameters(call: Any) -> dict[str, str]:
    """The defaults of a function's parameters, as texts."""
    given = inspect.signature(call).parameters.values()
    return {each.name: told(each.default) for each in given if each.default is not each.empty}


def defaults() -> dict[str, dict[str, str]]:
    """By dataclass and public function: the name of each field or parameter that may be left out, and its default."""
    found: dict[str, dict[str, str]] = {}
    for package in KEPT:
        for module in modules(package):
            for name, kind in vars(module).items():
                own = inspect.isclass(kind) and kind.__module__ == module.__name__
                if own and dataclasses.is_dataclass(kind) and not name.startswith("_"):
                    found[f"{module.__name__}.{name}"] = of_fields(kind)
    for name in densecast.__all__:
        public = getattr(densecast, name)
        if inspect.isfunction(public):
            found[f"densecast.{name}()"] = of_parameters(public)
        elif inspect.isclass(public):
            for member, call in inspect.getmembers(public, inspect.isroutine):
                if not member.startswith("_") and str(getattr(call, "__module__", "")).startswith("densecast"):
                    found[f"densecast.{name}.{member}()"] = of_parameters(call)
    return {name: texts for name, texts in sorted(found.items()) if texts}


def test_what_is_left_out_means_what_it_meant() -> None:
    kept, found = json.loads(GOLDEN.read_text(encoding="utf-8")), defaults()
    assert len(kept) > 100
    assert {name: texts for name, texts in found.items() if kept.get(name) != texts} == {}, REMAKE
    assert sorted(kept) == sorted(found), REMAKE
