"""Finds the mask of each picture by its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from densecast.datasets import _names
from densecast.datasets.pairs import _affixes
from densecast.datasets.pairs._folders import Part
from densecast.errors import BadDatasetError
from densecast.spec.sample import Sample

# What a mask's stem may have after its picture's, the usual first.
_ENDINGS = (
    "", "_mask", "-mask", ".mask", "_masks", "_label", "_labels", "_gt", "_GT", "_seg", "_segmentation", "_L", "_anno",
    "_annotation", "_ann", "_binary", "_labelTrainIds", "_labelIds", "_gtFine_labelTrainIds", "_gtFine_labelIds",
)  # fmt: skip
_PICTURES = (".jpg", ".jpeg", ".jpe", ".jfif")


@dataclass(frozen=True, slots=True)
class Matched:
    """The pairs of a part, pictures without a mask, masks without a picture, and the rule in words."""

    pairs: tuple[Sample, ...]
    without_mask: tuple[Path, ...]
    without_image: tuple[Path, ...]
    rule: str


def match(part: Part, suffix: str | None = None, image_suffix: str = "") -> Matched:
    """Pair the pictures of a part with its masks: by the rule `suffix`, else by the usual one that finds most.

    Raises:
        BadDatasetError: two pictures or two masks of one name.
    """
    images, *kinds = _files(part, suffix)
    if suffix is not None and "{stem}" not in suffix:
        # Other files beside the masks are of another kind, such as masks for people to look at.
        kinds = [[path for path in kind if _ends_with(path, suffix)] for kind in kinds]
    masks, arrays = kinds
    found, rule = _best(part, images, masks, suffix, image_suffix)
    if len(found) < len(images) and arrays:
        # An image is what a mask usually is: arrays are looked at where images do not serve.
        of_arrays = _best(part, images, arrays, suffix, image_suffix)
        if len(of_arrays[0]) > len(found):
            (found, rule), masks = of_arrays, arrays
    told = f"masks are named as their pictures{f' with {rule}' if rule else ''}"
    if not found and suffix is None:
        masks = masks or arrays
        found, told = _affixes.match(part, images, masks)
    pairs: dict[str, Sample] = {}
    for image in images:
        if image in found:
            name = part.prefix + image.relative_to(part.images).with_suffix("").as_posix()
            other = pairs.setdefault(name, Sample(name, image, found[image]))
            if other.image != image:
                raise BadDatasetError(
                    f"{other.image} and {image.name} are pictures of one name: only one of them can be meant. Move the "
                    "other away."
                )
    used = set(found.values())
    _refuse_shared(found)
    return Matched(
        tuple(sorted(pairs.values(), key=lambda sample: sample.id)),
        tuple(image for image in images if image not in found),
        tuple(mask for mask in masks if mask not in used),
        told,
    )


def _ends_with(path: Path, suffix: str) -> bool:
    return _names.nfc(path.name).endswith(suffix) or path.stem.endswith(suffix)


def _best(
    part: Part, images: list[Path], masks: list[Path], suffix: str | None, image_suffix: str
) -> tuple[dict[Path, Path], str]:
    """The mask of each picture by the rule that finds most, and that rule."""
    rules = [suffix] if suffix is not None else list(_ENDINGS)
    best: tuple[dict[Path, Path], str] = ({}, rules[0])
    for rule in rules:
        found = _by_rule(part, images, masks, rule, image_suffix, exact=suffix is not None)
        if len(found) > len(best[0]):
            best = (found, rule)
        if len(found) == len(images):
            break
    return best


def cure_of(image: Path, parts: Sequence[Part], root: Path) -> str:
    """What to do about a picture without a mask: name the folder where one of its name lies, or how masks are named."""
    part = next(each for each in parts if image.is_relative_to(each.images))
    masks = _names.masks_of(part.masks, below=True)
    alike = next((mask for mask in masks if _names.nfc(mask.stem) == _names.nfc(image.stem) and mask != image), image)
    left, right = image.parent, alike.parent
    while left.name == right.name and left != part.images and right != part.masks:
        left, right = left.parent, right.parent
    is_there_already = (left, right) == (part.images, part.masks)
    if alike is image or is_there_already or part.images == part.masks or not alike.is_relative_to(root):
        example = f"; {part.masks.name} holds {masks[0].name}" if masks else ""
        return f"{example}. Say how masks are named with --suffix"
    names = [each.relative_to(root).as_posix() for each in (left, right)]
    return f"; {alike.relative_to(root)} may be it. Name the folders: --images-dir {names[0]} --masks-dir {names[1]}"


def _refuse_shared(found: dict[Path, Path]) -> None:
    """Refuse a mask that would serve two pictures, as of two folders whose masks lie in one.

    Raises:
        BadDatasetError: names all three.
    """
    owner: dict[Path, Path] = {}
    for image, mask in found.items():
        other = owner.setdefault(mask, image)
        if other is not image:
            raise BadDatasetError(
                f"{mask} would be the mask of {other} and of {image}. Keep masks in the folders of their pictures."
            )


def _files(part: Part, suffix: str | None) -> tuple[list[Path], list[Path], list[Path]]:
    """Pictures, masks, and arrays; of one folder for both, masks are what the rule names, or what is no JPEG."""
    images = _names.images_of(part.images, below=True)
    arrays = _names.arrays_of(part.masks, below=True)
    if part.images != part.masks:
        inside = part.masks.is_relative_to(part.images)
        kept = [path for path in images if not (inside and path.is_relative_to(part.masks))]
        return kept, _names.images_of(part.masks, below=True), arrays
    stems = {_names.nfc(path.stem) for path in images}
    endings = (suffix,) if suffix else _ENDINGS[1:]

    def is_mask(path: Path) -> bool:
        stem = _names.nfc(path.stem)
        for ending in endings:
            bare = PurePosixPath(ending).stem if ending.startswith("_") else ending
            if stem.endswith(bare) and stem.removesuffix(bare) in stems:
                return True
        return path.suffix.lower() not in _PICTURES and any(
            path.with_suffix(each).is_file() for kind in _PICTURES for each in (kind, kind.upper())
        )

    masks = [path for path in images if is_mask(path)]
    return [path for path in images if path not in set(masks)], masks, arrays


def _by_rule(
    part: Part, images: list[Path], masks: list[Path], rule: str, image_suffix: str, *, exact: bool
) -> dict[Path, Path]:
    """The mask of each picture that has one by this rule, in its own sub-folder or directly in the masks' folder."""
    by_name: dict[tuple[str, str], list[Path]] = {}
    for mask in masks:
        folder = mask.parent.relative_to(part.masks).as_posix()
        for name in {_names.nfc(mask.name), _names.nfc(mask.stem)}:
            by_name.setdefault((folder, name), []).append(mask)
    found: dict[Path, Path] = {}
    for image in images:
        stem = _names.nfc(image.stem).removesuffix(image_suffix)
        name = rule.replace("{stem}", stem) if "{stem}" in rule else stem + rule
        names = (name,) if exact else (name, f"{_names.nfc(image.name)}{rule}")
        folder = image.parent.relative_to(part.images).as_posix()
        keys = [(place, each) for place in (folder, ".") for each in names]
        candidates = next((by_name[key] for key in keys if key in by_name), [])
        if len(candidates) > 1:
            raise BadDatasetError(
                f"{candidates[0]} and {candidates[1].name} may both be the mask of {image.name}. Name the kind with "
                "--suffix, as .png.",
                field="suffix",
            )
        if candidates and candidates[0] != image:
            found[image] = candidates[0]
    return found
