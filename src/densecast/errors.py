"""All errors that densecast raises on purpose, with the exit code of each.

```
DensecastError                   3  something outside is missing or broken
├── UsageError                   2  the call itself is wrong
│   ├── UnknownNameError            no model, precision, backend … of that name; names the nearest
│   ├── PluginError                 a plug-in that cannot be imported, or is not what its kind has to be
│   └── BadConfigError              a spec or job file with a wrong key or value
├── GateFailedError              1  everything ran, and a stated limit was not met
│   └── ParityError                 two implementations of one network differ by more than the tolerance
├── BadInputError                3  a file from outside cannot be used
│   ├── BadImageError               unreadable, empty or too large an image
│   ├── BadVideoError               a video or camera without frames, cut off, or that cannot be opened
│   ├── BadShapeError               an array or image outside what the artifact accepts
│   ├── BadCheckpointError          missing, foreign, truncated or mismatching weights
│   ├── BadGraphError               an ONNX or TorchScript file that is not a usable network
│   ├── BadDatasetError             a data set folder that is not what it claims to be
│   ├── BadArtifactError            a damaged artifact, or one made for something else
│   │   └── WrongCpuError               an artifact whose numbers are wrong on this CPU
│   └── BadStoreError               records of a run that are damaged or incomplete
├── DeviceError                  3  a device that is here failed; says at which call, and with what status
├── WriteError                   3  a file could not be written: a full or broken disk
├── WorkerError                  3  a worker process died: out of memory, killed, or a crash inside an engine
└── MissingError                 3  something has to be installed or fetched first
    ├── MissingExtraError           an optional part of densecast; says what to install
    ├── BackendMissingError         an engine, provider or device that is not here
    └── MissingFileError            a checkpoint or data set that could not be found or fetched
```

A message states the promise, the fact and the cure, in one line.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

CPU_TORCH = "--extra-index-url https://download.pytorch.org/whl/cpu"
"""What has pip take PyTorch's build for CPUs: PyPI's own brings gigabytes of CUDA."""

_WITH_TORCH = frozenset({"torch", "all"})


class DensecastError(Exception):
    """Base class of all errors raised on purpose.

    `field` names the option or argument that is wrong, as `quantize.percentile`, where there is one: a command line or
    a web page shows it in its own words. `hint` is what to do, where that is not part of the message.
    """

    exit_code = 3

    def __init__(self, message: str = "", *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.field, self.hint = field, hint

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with all fields, so that errors survive worker processes."""
        return type(self), (str(self),), vars(self)


class UsageError(DensecastError):
    """The call itself is wrong."""

    exit_code = 2


class UnknownNameError(UsageError):
    """Nothing of that kind has that name."""

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
        """The error for an unknown `name`, suggesting the nearest of `known`."""
        choices = sorted(known)
        near = difflib.get_close_matches(name.lower(), choices, n=1, cutoff=0.4)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        return cls(f"unknown {kind} {name!r}. {hint}Known: {', '.join(choices)}.")


class PluginError(UsageError):
    """A plug-in cannot be imported, or is not what its kind has to be."""


class BadConfigError(UsageError):
    """A spec or job file has a wrong key or value."""


class GateFailedError(DensecastError):
    """Everything ran, and a stated limit was not met."""

    exit_code = 1


class ParityError(GateFailedError):
    """Two implementations of one network differ by more than the tolerance."""


class BadInputError(DensecastError):
    """An input file cannot be used."""

    @classmethod
    def not_finite(cls, what: str) -> BadInputError:
        """The error for a network's outputs, called `what`, that hold NaN or infinity."""
        return cls(
            f"{what} must be finite, got NaN or infinity. Look for an overflow with `densecast diagnose`: float16 ends "
            "at 65504. Build in float32, or in 16 bits with --half-type bf16."
        )


class BadImageError(BadInputError):
    """An image is unreadable, empty or too large."""


class TooManyPixelsError(BadImageError):
    """An image has more pixels than are decoded at once."""


class BadVideoError(BadInputError):
    """A video or camera gives no frames, stops too early, or cannot be opened; or OpenCV cannot encode one."""


class BadShapeError(BadInputError):
    """An array or image is outside what the artifact accepts."""


