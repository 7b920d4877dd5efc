"""Where results go: planned and checked before the first inference, so that nothing of the user's is written over."""

from __future__ import annotations

import contextlib
import os
import secrets
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from densecast.artifact import MANIFEST
from densecast.errors import DensecastError, UsageError
from densecast.io import own_json, system, temporaries
from densecast.io.own_results import OwnResults, state_of
from densecast.spec.verb_options import InferOptions
from densecast.verbs.infer.sources import Source


@dataclass(frozen=True, slots=True)
class Results:
    """The folder of results, and the name of each image's results in it, without their endings.

    `model` is the artifact that makes them. `overwrite`: earlier results may be those of other images and models.
    `origins` are what images that are no files are known by.
    """

    folder: Path
    stems: dict[Path, Path]
    own: OwnResults
    model: str
    inputs: dict[tuple[int, int], Path]
    overwrite: bool
    origins: dict[Path, str] = field(default_factory=dict)

    @classmethod
    def plan(
        cls,
        sources: Sequence[Source],
        folder: Path,
        endings: Sequence[str],
        *,
        model: str,
        video_endings: Sequence[str] = (),
        shared: Sequence[Path] = (),
        placed: Mapping[Path, Sequence[Path]] | None = None,
        options: InferOptions = InferOptions(),
        json_file: Path | None = None,
        others: Iterable[Path] = (),
    ) -> Results:
        """Name every file that is going to be written, and check that none is in the way of another or of the user's.

        `endings` are those of the files of one image, as `_score.png`, `video_endings` those of one video, `shared` are
        files that hold all images, `placed` further files of each image. `others` are files that are read beside the
        images. Files are the same if they are one on disk, however their names are written; on a file system that does
        not tell cases apart, names are not told apart by case.

        Raises:
            UsageError: two files of one name, or a file that densecast did not write, or that is another image's.
            DensecastError: the folder cannot be written to.
        """
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file. Name a folder for the results.", field="out")
        stems = {
            each.path: folder / (each.below if options.full_names else each.below.with_suffix("")) for each in sources
        }
        inputs = dict(_identities([*stems, *others]))
        origins = {each.path: each.origin for each in sources if each.origin is not None}
        results = cls(folder, stems, OwnResults.of(folder), model, inputs, options.overwrite, origins)
        videos = {each.path for each in sources if each.is_video}
        fold, longest = folding(folder), _longest_name(folder)
        planned: dict[str, tuple[Path, Path]] = {}
        planned |= {fold(_whole(target)): (SHARED, target) for target in shared}
        for image, stem in stems.items():
            own_endings = video_endings if image in videos else endings
            for target in (*(stem.with_name(stem.name + each) for each in own_endings), *(placed or {}).get(image, ())):
                _refuse_long(target, image, longest)
                first = planned.setdefault(fold(_whole(target)), (image, target))
                if first[0] == SHARED:
                    raise UsageError(f"the result of {image} would be {target}, which holds all images. Rename it.")
                if first[0] != image:
                    raise UsageError(_clash(first[0], image, target, full_names=options.full_names))
        _refuse_files_as_folders(planned)
        for image, target in planned.values():
            results.refuse(image, target)
        if json_file is not None:
            if fold(_whole(json_file)) in planned:
                raise UsageError(f"{json_file} is also the result of an image. Name another file.", field="json_file")
            _refuse_json(json_file, inputs)
        return results

    def refuse(self, image: Path, target: Path) -> None:
        """Refuse to write a file over one that is not an earlier result of the same image and model.

        Raises:
            UsageError: says whose it is.
        """
        if not os.path.lexists(target):
            return
        with contextlib.suppress(OSError):
            taken = self.inputs.get(_identity(target))
            if taken is not None:
                raise UsageError(f"the result of {image} would replace {target}, which is read. {_OTHER}", field="out")
        entry = self.own.find(target)
        if entry is None:
            raise UsageError(
                f"{target} is there already, and densecast did not write it, or it was changed since. {_OTHER}",
                field="out",
            )
        if not self.overwrite and (entry.image, entry.model) != (self._known(image), self.model):
            whose = f"image {entry.image}" if entry.image != self._known(image) else f"model {entry.model}"
            raise UsageError(
                f"{target} is an earlier result of the {whose}. {_OTHER[:-1]}, or replace it with --overwrite.",
                field="overwrite",
            )

    def done(self, endings: Sequence[str], model_file: Path | None) -> dict[Path, Path]:
        """Images whose files are all there, of image and model as they are; else newer than both. The first file.

        Raises:
            UsageError: it is not known what files an image has.
        """
        if not endings:
            raise UsageError("what results are called is known only when they are made.", field="skip_existing")
        made = model_file.stat().st_mtime_ns if model_file is not None else 0
        return {
            image: stem.with_name(stem.name + endings[0])
            for image, stem in self.stems.items()
            if image not in self.origins
            and all(self._is_done(image, stem.with_name(stem.name + each), made) for each in endings)
        }

    def _known(self, image: Path) -> str:
        """What the record of results calls an image."""
        return self.origins.get(image) or (str(SHARED) if image == SHARED else _whole(image))

    def _is_done(self, image: Path, target: Path, made_ns: int) -> bool:
        entry = self.own.find(target)
        if entry is None or (entry.image, entry.model) != (self._known(image), self.model):
            return False
        if entry.state:  # clocks are set back, and files are given old times: what is other is other
            return entry.state == self._state(image)
        return target.stat().st_mtime_ns >= max(made_ns, image.stat().st_mtime_ns)

    def _state(self, image: Path) -> str:
        return state_of(image, Path(self.model) / MANIFEST)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder beside the results, in which files are made before they take their places.

        Raises:
            DensecastError: the folder of results cannot be written to.
        """
        missing = [each for each in (self.folder, *self.folder.parents) if not each.exists()]
        scratch = temporaries.beside(self.folder / "scratch")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporaries.sweep_once(scratch)
            scratch.mkdir()
        except OSError as error:
            raise DensecastError(f"{self.folder} cannot be written to ({error.strerror}).", field="out") from None
        try:
            yield scratch
        finally:
            temporaries.remove(scratch)
            for each in missing:
                with contextlib.suppress(OSError):  # it holds results
                    each.rmdir()

    def publish(self, image: Path, made: Path, file: Path) -> Path:
        """Move all files in the folder `made` to the image's place; returns the place of `file`, which is one of them.

        Raises:
            UsageError: a file is in the way that was not there when this was planned.
        """
        place = self.folder if image == SHARED else self.stems[image].parent
        targets = [
            (
                each,
                self.folder / each.relative_to(made / TOP)
                if each.is_relative_to(made / TOP)
                else place / each.relative_to(made),
            )
            for each in sorted(made.rglob("*"))
            if each.is_file()
        ]
        for _, target in targets:
            self.refuse(image, target)
        for written, target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
            self.own.note(target, written, self._known(image), self.model, self._state(image))
            written.replace(target)
        return place / file.relative_to(made) if file.is_relative_to(made) else file


TOP = Path(".top")
"""What is made in this folder goes to the folder of results itself, wherever the image's other files go."""
SHARED = Path("all images")
"""Stands for the image of files that hold all of them."""

