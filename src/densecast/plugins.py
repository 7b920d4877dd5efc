"""Finds plug-ins: built-in modules, installed entry points, `package.module:Name`, and plain Python objects.

A file `networks/unet.py` of the package is the network `unet`; files whose name starts with an underscore are parts.
There is no registry and no list to edit. An installed package offers its own by entry points:

```toml
[project.entry-points."densecast.tasks"]
depth = "my_package.depth:DepthTask"
```

Wherever a name is taken, `my_package.depth:DepthTask` and the object itself are taken, too. Names that a *file* brings
(a manifest, a spec) cannot import whatever they like: `package.module:Name` in a file is followed only where the user
allowed that package, by `densecast --plugin my_package`, `densecast.allow_plugins("my_package")` or the variable
`DENSECAST_PLUGINS`, or has imported the module already.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import sys
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from densecast.errors import DensecastError, PluginError, UnknownNameError

T = TypeVar("T")

VARIABLE = "DENSECAST_PLUGINS"
"""Packages, by comma, whose plug-ins a file may name."""

_allowed: set[str] = set()
_kinds: dict[str, PluginKind[Any]] = {}


def allow_plugins(*packages: str) -> None:
    """Let files name plug-ins of these packages as `package.module:Name`, in this process and its children."""
    _allowed.update(package.partition(".")[0] for package in packages)
    os.environ[VARIABLE] = ",".join(sorted(_allowed_packages()))


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """What is registered, loaded by `package.module:Name` or allowed in this block is forgotten after it.

    For tests of plug-ins, and to try an edited one again; inside, nothing is registered at first.
    """
    kept, allowed, variable = {each: each._objects for each in _kinds.values()}, set(_allowed), os.environ.get(VARIABLE)
    try:
        for each in kept:
            each._objects = {}
        yield
    finally:
        for each, objects in kept.items():
            each._objects = objects
        _allowed.clear()
        _allowed.update(allowed)
        os.environ.pop(VARIABLE, None)
        if variable is not None:
            os.environ[VARIABLE] = variable


class PluginKind(Generic[T]):
    """One kind of plug-in.

    `package` is the folder of the package's own ones and ends the entry points' group, `densecast.<package>`; `noun`
    names the kind in messages; `attribute` is what a module has to define; `protocol` is what every one has to be.
    `prefix` narrows the files that count.
    """

    def __init__(self, package: str, noun: str, attribute: str, protocol: type[T] | None, prefix: str = "") -> None:
        self.package, self.noun, self.attribute = package, noun, attribute
        self._protocol, self._prefix = protocol, prefix
        self._objects: dict[str, T] = {}
        _kinds[package] = self

    @property
    def group(self) -> str:
        """The entry-point group."""
        return f"densecast.{self.package}"

    def names(self) -> tuple[str, ...]:
        """All names, sorted: the package's own, those of entry points and those registered. Imports none of them."""
        registered = {name for name in self._objects if ":" not in name}
        return tuple(sorted({*self._own(), *self._entry_points(), *registered}))

    def load(self, name: str | T) -> T:
        """The plug-in a user means by `name`, which may be `package.module:Name` or the object itself.

        A class is called without arguments for its object.

        Raises:
            UnknownNameError: nothing of that name; the message names the nearest.
            PluginError: it cannot be imported, or lacks what this kind needs.
        """
        if not isinstance(name, str):
            return self._checked(name, getattr(name, "__qualname__", None) or repr(name))
        if name in self._objects:
            return self._objects[name]
        if name in self._own():
            module = importlib.import_module(f"densecast.{self.package}.{name}")
            return cast(T, getattr(module, self.attribute))
        if name in self._entry_points():
            return self._remembered(name, self._entry_points()[name])
        if ":" in name:
            return self._remembered(name, name)
        raise UnknownNameError.among(self.noun, name, self.names())

    def load_trusted(self, name: str) -> T:
        """Load by a name from a file, which may only import packages that the user has allowed.

        Raises:
            PluginError: `package.module:Name` of a package that is neither allowed nor imported.
            UnknownNameError, PluginError: as `load`.
        """
        module = name.partition(":")[0]
        package = module.partition(".")[0]
        known = name in self._objects or name in self._own() or name in self._entry_points()
        if ":" in name and not known and package not in _allowed_packages() and module not in sys.modules:
            raise PluginError(
                f"a file names the {self.noun} {name!r}, which would import the package {package!r}. If you trust it, "
                f"allow it: densecast --plugin {package} …, or {VARIABLE}={package}."
            )
        return self.load(name)

    def register(self, name: str, plugin: T) -> T:
        """Register an object under a name that specs and manifests may use, in this process.

        Raises:
            PluginError: it lacks what this kind needs, the name is that of another one, or has a colon.
        """
        checked = self._checked(plugin, name)
        if ":" in name:
            raise PluginError(f"{name!r} cannot name a {self.noun}: a colon stands for `package.module:Name`.")
        installed = name in self._own() or name in self._entry_points()
        if installed or self._objects.get(name, checked) is not checked:
            raise PluginError(f"there is another {self.noun} of the name {name!r}.")
        self._objects[name] = checked
        return checked

    def _own(self) -> tuple[str, ...]:
        return tuple(name for name in _modules(self.package) if name.startswith(self._prefix))

    def _entry_points(self) -> dict[str, str]:
        return _entry_points(self.group)

    def _remembered(self, name: str, reference: str) -> T:
        self._objects[name] = plugin = self._imported(name, reference)
        return plugin

    def _imported(self, name: str, reference: str) -> T:
        module_name, _, path = reference.partition(":")
        try:
            imported: object = importlib.import_module(module_name)
            for part in path.split("."):
                imported = getattr(imported, part)
        except DensecastError:
            raise
        except Exception as error:  # a user's module raises whatever it likes while it is imported
            raise PluginError(
                f"the {self.noun} {name!r} ({reference}) cannot be imported: {type(error).__name__}: {error}."
            ) from error
        return self._checked(imported, name)

    def _checked(self, plugin: object, name: str) -> T:
        """The plug-in (or an instance of its class), checked to have all members of its kind."""
        if isinstance(plugin, type):
            # Before it is called: a file may name any class of a module that happens to be imported.
            self._require(plugin, name, _methods(self._protocol))
            if (
                self._protocol is not None
                and not _is_protocol(self._protocol)
                and not issubclass(plugin, self._protocol)
            ):
                raise PluginError(f"{name} is no {self.noun}: it is not derived from {self._protocol.__name__}.")
            try:
                plugin = plugin()
            except Exception as error:  # a user's class raises whatever it likes
                raise PluginError(
                    f"the {self.noun} {name!r} cannot be made without arguments: {type(error).__name__}: {error}."
                ) from error
        if self._protocol is not None and not isinstance(plugin, self._protocol):
            self._require(plugin, name, _members(self._protocol))
            raise PluginError(f"{name} is no {self.noun}: it is not of the right type.")
        return cast(T, plugin)

    def _require(self, plugin: object, name: str, members: set[str]) -> None:
        missing = sorted(members - set(dir(plugin)))
        if missing:
            raise PluginError(f"{name} is no {self.noun}: it lacks {', '.join(missing)}.")


