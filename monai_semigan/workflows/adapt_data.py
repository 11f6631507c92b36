# SPDX-License-Identifier: Apache-2.0
"""The images that a bundle is adapted to: a few with labels, perhaps more of the place without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from monai_semigan.bundle.bundle import Bundle
from monai_semigan.io.datalist import Datalist, owners
from monai_semigan.training.pool import ImagePool, LabelledPool
from monai_semigan.workflows.adapt_checks import patients_of
from monai_semigan.workflows.training_data import image_pool, labelled_pool, training_preset

__all__ = ["MOST_UNLABELLED", "AdaptationData", "read_adaptation_data"]

MOST_UNLABELLED = 500
"""Of more some are taken, evenly: an adaptation of 120 steps sees no more."""


@dataclass(frozen=True)
class AdaptationData:
    """Prepared images.

    Attributes:
        labelled: With labels.
        patients: Whose each of them is; owners of equal images are one.
        unlabelled: Others, of the same place; none of them equals a labelled one. None without any.
        unlabelled_patients: Whose each of them is; None where nobody knows.
    """

    labelled: LabelledPool
    patients: tuple[str, ...]
    unlabelled: ImagePool | None = None
    unlabelled_patients: tuple[str | None, ...] = ()

    def unlabelled_without(self, held_out: Sequence[int]) -> ImagePool | None:
        """Return the unlabelled images but those of the patients of some labelled ones; None if nothing is left."""
        names = {self.patients[at] for at in held_out}
        kept = [at for at, name in enumerate(self.unlabelled_patients) if name not in names]
        return None if self.unlabelled is None or not kept else ImagePool(self.unlabelled.images[kept])


def read_adaptation_data(data: Datalist, source: Bundle) -> AdaptationData:
    """Prepare the labelled and the unlabelled entries of a data list as a bundle does.

    Raises:
        ConfigError: There is no labelled entry.
        InputError: An image cannot be read or prepared, or has another size than its label.
    """
    preset = training_preset(source)
    labelled = labelled_pool(data, data.labelled, preset, source.network.num_classes)
    patients = patients_of(data.labelled, labelled)
    merged = dict(zip(owners(data.labelled), patients, strict=True))
    known = {entry.image for entry in data.labelled}
    others = [entry for entry in data.unlabelled if entry.image not in known]
    count = min(len(others), MOST_UNLABELLED)
    entries = tuple(others[at * len(others) // count] for at in range(count))
    if not entries:
        return AdaptationData(labelled, tuple(patients))
    images = image_pool(entries, preset).images
    kept = [at for at, image in enumerate(images) if not _is_among(image, labelled.images)]
    named = [None if entries[at].patient_id is None else str(entries[at].patient_id) for at in kept]
    names = tuple(None if name is None else merged.get(name, name) for name in named)
    return AdaptationData(labelled, tuple(patients), ImagePool(images[kept]) if kept else None, names)


def _is_among(image: Tensor, images: Tensor) -> bool:
    return any(torch.equal(image.half(), other.half()) for other in images)
