"""Maps what masks hold to a model's classes: by index, by name, by colour, with values left out or moved."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from densecast.datasets._label_map import in_words
from densecast.datasets._masks import MaskColours, Values, read_values
from densecast.datasets.pairs.colour_tables import read_table
from densecast.datasets.pairs.data_file import DataFile
from densecast.errors import BadDatasetError, UsageError
from densecast.spec.data_options import Reading
from densecast.spec.model import Rgb
from densecast.spec.sample import LabelMap, target_dtype
from densecast.tasks.segmentation.palettes import IGNORED
from densecast.tasks.segmentation.palettes import ignored as ignored_label

_LARGEST = 65535
# Of so many values in a row, as of smoothed edges, none numbers an object.
_ALL_GREYS = 250
_FOREGROUND = 1
# So many classes that are left out are named.
_NAMED = 5
# What a value is mapped to that is not evaluated.
LEFT_OUT = -2


@dataclass(frozen=True, slots=True)
class Classes:
    """The class of each mask value (`LEFT_OUT` for none), the meaning of colours, and in words what is not by index.

    `names` are what the data call the values 0, 1, …; empty where they do not.
    """

    table: dict[int, int]
    colours: MaskColours
    words: tuple[str, ...]
    names: tuple[str, ...] = ()

    def label_map(self, mask: Path) -> LabelMap:
        """Read a mask as (H, W) class indices, and 255 (65535 of over 255 classes) where nothing is evaluated.

        Raises:
            BadImageError: see `read_values`.
            BadDatasetError: a value that is no class; names its share and the cure.
        """
        return self.of_values(read_values(mask, self.colours)[0], mask)

    def of_values(self, values: Values, mask: Path) -> LabelMap:
        """The class indices of a mask's values, as `label_map`.

        Raises:
            BadDatasetError: a value that is no class.
        """
        if values.dtype != np.uint8 and (int(values.min()) < 0 or int(values.max()) > _LARGEST):
            cure = " Write 255 for what is not evaluated." if int(values.min()) < 0 else ""
            raise BadDatasetError(
                f"{mask}: values from {values.min()} to {values.max()}; a mask holds 0 to {_LARGEST}.{cure}"
            )
        largest = int(values.max())
        counted = np.bincount(values.reshape(-1), minlength=largest + 1)
        foreign = [int(value) for value in np.flatnonzero(counted) if int(value) not in self.table]
        if foreign:
            raise BadDatasetError(self._foreign(mask, foreign, counted[foreign].sum() / values.size, largest))
        count = self.colours.classes or IGNORED
        lookup = np.full(max(largest + 1, 256), ignored_label(count), target_dtype(count))
        for value, index in self.table.items():
            if value <= largest and index != LEFT_OUT:
                lookup[value] = index
        return lookup[values]

    @property
    def _last(self) -> int:
        """The largest value that is a class; 255, which is not evaluated, is beyond it."""
        return max((value for value, index in self.table.items() if index != LEFT_OUT), default=0)

    def _foreign(self, mask: Path, foreign: list[int], share: float, largest: int) -> str:
        shown = ", ".join(map(str, foreign[:5])) + (", …" if len(foreign) > 5 else "")
        if mask.suffix.lower() in (".jpg", ".jpeg"):
            cure = "JPEG changes values: save masks as PNG, or pass --soft-masks where they are black and white"
        elif foreign == [self._last + 1] or (len(self.table) > 100 and len(foreign) == 1):
            cure = "if masks count classes from 1, pass --reduce-zero-label; else --remap or --ignore"
        elif self.colours.classes == 2 and 1 < len(foreign) < _ALL_GREYS and foreign == [*range(2, len(foreign) + 2)]:
            cure = "if they number objects, write the masks anew with 1 for each object (mask > 0)"
        elif foreign == [IGNORED]:
            cure = "pass --ignore 255 or --remap 255=1"
        elif len(foreign) > 20:
            cure = "the values are smoothed: save masks without antialiasing, or pass --soft-masks"
        else:
            cure = f"say what they are: --ignore {foreign[0]}, or --remap {foreign[0]}=CLASS"
            if self.colours.classes == 2 and len(foreign) > 1:
                cure += "; or pass --soft-masks, if edges are smoothed"
        return (
            f"{mask}: {share:.1%} of the pixels have labels that are no class of the model ({shown}; known are "
            f"{in_words(sorted(self.table))}). Cure: {cure}."
        )


def classes_of(file: DataFile, reading: Reading, root: Path, *, reduce_zero: bool, binary: bool) -> Classes:
    """The classes of the masks for a model. `binary`: masks hold 0 and 255 alone, which are its two classes.

    Raises:
        UsageError: names or values that are neither the model's nor the masks'.
        BadDatasetError: classes of the masks that the model does not have.
    """
    colours, names = _colour_values(file, reading, root)
    words: list[str] = []
    table = _base(names, file, reading, words)
    if reduce_zero:
        table = {0: LEFT_OUT, **{value + 1: index for value, index in table.items()}}
        words.append("0 is not evaluated, 1 is the first class")
    if binary:
        table = {0: 0, IGNORED: _FOREGROUND}
        words.append("masks hold 0 and 255, which are the two classes")
    offset = 1 if reduce_zero else 0
    # Masks whose values nothing names have the model's classes in their order.
    named = names or reading.labels
    for left, right in _remaps(file, reading).items():
        table[_value(left, named, offset, "remap")] = _class(right, reading, "remap")
    ignored = (*file.ignore, *reading.options.ignore)
    for entry in ignored:
        table[_value(entry, named, offset, "ignore")] = LEFT_OUT
    if file.leaves_others_out and any(index >= 0 for index in table.values()):
        words += _leave_others_out(table, names, offset)
    _refuse_unknown(table, names, offset, reading)
    table.setdefault(IGNORED, LEFT_OUT)
    subset = (*file.subset, *reading.options.subset)
    if subset:
        kept = {_class(entry, reading, "subset") for entry in subset}
        table = {value: index if index in kept else LEFT_OUT for value, index in table.items()}
        words.append(f"only {', '.join(subset)} evaluated")
    if colours:
        words.append(f"{len(colours)} colours of classes")
    return Classes(table, _mask_colours(colours, file, reading), tuple(words), names)


def _colour_values(file: DataFile, reading: Reading, root: Path) -> tuple[dict[Rgb, int], tuple[str, ...]]:
    """The value of each declared colour, and the names of all values."""
    named, asked = file.colours, reading.options.colours
    if asked == "model" or file.model_colours:
        if not reading.palette:
            raise UsageError("colours 'model' needs a model with a palette.", field="colours")
        return {colour: index for index, colour in reversed(list(enumerate(reading.palette)))}, file.names
    if asked is not None:
        path = root / asked
        named = read_table(path if path.is_file() else Path(asked))
    if not named:
        return {}, file.names
    if all(name.isdecimal() for name in named.values()) and not file.names:
        return {colour: int(name) for colour, name in named.items()}, ()
    names = file.names or tuple(dict.fromkeys(named.values()))
    known = {folded(name): value for value, name in enumerate(names)}
    for colour, name in named.items():
        if folded(name) not in known:
            raise UsageError(
                f"the colour {colour} is of {name!r}, which is none of {', '.join(names)}.", field="colours"
            )
    return {colour: known[folded(name)] for colour, name in named.items()}, names


def _base(names: tuple[str, ...], file: DataFile, reading: Reading, words: list[str]) -> dict[int, int]:
    """Value -> class before anything is moved: by the names of both sides, else by index; -1 for names without one."""
    labels = reading.labels
    if not names:
        return {index: index for index in range(len(labels) or IGNORED)}
    if not labels:
        return {index: index for index in range(len(names))}
    known = {folded(label): index for index, label in enumerate(labels)}
    by_name = {value: known.get(folded(name), -1) for value, name in enumerate(names)}
    if all(index == -1 for index in by_name.values()) and len(names) == len(labels):
        words.append(f"names differ from the model's; classes by their order, {names[-1]!r} is {labels[-1]!r}")
        return {index: index for index in range(len(names))}
    if any(index not in (-1, value) for value, index in by_name.items()):
        words.append("classes by name")
    return by_name


def _remaps(file: DataFile, reading: Reading) -> dict[str, str]:
    given = {left.strip(): right.strip() for left, _, right in (each.partition("=") for each in reading.options.remap)}
    return {**file.remap, **given}


def _value(text: str, names: tuple[str, ...], offset: int, field: str) -> int:
    """The mask value that is meant by a number or by a class's name."""
    found = [index for index, name in enumerate(names) if folded(name) == folded(text)]
    if found:
        return found[0] + offset
    if text.isdecimal() and int(text) <= _LARGEST:
        return int(text)
    known = f"; names are {', '.join(names)}" if names else ""
    raise UsageError(f"{text!r} is no value of a mask (0 to {_LARGEST}){known}.", field=field)


