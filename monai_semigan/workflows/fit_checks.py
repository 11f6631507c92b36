# SPDX-License-Identifier: Apache-2.0
"""Look through a data list before hours are spent on it: what cannot be learned is refused, what is odd is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monai_semigan.errors import InputError
from monai_semigan.io.datalist import Datalist, Entry
from monai_semigan.io.label_file import read_label
from monai_semigan.networks.checkpoint_file import file_digest

__all__ = ["DataFacts", "check_data"]

FEW_UNLABELLED = 50
"""Below, a generator learns little of how such images vary."""

FEW_VALIDATION = 5

MIN_GROUP = 5
"""Labels of a folder, below which its convention is not compared."""

MIN_RATIO = 1.25
"""Of the mean areas of two folders' labels that is worth a word, if it is no chance."""

STANDARD_ERRORS = 3.0


@dataclass(frozen=True)
class DataFacts:
    """What was found.

    Attributes:
        num_classes: K, background included.
        counts: Labels that show each class, background left out.
        num_unlabelled: Unlabelled images.
        warnings: What a user should know.
        present: Classes that each label shows, background left out, in the order of the labelled entries.
    """

    num_classes: int
    counts: tuple[int, ...]
    num_unlabelled: int
    warnings: tuple[str, ...]
    present: tuple[frozenset[int], ...] = ()


def check_data(data: Datalist) -> DataFacts:
    """Check a data list for training.

    Raises:
        InputError: There are no labelled or validation images; an image comes twice where it must not; a class is in
            no label; or all images are equal.
    """
    for name, entries in (("labelled", data.labelled), ("validation", data.validation)):
        if not entries:
            raise InputError(f"The data list must have {name} images, got none. `semigan data` makes both.")
    warnings = _check_files(data)
    labels = [_present(entry, data.is_binary) for entry in data.labelled]
    validation = [_present(entry, data.is_binary) for entry in data.validation]
    highest = max((max(found, default=0) for found, _ in (*labels, *validation)), default=0)
    counts = tuple(sum(at in found for found, _ in labels) for at in range(1, highest + 1))
    missing = [str(at) for at, count in enumerate(counts, 1) if not count]
    if missing or not counts:
        raise InputError(
            f"Every class must be in a label that is learned, but {', '.join(missing) or '1'} is in none. Number "
            "classes from 1 on without gaps, and label images that show each."
        )
    if len(labels) == 1:
        warnings.append("One labelled image: which one it is decides more than the training.")
    warnings += [
        f"Class {at} is in one label alone: little is learned of it."
        for at, count in enumerate(counts, 1)
        if count == 1 and len(labels) > 1
    ]
    if len(data.unlabelled) < FEW_UNLABELLED:
        warnings.append(
            f"{len(data.unlabelled)} unlabelled images: the generator learns little of how such images vary. Add all "
            "that there are; they need no labels."
        )
    if len(data.validation) < FEW_VALIDATION:
        warnings.append(f"{len(data.validation)} validation images: what is chosen on them is chosen by chance.")
    warnings += _conventions(data.labelled, [share for _, share in labels])
    present = tuple(frozenset(found) for found, _ in labels)
    return DataFacts(highest + 1, counts, len(data.unlabelled), tuple(warnings), present)


def _check_files(data: Datalist) -> list[str]:
    """Compare contents: copies of an image must not be learned and scored, nor have two labels."""
    trained = {file_digest(entry.image) for entry in (*data.labelled, *data.unlabelled)}
    validated = {file_digest(entry.image) for entry in data.validation}
    tested = {file_digest(entry.image) for entries in data.test.values() for entry in entries}
    for name, scored, used, how in (
        ("Validation", validated, trained, "trained on"),
        ("Test", tested, trained | validated, "trained or validated on"),
    ):
        if both := len(scored & used):
            raise InputError(f"{name} images must not be {how}, but {both} are, under other names. Split by patient.")
    if len(trained) == 1 and len(data.labelled) + len(data.unlabelled) > 1:
        raise InputError("Training images must differ, but all are equal.")
    pairs: dict[str, set[str]] = {}
    for entry in data.labelled:
        assert entry.label is not None  # the data list's own check
        pairs.setdefault(file_digest(entry.image), set()).add(file_digest(entry.label))
    several = sum(len(labels) > 1 for labels in pairs.values())
    if several:
        raise InputError(f"An image must have one label, but {several} come twice with different ones. Keep one.")
    copies = len(data.labelled) - len(pairs)
    return [f"{copies} labelled images are copies of others."] if copies else []


def _present(entry: Entry, is_binary: bool) -> tuple[set[int], float]:
    """Return the foreground classes of a label, and the share of the image that they cover."""
    assert entry.label is not None
    label = read_label(entry.label, binary=is_binary)
    return {int(value) for value in np.unique(label) if value}, float((label > 0).mean())


def _conventions(entries: Sequence[Entry], shares: Sequence[float]) -> list[str]:
    """Tell of folders whose labels are much larger or smaller than those of all others together.

    They are not named: the text comes into the card, and a folder may be called as a patient is.
    """
    folders = [entry.image.parent for entry in entries]
    named = [folder for folder, count in Counter(folders).items() if count >= MIN_GROUP]
    found = []
    for folder in named if len(named) > 1 else ():
        own = np.array([share for share, where in zip(shares, folders, strict=True) if where == folder])
        rest = np.array([share for share, where in zip(shares, folders, strict=True) if where != folder])
        spread = np.hypot(own.std(ddof=1) / np.sqrt(len(own)), rest.std() / np.sqrt(len(rest)))
        ratio = own.mean() / max(rest.mean(), 1e-9)
        if abs(own.mean() - rest.mean()) > STANDARD_ERRORS * spread and not 1 / MIN_RATIO < ratio < MIN_RATIO:
            found.append(
                f"Labels of the {len(own)} images in the folder of labelled entry {folders.index(folder) + 1} cover "
                f"{own.mean():.0%} of their image, those of the others "
                f"{rest.mean():.0%}: is it another convention, or another field of view? A bundle learns one "
                "convention; `semigan adapt` makes a second one."
            )
    return found