class BadCheckpointError(BadInputError):
    """Weights are missing, foreign, truncated or do not match the network."""


class BadGraphError(BadInputError):
    """An ONNX or TorchScript file is not a usable network."""


class BadDatasetError(BadInputError):
    """A data set folder is not what it claims to be."""


class BadArtifactError(BadInputError):
    """An artifact is damaged, or was made for something else."""


class WrongCpuError(BadArtifactError):
    """An artifact was built for other CPUs, and computes something else on this one."""


class BadStoreError(BadInputError):
    """Records of a run are damaged or incomplete."""


class DeviceError(DensecastError):
    """A device failed, or returned something other than the network's outputs."""

    @classmethod
    def of(cls, call: str, status: object, look_at: str) -> DeviceError:
        """The error for the vendor's `call` that ended with `status`; `look_at` is where the vendor says more."""
        return cls(f"{call} failed: {str(status).strip() or repr(status)}. {look_at}")


class WriteError(DensecastError):
    """A file could not be written: a full or broken disk, or a folder without permission."""


class WorkerError(DensecastError):
    """A worker process died: out of memory, killed, or a crash inside an engine."""


class MissingError(DensecastError):
    """Something has to be installed or fetched first."""


class MissingExtraError(MissingError):
    """Optional parts of densecast are not installed; `needs` says what each extra is needed for."""

    needs: Mapping[str, str] = {}

    @classmethod
    def of(cls, extra: str, wanted_for: str) -> MissingExtraError:
        """The error for `extra`, saying what needs it and how to install it."""
        return cls.together({extra: wanted_for})

    @classmethod
    def together(cls, needs: Mapping[str, str]) -> MissingExtraError:
        """The error for several extras at once, with one line that installs them all; by extra, what needs it.

        >>> str(MissingExtraError.together({"quantize": "int8", "report": "report.html"}))
        "int8 needs the [quantize] extra, report.html the [report] extra: pip install 'densecast[quantize,report]'."
        """
        said = [f"{what} the [{extra}] extra" for extra, what in needs.items()]
        said[0] = said[0].replace(" the [", " needs the [", 1)
        error = cls(f"{', '.join(said)}: {install_line(needs)}.")
        error.needs = dict(needs)
        return error


def install_line(extras: Iterable[str]) -> str:
    """The command that installs extras, with PyTorch for the CPU.

    >>> install_line(["torch", "report"])
    "pip install --extra-index-url https://download.pytorch.org/whl/cpu 'densecast[torch,report]'"
    """
    names = list(extras)
    index = f"{CPU_TORCH} " if _WITH_TORCH.intersection(names) else ""
    return f"pip install {index}'densecast[{','.join(names)}]'"


class Lacking:
    """Gathers which extras are missing over several checks, so that all of them are named at once."""

    def __init__(self) -> None:
        self._needs: dict[str, str] = {}

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Go on after a check that finds an extra missing."""
        try:
            yield
        except MissingExtraError as error:
            self.note(error)

    def note(self, error: MissingExtraError) -> None:
        """Note what an error says is missing; raise it if it names no extra."""
        if not error.needs:
            raise error
        self._needs = {**error.needs, **self._needs}

    def refuse(self) -> None:
        """Raise one error for all that were noted.

        Raises:
            MissingExtraError: there are some.
        """
        if self._needs:
            raise MissingExtraError.together(self._needs)


class BackendMissingError(MissingError):
    """An engine, provider or device is not on this machine."""


class MissingFileError(MissingError):
    """A checkpoint or data set could not be found or fetched."""

    @classmethod
    def at(cls, path: Path, what: str = "", cure: str = "", *, field: str | None = None) -> MissingFileError:
        """The error for a path at which there is no file: what is there, in words, whatever `what` was expected.

        >>> str(MissingFileError.at(Path("/nowhere"), "checkpoint", "Name a file."))
        'checkpoint /nowhere does not exist. Name a file.'
        """
        if path.is_dir():
            found = "is a folder"
        elif path.exists():  # a pipe, a socket or a device, which may never come to an end
            found = "is no file"
        else:
            found = "is a link to nothing" if path.is_symlink() else "does not exist"
        return cls(f"{f'{what} ' if what else ''}{path} {found}.{f' {cure}' if cure else ''}", field=field)
