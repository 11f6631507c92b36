# SPDX-License-Identifier: Apache-2.0
"""A handful of labelled images before a bundle learns them: whose they are, and what is wrong with the labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from monai_semigan.bundle.bundle import Bundle
from monai_semigan.errors import InputError
from monai_semigan.io.datalist import Entry, owners
from monai_semigan.training.pool import LabelledPool
from monai_semigan.training.pool_scores import mean_dice

__all__ = ["check_labels", "count_copies", "patients_of", "shared_out"]

CONTRADICTION = 0.5
"""Dice of two labels of one image, below which they contradict each other."""


def patients_of(entries: Sequence[Entry], pool: LabelledPool) -> list[str]:
    """Whose each image is; one without a name is of a patient of its own, and owners of equal images are one."""
    found = owners(entries)
    for at in range(len(found)):
        for other in range(at):
            if found[at] != found[other] and torch.equal(pool.images[at], pool.images[other]):
                found = [found[other] if name == found[at] else name for name in found]
    return found


def count_copies(pool: LabelledPool) -> int:
    """How many images are equal to one before them."""
    return sum(any(torch.equal(pool.images[at], pool.images[other]) for other in range(at)) for at in range(len(pool)))


def shared_out(patients: Sequence[str], count: int, seed: int) -> list[list[int]]:
    """Share the patients out, in an order by seed; return the images of each part."""
    names = list(dict.fromkeys(patients))
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    part_of = {names[name]: place % count for place, name in enumerate(order)}
    return [[at for at, name in enumerate(patients) if part_of[name] == part] for part in range(count)]


def check_labels(pool: LabelledPool, source: Bundle) -> list[str]:
    """Refuse labels that cannot be learned; return warnings."""
    present = pool.targets.float().argmax(dim=1).flatten(1)
    counts = {name: int((present == at).any(dim=1).sum()) for at, name in enumerate(source.class_names) if at}
    missing = [name for name, count in counts.items() if not count]
    if missing:
        raise InputError(
            f"The labels must show every class of {source.name}, but {', '.join(missing)} is in none: the new bundle "
            "would unlearn it. Label images that show it."
        )
    for first in range(len(pool)):
        for second in range(first):
            if torch.equal(pool.images[first], pool.images[second]):
                scores = mean_dice(pool.targets[[first]].float(), pool.targets[[second]].float())
                if float(scores) < CONTRADICTION:
                    raise InputError(
                        "Labels must agree with each other, but one image comes twice with labels whose Dice is "
                        f"{float(scores):.2f} (entries {second + 1} and {first + 1}). Keep the right one."
                    )
    if len(pool) > 1:
        return [
            f"{name} is in one of the {len(pool)} labels alone: little is learned of it."
            for name, count in counts.items()
            if count == 1
        ]
    return []
