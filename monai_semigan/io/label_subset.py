# SPDX-License-Identifier: Apache-2.0
"""A data list with fewer labels: nested subsets, so that what is learned from 9 labels is among what is from 35."""

from __future__ import annotations

from dataclasses import replace

from monai_semigan.errors import InputError
from monai_semigan.io.datalist import Datalist, Entry

__all__ = ["count_labels", "label_order", "with_labels"]


def label_order(data: Datalist) -> tuple[tuple[Entry, ...], ...]:
    """Return the labelled entries in the order in which their labels are used, those of a rank together.

    A rank is a patient's, see `Entry`. Where the list has no ranks, its own order counts, each entry for itself.

    Raises:
        InputError: Some labelled entries have a rank and others none.
    """
    ranks = [entry.label_rank for entry in data.labelled]
    if all(rank is None for rank in ranks):
        return tuple((entry,) for entry in data.labelled)
    if None in ranks:
        raise InputError(
            f"All labelled entries must have a `label_rank`, or none, but {ranks.count(None)} of {len(ranks)} have "
            "none. `semigan data` gives all of them one."
        )
    groups: dict[int, list[Entry]] = {}
    for entry in data.labelled:
        groups.setdefault(entry.label_rank or 0, []).append(entry)
    return tuple(tuple(groups[rank]) for rank in sorted(groups))


def count_labels(data: Datalist) -> int:
    """Return how many labels there are to choose from, counted as `with_labels` does."""
    return len(label_order(data))


def with_labels(data: Datalist, count: int) -> Datalist:
    """Keep the labels of the first ``count`` ranks; the other labelled images become unlabelled ones.

    Args:
        data: The list.
        count: Labels: patients where the list has ranks, images where it has none.

    Raises:
        InputError: There are fewer, or ``count`` is below 1; or ranks are missing.
    """
    order = label_order(data)
    if not 1 <= count <= len(order):
        raise InputError(f"`labels` must be from 1 to the {len(order)} that the data list has, got {count}.")
    kept = {id(entry) for group in order[:count] for entry in group}
    known = {entry.image for entry in data.unlabelled}
    bare = tuple(
        replace(entry, label=None, label_rank=None)
        for entry in data.labelled
        if id(entry) not in kept and entry.image not in known
    )
    labelled = tuple(entry for entry in data.labelled if id(entry) in kept)
    return replace(data, labelled=labelled, unlabelled=data.unlabelled + bare)
