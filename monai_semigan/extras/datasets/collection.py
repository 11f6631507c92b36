# SPDX-License-Identifier: Apache-2.0
"""What an adapter finds in a download: patients, and how to write their images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = ["Collection", "Organs", "Part", "Subject", "Written", "images_in_place"]

Organs = Literal["liver", "all"]
Part = Literal["train", "validation", "test"]


@dataclass(frozen=True, kw_only=True)
class Written:
    """A patient's entries of the data list; paths are absolute, or relative to the folder written to.

    Attributes:
        images: 2-D images, with ``image`` and, where there is one, ``label``.
        volumes: The volumes that the images were cut from, for scores per patient.
        warnings: What a user should know.
    """

    images: tuple[dict[str, Any], ...] = ()
    volumes: tuple[dict[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Subject:
    """All images of one patient.

    Attributes:
        patient_id: As the data set numbers its patients; an image's name where it does not.
        has_label: Whether any image has one.
        write: Write what cannot be read where it is into a folder, and return the entries.
        part: The data set's own split; None to be split.
        test_set: Name of the test set that a patient with part ``test`` is in; None for the data set's own name.
    """

    patient_id: str
    has_label: bool
    write: Callable[[Path], Written]
    part: Part | None = None
    test_set: str | None = None


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A complete download.

    Attributes:
        subjects: One per patient.
        class_names: By class id.
        is_binary: Labels hold 0 and another value instead of class ids.
        warnings: What a user should know.
    """

    subjects: tuple[Subject, ...]
    class_names: tuple[str, ...]
    is_binary: bool = False
    warnings: tuple[str, ...] = field(default=())


def images_in_place(patient_id: str, *pairs: tuple[Path, Path | None], part: Part | None = None) -> Subject:
    """Describe a patient whose images and labels can be read where they are."""
    entries = tuple(
        {"image": str(image.resolve())} | ({"label": str(label.resolve())} if label else {}) for image, label in pairs
    )
    return Subject(
        patient_id=patient_id,
        has_label=any(label for _, label in pairs),
        write=lambda _: Written(images=entries),
        part=part,
    )
