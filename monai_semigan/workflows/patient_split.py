# SPDX-License-Identifier: Apache-2.0
"""Which side each image is on: by patient, and equal images together, from a table or by a seed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from monai_semigan.errors import ConfigError, InputError
from monai_semigan.files import few
from monai_semigan.workflows.case_table import SplitPart

__all__ = ["ListedImage", "Shares", "Side", "Sides", "split_images"]

Side = Literal["train", "validation", "test"]

ENOUGH = 5
"""Labelled patients from which on a share above 0 gets at least one."""


@dataclass(frozen=True, kw_only=True)
class ListedImage:
    """An image to be listed.

    Attributes:
        image: The file.
        mask: Its mask.
        patient_id: Whose it is; None if it is nobody else's.
        digest: SHA-256 of the image.
        split: The part that the user states.
        source: Where it is from: the name of its test set.
    """

    image: Path
    mask: Path | None
    patient_id: str | None
    digest: str
    split: SplitPart | None = None
    source: str | None = None

    @property
    def is_labelled(self) -> bool:
        """Whether its mask may be used."""
        return self.mask is not None and self.split != "unlabelled"


@dataclass(frozen=True, kw_only=True)
class Shares:
    """How labelled patients are split.

    Attributes:
        validation: Share for the validation.
        test: Share for the test.
        seed: Of the order of patients.
    """

    validation: float
    test: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class Sides:
    """The split.

    Attributes:
        sides: By image.
        ranks: From 1, by image of a patient whose labels are trained on.
    """

    sides: Mapping[Path, Side]
    ranks: Mapping[Path, int]


def split_images(listed: Sequence[ListedImage], shares: Shares) -> Sides:
    """Split by patient; images of the same content are on one side too, whoever's they are.

    The order of patients depends on the seed alone, so ranks are nested: the labels up to a rank are among those
    up to a larger one. What the table states is kept; a share is drawn for the sides alone that it does not name.

    Raises:
        InputError: The table puts a patient on two sides, or scores images without a mask.
        ConfigError: The shares leave nothing to train on.
    """
    groups = _groups(listed)
    stated = {at: side for at, group in enumerate(groups) if (side := _stated(group)) is not None}
    labelled = [at for at, group in enumerate(groups) if any(entry.is_labelled for entry in group)]
    shuffled = [labelled[at] for at in np.random.default_rng(shares.seed).permutation(len(labelled))]
    free = [at for at in shuffled if at not in stated]
    sides: dict[int, Side] = {at: stated.get(at, "train") for at in range(len(groups))}
    parts: tuple[tuple[Side, float], ...] = (("test", shares.test), ("validation", shares.validation))
    num_free = len(free)
    for side, share in parts:
        if side not in stated.values():
            count = _count(share, num_free)
            sides |= dict.fromkeys(free[:count], side)
            free = free[count:]
    training = [at for at in shuffled if sides[at] == "train"]
    if labelled and not training:
        raise ConfigError(
            f"Validation and test must leave labelled patients for the training, but take all {len(labelled)}. "
            "Lower --validation or --test, or label more."
        )
    ranks = {at: rank for rank, at in enumerate(training, start=1)}
    return Sides(
        sides={entry.image: sides[at] for at, group in enumerate(groups) for entry in group},
        ranks={entry.image: ranks[at] for at, group in enumerate(groups) if at in ranks for entry in group},
    )


def _count(share: float, patients: int) -> int:
    count = math.floor(share * patients + 0.5)
    return max(count, 1) if share > 0 and patients >= ENOUGH else count


def _groups(listed: Sequence[ListedImage]) -> list[list[ListedImage]]:
    """Join what must be on one side: the images of a patient, equal images, and so all images of both patients."""
    leaders = list(range(len(listed)))

    def leader(at: int) -> int:
        while leaders[at] != at:
            leaders[at] = at = leaders[leaders[at]]
        return at

    first: dict[tuple[str, str], int] = {}
    for at, entry in enumerate(listed):
        keys = [("content", entry.digest)] + ([] if entry.patient_id is None else [("patient", entry.patient_id)])
        for key in keys:
            one, other = leader(first.setdefault(key, at)), leader(at)
            leaders[max(one, other)] = min(one, other)
    groups: dict[int, list[ListedImage]] = defaultdict(list)
    for at, entry in enumerate(listed):
        groups[leader(at)].append(entry)
    return list(groups.values())


def _stated(group: Sequence[ListedImage]) -> Side | None:
    """Return the side that the table states for a group."""
    sides: dict[Side, Path] = {}
    for entry in group:
        if entry.split is not None:
            sides.setdefault("train" if entry.split == "unlabelled" else entry.split, entry.image)
    if len(sides) > 1:
        raise InputError(
            "`split` must put all images of a patient, and equal images, on one side, but has "
            + " and ".join(f"{few([image.name])} in {side}" for side, image in sides.items())
            + ". Correct the table."
        )
    bare = [entry.image.name for entry in group if entry.split in ("validation", "test") and entry.mask is None]
    if bare:
        raise InputError(f"Images of validation and test must have masks, but {few(bare)} has none. Correct `split`.")
    return next(iter(sides), None)
