# SPDX-License-Identifier: Apache-2.0
"""Which mask belongs to which image: by their names, in a folder of masks, by a pattern, or beside the images."""

from __future__ import annotations

import glob
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_semigan.errors import ConfigError, InputError
from monai_semigan.files import few
from monai_semigan.io.image_file import find_images, image_stem
from monai_semigan.types import PathLike

__all__ = ["MaskPairs", "find_pairs", "is_at_the_end", "plain_path"]

ENDINGS = "masks?|seg|segmentations?|labels?|labelmap|gt|groundtruth|annotations?"
"""Words that tell a mask's name from its image's, after one of ``-_.`` or a space."""

MASK_NAME = re.compile(rf"(?P<stem>.+)[-_. ](?:{ENDINGS})", re.IGNORECASE)
MASK_FOLDER = re.compile(rf"(?:.+[-_. ])?(?:{ENDINGS})", re.IGNORECASE)

STEM = "{stem}"
"""In a pattern, the image's name without its ending."""


@dataclass(frozen=True, kw_only=True)
class MaskPairs:
    """Images and what labels them; all paths are absolute.

    Attributes:
        images: In order, with and without masks.
        masks: By image.
        orphans: Masks without an image.
    """

    images: tuple[Path, ...]
    masks: Mapping[Path, Path]
    orphans: tuple[Path, ...] = ()


def find_pairs(
    inputs: Sequence[PathLike], masks: PathLike | None, *, stated: Iterable[Path] | None = None
) -> MaskPairs:
    """Find images and their masks.

    A mask is named like its image, or like its image and an ending such as ``_mask``; case is ignored. Where names come
    more than once, the subfolder decides.

    Args:
        inputs: Files and folders of images.
        masks: A folder of masks, or a pattern relative to an image's folder such as ``{stem}_mask.png``; None for those
            that lie beside their images and have such an ending.
        stated: Masks that a table names: they are no images, and nothing is paired by name.

    Raises:
        ConfigError: ``masks`` is neither a folder nor a pattern.
        InputError: There is no image, no image has a mask in the folder, or a name fits more than one file.
    """
    found = _absolute(find_images(inputs))
    if stated is not None:
        left_out = {*stated, *(_folder_of_masks(masks, inputs) if masks is not None and Path(masks).is_dir() else ())}
        there = {(path.parent, _stem(path)) for path in found}
        left_out |= {path for path in found if (path.parent, _stem_of_image(path)) in there}
        return MaskPairs(images=tuple(path for path in found if path not in left_out), masks={})
    if masks is None:
        return _beside(found)
    if Path(masks).is_dir():
        return _in_folder(found, masks, inputs)
    if STEM in str(masks):
        return _by_pattern(found, str(masks))
    raise ConfigError(
        f"`masks` must be a folder that exists, or a pattern with {STEM} such as {STEM}_mask.png, got {masks}."
    )


def is_at_the_end(folders: Sequence[str], path: Path) -> bool:
    """Whether a file's last folders are these; always if there are none."""
    last = path.parent.parts[-len(folders) :] if folders else ()
    return [part.casefold() for part in last] == [part.casefold() for part in folders]


def plain_path(path: PathLike) -> Path:
    """Return an absolute path without ``..``; links are kept, as a user knows files by their names."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _absolute(paths: Iterable[PathLike]) -> list[Path]:
    return list(dict.fromkeys(map(plain_path, paths)))


def _stem(path: Path) -> str:
    return image_stem(path).casefold()


def _stem_of_image(mask: Path) -> str | None:
    """Return the name of the image that a mask's ending points to; None for a name without such an ending."""
    found = MASK_NAME.fullmatch(_stem(mask))
    return None if found is None else found["stem"]


def _beside(found: list[Path]) -> MaskPairs:
    named = {path for path in found if _stem_of_image(path) is not None}
    images = [path for path in found if path not in named]
    if not images:
        raise InputError(
            f"`images` must hold images, but all {len(named)} files are named like masks: {few(_names(named))}. "
            "Give the masks with --masks, and images other names."
        )
    inside = [path for path in images if MASK_FOLDER.fullmatch(path.parent.name)]
    if inside and len(inside) < len(images):
        raise InputError(
            f"`images` must be images alone, but {len(inside)} files lie in `{few({path.parent for path in inside})}`, "
            "which is named like a folder of masks. Pass it with --masks."
        )
    by_name: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in images:
        by_name[path.parent, _stem(path)].append(path)
    fitting = {path: by_name.get((path.parent, _stem_of_image(path) or ""), []) for path in found if path in named}
    return _joined(images, fitting)