_OTHER = "Name another folder for the results."


def folding(folder: Path) -> Callable[[str], str]:
    """How the file system of `folder` tells names apart: a function that makes names equal which it takes for one."""
    existing = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir())
    name = f".densecast-\u00e9-{secrets.token_hex(4)}"
    probe = existing / name
    try:
        probe.mkdir()
    except (OSError, UnicodeError):  # said when the results are to be written; or a locale that has no such letter
        return str
    try:
        cases = probe.with_name(name.upper()).exists()
        forms = probe.with_name(unicodedata.normalize("NFD", name)).exists()
    finally:
        probe.rmdir()

    def folded(text: str) -> str:
        if forms:
            text = unicodedata.normalize("NFC", text)
        return text.casefold() if cases else text

    return folded


def _longest_name(folder: Path) -> int:
    """The most bytes that a file name may have there."""
    existing = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir())
    return system.longest_name(existing)


def _refuse_files_as_folders(planned: Mapping[str, tuple[Path, Path]]) -> None:
    for key, (image, _) in planned.items():
        above = next((str(up) for up in Path(key).parents if str(up) in planned), None)
        if above is not None:
            raise UsageError(
                f"{planned[above][0]} writes the file {planned[above][1]}, which would be a folder for {image}. "
                "Infer them into two folders."
            )


def _refuse_long(target: Path, image: Path, longest: int) -> None:
    length = len(os.fsencode(target.name))
    if length > longest:
        raise UsageError(
            f"the result of {image} would have a name of {length} bytes, longer than the {longest} that the file "
            "system takes. Rename the image."
        )


def _clash(first: Path, second: Path, target: Path, *, full_names: bool) -> str:
    message = f"{first} and {second} would both write {target}. "
    if first.parent != second.parent:
        return (
            message + "Give their common folder with --recursive, which keeps folders apart, or infer into two folders."
        )
    return message + ("Infer them into two folders." if full_names else "With --full-names, endings are kept in names.")


def _refuse_json(path: Path, inputs: dict[tuple[int, int], Path]) -> None:
    """Refuse to write the list of results over a file that is no such list."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder. Name a file.", field="json_file")
    if not path.exists():
        return
    if _identity(path) in inputs:
        raise UsageError(f"{path} is read as an image or list. Name another file.", field="json_file")
    own_json.refuse_others(path, "json_file")


def _identities(paths: Iterable[Path]) -> Iterator[tuple[tuple[int, int], Path]]:
    for path in paths:
        with contextlib.suppress(OSError):
            yield _identity(path), path


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _whole(path: Path) -> str:
    """The image's path from the root; the name itself is kept, if it is a link."""
    return str(Path(os.path.realpath(path.parent), path.name))