def _class(text: str, reading: Reading, field: str) -> int:
    """The model's class that is meant by a name or an index; `LEFT_OUT` for `ignore`."""
    for index, label in enumerate(reading.labels):
        if folded(label) == folded(text):
            return index
    if text.lower() in ("ignore", "ignored") or (text == str(IGNORED) and len(reading.labels) <= IGNORED):
        return LEFT_OUT
    if text.isdecimal() and int(text) < (len(reading.labels) or IGNORED):
        return int(text)
    raise UsageError(
        f"{text!r} is no class of the model ({', '.join(reading.labels) or 'none named'}), nor ignore.", field=field
    )


def _refuse_unknown(table: dict[int, int], names: tuple[str, ...], offset: int, reading: Reading) -> None:
    unknown = [names[value - offset] for value, index in table.items() if index == -1]
    if unknown:
        remap, ignore = (shlex.quote(word) for word in (f"{unknown[0]}=CLASS", unknown[0]))
        raise BadDatasetError(
            f"the masks' {'classes' if len(unknown) > 1 else 'class'} {', '.join(unknown)} are none of the model's "
            f"({', '.join(reading.labels)}). Say what they are: --remap {remap}, or --ignore {ignore}."
        )


def _leave_others_out(table: dict[int, int], names: tuple[str, ...], offset: int) -> list[str]:
    """Take values of no class of the model as not evaluated; says which, in place."""
    others = [value for value, index in table.items() if index == -1]
    table.update(dict.fromkeys(others, LEFT_OUT))
    said = ", ".join(names[value - offset] for value in others[:_NAMED])
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    return [f"not evaluated, as the model does not have them: {said}{more}"] if others else []


def _mask_colours(colours: dict[Rgb, int], file: DataFile, reading: Reading) -> MaskColours:
    classes = len(reading.labels) or len(file.names) or None
    known = (reading.palette,) if reading.palette else ()
    return MaskColours(colours, known, classes, reading.options.soft_masks or file.soft_masks)


def folded(name: str) -> str:
    """A name without case, underscores, dashes and blanks around and inside."""
    return "".join(letter for letter in name.casefold() if letter not in "_- ")
