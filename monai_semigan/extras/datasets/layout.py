# SPDX-License-Identifier: Apache-2.0
"""Check that a download follows the published layout and is complete."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from monai_semigan.errors import InputError
from monai_semigan.io.image_file import read_image

__all__ = [
    "check_same_size",
    "files_by_stem",
    "find_folder",
    "read_mask",
    "refuse_incomplete",
    "require_count",
    "require_files",
]

NAMED = 3
"""Missing files named in an error; the rest is counted."""


def find_folder(source: Path, candidates: Sequence[str], content: str) -> Path:
    """Return the first of some folders below ``source`` that exists.

    Args:
        source: The download; a candidate ``"."`` is the download itself.
        candidates: Relative paths; ``*`` stands for any name.
        content: What the folder holds, for the error.

    Raises:
        InputError: None exists.
    """
    if not source.is_dir():
        raise InputError(f"`{source}` must be the folder of the download, but is none.")
    for candidate in candidates:
        found = [source] if candidate == "." else sorted(path for path in source.glob(candidate) if path.is_dir())
        if found:
            return found[0]
    listed = " or ".join(f"`{candidate}`" for candidate in candidates)
    raise InputError(
        f"`{source}` must hold {content} in {listed}, but has no such folder. "
        "Unpack the archives into one folder, and give that folder."
    )


def files_by_stem(folder: Path, pattern: str, ending: str = "") -> dict[str, Path]:
    """List files by name without suffix, and without ``ending`` before the suffix; hidden files are left out."""
    files = sorted(path for path in folder.glob(pattern) if path.is_file() and not path.name.startswith("."))
    return {path.stem.removesuffix(ending): path for path in files if path.stem.endswith(ending)}


def refuse_incomplete(name: str, missing: Iterable[str], expected: int) -> None:
    """Refuse a download that lacks files.

    Args:
        name: Of the data set.
        missing: Names of what is not there.
        expected: How many there should be.

    Raises:
        InputError: Anything is missing; the first few are named, the rest is counted.
    """
    missing = sorted(missing)
    if missing:
        rest = len(missing) - NAMED
        listed = ", ".join(missing[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
        raise InputError(
            f"{name} must have {expected} files of this kind, missing are {listed}. Complete the download."
        )


def require_files(name: str, folder: Path, stems: Iterable[str], pattern: str, ending: str = "") -> dict[str, Path]:
    """Return the files of some stems.

    Raises:
        InputError: Some are missing, or empty.
    """
    found, wanted = files_by_stem(folder, pattern, ending), list(stems)
    suffix = pattern.removeprefix("*")
    refuse_incomplete(
        name,
        (
            f"{folder.name}/{stem}{ending}{suffix}"
            for stem in wanted
            if stem not in found or not found[stem].stat().st_size
        ),
        len(wanted),
    )
    return {stem: found[stem] for stem in wanted}


def require_count(name: str, found: int, expected: int, what: str) -> None:
    """Refuse a download with another number of files than published.

    Raises:
        InputError: The number differs.
    """
    if found < expected:
        raise InputError(f"{name} must have {expected} {what}, missing are {expected - found}. Complete the download.")
    if found > expected:
        raise InputError(
            f"{name} must have {expected} {what}, got {found}. Remove what does not belong to the data set."
        )


def check_same_size(image: Path, label: Path) -> None:
    """Compare the sizes in two headers.

    Raises:
        InputError: They differ, or a file is no image.
    """
    try:
        with Image.open(image) as first, Image.open(label) as second:
            if first.size != second.size:
                raise InputError(
                    f"`{label.name}` must have its image's size {first.size}, got {second.size}. Download it again."
                )
    except (OSError, SyntaxError) as error:
        raise InputError(f"`{image.name}` and `{label.name}` must be images: {error}. Download them again.") from error


def read_mask(path: Path) -> np.ndarray:
    """Read a mask, ``(H, W)`` bool: every value above 0 belongs to it."""
    pixels = read_image(path).pixels
    mask: np.ndarray = (pixels if pixels.ndim == 2 else pixels.max(axis=2)) > 0
    return mask