def _folder_of_masks(masks: PathLike, inputs: Sequence[PathLike]) -> list[Path]:
    """List the masks in a folder; where images lie in it too, those whose names say that they are masks."""
    folder, pool = plain_path(masks), _absolute(find_images([masks]))
    if not any(folder in (path, *path.parents) for path in _absolute(inputs)):
        return pool
    named = [path for path in pool if _stem_of_image(path) is not None]
    if not named:
        raise InputError(
            f"`masks` must be a folder of masks, but {folder} holds the images too, and no file with an ending such as "
            f"_mask. Pass another folder, or a pattern with {STEM}."
        )
    return named


def _in_folder(found: list[Path], masks: PathLike, inputs: Sequence[PathLike]) -> MaskPairs:
    folder, pool = plain_path(masks), _folder_of_masks(masks, inputs)
    kept = set(found) - set(pool)
    images = [path for path in found if path in kept]
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in images:
        by_name[_stem(path)].append(path)
    fitting = {}
    for mask in pool:
        same = by_name.get(_stem(mask)) or by_name.get(_stem_of_image(mask) or "", [])
        near = [image for image in same if is_at_the_end(mask.parent.relative_to(folder).parts, image)]
        fitting[mask] = near or same
    if not any(fitting.values()):
        raise InputError(
            f"`masks` must hold masks named like the images, but none is: images are named {few(_names(images))}, "
            f"masks {few(_names(pool))}. Pass a pattern with {STEM}, or a CSV file with the columns image and mask."
        )
    return _joined(images, fitting)


def _by_pattern(found: list[Path], pattern: str) -> MaskPairs:
    fitting: dict[Path, list[Path]] = defaultdict(list)
    for image in found:
        name = pattern.replace(STEM, glob.escape(image_stem(image)))
        matches = glob.glob(os.path.join(glob.escape(str(image.parent)), name), recursive=True)  # noqa: PTH118, PTH207
        for mask in _absolute(sorted(matches)):
            if mask != image and mask.is_file():
                fitting[mask].append(image)
    images = [path for path in found if path not in fitting]
    kept = set(images)
    if not any(image in kept for owners in fitting.values() for image in owners):
        raise InputError(
            f"`masks` must be a pattern that fits masks, but {pattern} fits none of {len(found)} images. It is "
            "relative to an image's folder."
        )
    return _joined(images, {mask: [image for image in owners if image in kept] for mask, owners in fitting.items()})


def _joined(images: list[Path], fitting: Mapping[Path, list[Path]]) -> MaskPairs:
    """Pair masks with the images that fit, one to one."""
    masks: dict[Path, list[Path]] = defaultdict(list)
    for mask, owners in fitting.items():
        if len(owners) > 1:
            raise InputError(
                f"`{mask.name}` must be the mask of one image, but fits {len(owners)}: {few(_shown(owners))}. "
                "Give masks the subfolders of their images, or a CSV file with the columns image and mask."
            )
        for image in owners:
            masks[image].append(mask)
    doubled = {image: several for image, several in masks.items() if len(several) > 1}
    if doubled:
        image, several = next(iter(doubled.items()))
        raise InputError(
            f"Every image must have one mask, but {len(doubled)} have more: `{image.name}` fits "
            f"{few(_shown(several))}. Merge them, or name the right ones by a pattern with {STEM}."
        )
    there = {(path.parent, _stem(path)) for path in images}
    odd = [path for path in images if path not in masks and (path.parent, _stem_of_image(path)) in there]
    if odd:
        raise InputError(
            f"`images` must be images alone, but {len(odd)} files are named like masks of others: {few(_names(odd))}. "
            "Leave --masks out to use them, or give the images alone."
        )
    orphans = tuple(mask for mask, owners in fitting.items() if not owners)
    return MaskPairs(
        images=tuple(images), masks={image: several[0] for image, several in masks.items()}, orphans=orphans
    )


def _names(paths: Iterable[Path]) -> list[str]:
    return sorted(path.name for path in paths)


def _shown(paths: Sequence[Path]) -> list[str]:
    """Name files; with their folders where the names alone do not tell them apart."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [f"{path.parent.name}/{path.name}" for path in paths]
