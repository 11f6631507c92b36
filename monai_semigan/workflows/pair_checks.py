# SPDX-License-Identifier: Apache-2.0
"""Look into images and masks: whether they can be trained on, what values masks hold, and which files are equal."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from monai_semigan.errors import InputError
from monai_semigan.files import few
from monai_semigan.io.folder import digest_of_files
from monai_semigan.io.image_file import ImageFile, read_stored

__all__ = ["CheckedPair", "LabelValues", "check_pair", "class_counts", "content_warnings", "label_values_of"]

LabelValues = Literal["classes", "binary"]

WHITE = 255
"""The structure in a mask that is drawn as an image."""

MAX_CLASS = 63
"""Masks with a larger value are taken for pictures, not for class ids, unless the user says otherwise."""

MAX_CLASS_ID = 255
"""Of label maps as the training reads them."""


@dataclass(frozen=True, kw_only=True)
class CheckedPair:
    """An image that can be trained on, with its mask if it has one.

    Attributes:
        image: The file.
        mask: Its mask.
        digest: SHA-256 of the image.
        mask_digest: SHA-256 of the mask.
        dicom_patient: PatientID of a DICOM image; empty where there is none. Never written.
        values: Distinct values of the mask, in order.
    """

    image: Path
    mask: Path | None
    digest: str
    mask_digest: str | None = None
    dicom_patient: str = ""
    values: tuple[float, ...] = ()


def check_pair(image: Path, mask: Path | None) -> CheckedPair:
    """Read an image and its mask.

    Raises:
        InputError: One cannot be read, the image shows nothing, or the mask has another size.
    """
    for path in (image, mask):
        _check_name(path)
    file = ImageFile(image)
    source, identity = file.read(), file.identity()
    low, high = source.pixels.min(), source.pixels.max()
    if low == high:
        raise InputError(f"`{image.name}` must show something, but every pixel is {low:g}.")
    if not np.isfinite([low, high]).all():
        raise InputError(f"`{image.name}` must hold finite values, but some are NaN or infinite.")
    values: tuple[float, ...] = ()
    if mask is not None:
        stored = read_stored(mask)
        height, width = source.as_stored(source.pixels).shape[:2]
        if stored.shape != (height, width):
            raise InputError(
                f"`{mask.name}` must have its image's size {width} x {height}, got {stored.shape[1]} x "
                f"{stored.shape[0]}."
            )
        values = _distinct(mask, stored)
    return CheckedPair(
        image=image,
        mask=mask,
        digest=file.digest(),
        mask_digest=None if mask is None else digest_of_files([mask]),
        dicom_patient="" if identity is None else identity.patient_id,
        values=values,
    )


def _check_name(path: Path | None) -> None:
    try:
        str(path or "").encode()
    except UnicodeEncodeError:
        raise InputError("The file's name must be text, but holds bytes that are none. Rename it.") from None


def _distinct(mask: Path, stored: np.ndarray) -> tuple[float, ...]:
    if stored.dtype in (np.uint8, np.uint16):  # counting is much faster than sorting
        return tuple(map(float, np.flatnonzero(np.bincount(stored.ravel()))))
    values = np.unique(np.nan_to_num(stored) if stored.dtype.kind == "f" else stored)  # NaN is background
    if values[0] < 0 or not np.isfinite(values[-1]):
        raise InputError(f"`{mask.name}` must hold values from 0, got {values[0]:g} to {values[-1]:g}.")
    return tuple(map(float, values))


def label_values_of(pairs: Iterable[CheckedPair], stated: LabelValues | None = None) -> LabelValues:
    """Decide whether masks hold 0 and one other value per file, or class ids.

    Args:
        pairs: All that have a mask are looked at.
        stated: What the user says; only checked then.

    Raises:
        InputError: Masks hold neither; a grey picture for example, or a mask that was saved as JPEG.
    """
    masks = {pair.mask: pair.values for pair in pairs if pair.mask is not None}
    if stated == "binary":
        return stated
    most = MAX_CLASS_ID if stated == "classes" else MAX_CLASS
    is_mask = {mask: max(values) == WHITE and set(values) <= {0, WHITE} for mask, values in masks.items()}
    is_ids = {
        mask: max(values) <= most and all(value.is_integer() for value in values) for mask, values in masks.items()
    }
    if stated is None and any(is_mask.values()):
        # A mask of 0 and 1 beside those of 0 and 255 is one too.
        odd = [mask for mask, values in masks.items() if not is_mask[mask] and not set(values) <= {0, 1}]
        expected = "0 and 255 alone"
    else:
        odd, expected = [mask for mask in masks if not is_ids[mask]], f"class ids 0 to {most}"
    if odd:
        values = masks[odd[0]]
        shown = ", ".join(f"{value:g}" for value in values[:5]) + (", ..." if len(values) > 5 else "")
        raise InputError(
            f"Masks must hold {expected}, or say which with --label-values, but {len(odd)} of {len(masks)} do not: "
            f"{few(mask.name for mask in odd)}; the first holds {shown}. Save masks without loss (PNG, not JPEG)."
        )
    return "classes" if stated is not None or not any(is_mask.values()) else "binary"


def class_counts(pairs: Iterable[CheckedPair], kind: LabelValues) -> dict[int, int]:
    """Count the images that show each class."""
    counts: Counter[int] = Counter()
    for pair in pairs:
        counts.update({int(value > 0) if kind == "binary" else int(value) for value in pair.values})
    return dict(sorted(counts.items()))


def content_warnings(checked: Sequence[CheckedPair]) -> list[str]:
    """Say which masks are empty, and which files have the same content."""
    warnings = []
    labelled = [pair for pair in checked if pair.mask is not None]
    empty = [pair.mask.name for pair in labelled if pair.mask is not None and max(pair.values) == 0]
    if empty:
        warnings.append(f"{len(empty)} of {len(labelled)} masks are empty: {few(empty)}.")
    images = _equal_files({pair.image: pair.digest for pair in checked})
    masks = _equal_files({p.mask: p.mask_digest or "" for p in labelled if p.mask is not None and max(p.values) > 0})
    if images:
        names = " = ".join(path.name for path in images[0][:2])
        warnings.append(
            f"{sum(map(len, images))} images have the same content as another ({names}). They are on one side of the "
            "split; better, give each once."
        )
    if masks:
        names = " = ".join(path.name for path in masks[0][:2])
        warnings.append(f"{sum(map(len, masks))} masks that show something have the same content as another ({names}).")
    return warnings


def _equal_files(digests: Mapping[Path, str]) -> list[list[Path]]:
    """Group files of the same content; those that are alone are left out."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path, digest in digests.items():
        groups[digest].append(path)
    return [paths for paths in groups.values() if len(paths) > 1]