@cache
def _modules(package: str) -> tuple[str, ...]:
    home = importlib.import_module(f"densecast.{package}")
    return tuple(sorted(module.name for module in pkgutil.iter_modules(home.__path__) if module.name[0] != "_"))


def _entry_points(group: str) -> dict[str, str]:
    # What is installed while a program runs changes its folder.
    return _installed(group, tuple((each, _changed_ns(each)) for each in sys.path))


def _changed_ns(folder: str) -> int | None:
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return None


@lru_cache(maxsize=32)
def _installed(group: str, search_path: tuple[tuple[str, int | None], ...]) -> dict[str, str]:
    """Entry points of all packages on this search path: name -> `package.module:Name`."""
    del search_path
    from importlib import metadata  # it takes longer to import than all of this package's command line

    return {point.name: f"{point.module}:{point.attr}" for point in metadata.entry_points(group=group)}


def _members(protocol: type | None) -> set[str]:
    """The member names that a protocol or class requires."""
    return {name for name in dir(protocol) if not name.startswith("_")} if protocol else set()


def _methods(protocol: type | None) -> set[str]:
    """The required members that are methods; objects may set the others in their `__init__`."""
    return {name for name in _members(protocol) if callable(getattr(protocol, name))}


def _is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


def _allowed_packages() -> set[str]:
    from_environment = (name.strip().partition(".")[0] for name in os.environ.get(VARIABLE, "").split(","))
    return _allowed | {name for name in from_environment if name}


def kind(package: str) -> PluginKind[Any]:
    """The kind of plug-in that a folder of the package holds, as `tasks`."""
    importlib.import_module(f"densecast.{package}._base")
    return _kinds[package]
