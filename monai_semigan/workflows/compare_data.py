# SPDX-License-Identifier: Apache-2.0
"""The images of a comparison, prepared once: rows take labels away, sets are scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from monai_semigan.baselines.frame import LearningData
from monai_semigan.bundle.bundle import Bundle
from monai_semigan.errors import ConfigError
from monai_semigan.io.datalist import Datalist, Entry, owners
from monai_semigan.io.label_subset import with_labels
from monai_semigan.report.comparison_record import VALIDATION
from monai_semigan.training.pool import ImagePool, LabelledPool, Symmetries, with_symmetries
from monai_semigan.training.settings import GanTraining
from monai_semigan.workflows.training_data import ignored_pixels, image_pool, labelled_pool, training_preset
from monai_semigan.workflows.training_files import bundle_training

__all__ = ["ComparisonData", "ScoredSet", "check_tests", "set_name_of"]


@dataclass(frozen=True)
class ScoredSet:
    """Images with labels that networks are scored on.

    Attributes:
        pool: The images.
        patients: Whose each is.
        ignored: Pixels that are left out, bool ``(M, S, S)``; None for none.
    """

    pool: LabelledPool
    patients: Sequence[str]
    ignored: torch.Tensor | None


class ComparisonData:
    """A data list on a bundle's grid; files are read when they are needed.

    Args:
        data: The list.
        source: Whose preparation is used.
        num_classes: K, background included.
    """

    def __init__(self, data: Datalist, source: Bundle, num_classes: int) -> None:
        self.data, self.num_classes = data, num_classes
        self.preset: Any = training_preset(source)
        self.symmetries: Symmetries = bundle_training(GanTraining, str(source.root), "train.json").symmetries

    def row(self, labels: int) -> Datalist:
        """Return the list with fewer labels."""
        return with_labels(self.data, labels)

    def learning(self, labels: int, *, uses_unlabelled: bool) -> LearningData:
        """Return what a baseline learns from ``labels`` labels; unlabelled images on request, if there are any."""
        row = self.row(labels)
        places = {entry.image: at for at, entry in enumerate(self.data.labelled)}
        labelled = self._labelled.subset([places[entry.image] for entry in row.labelled])
        unlabelled = None
        if uses_unlabelled and row.unlabelled:
            pool, places = self._images, {entry.image: at for at, entry in enumerate(self._image_entries)}
            unlabelled = ImagePool(self._mirrored(pool.images[[places[entry.image] for entry in row.unlabelled]]))
        pair = LabelledPool(self._mirrored(labelled.images), self._mirrored(labelled.targets))
        return LearningData(pair, unlabelled, self.scored(VALIDATION).pool)

    def scored(self, name: str) -> ScoredSet:
        """Return a set by name, ``validation`` or a test set's as `set_name_of` says."""
        if name not in self._sets:
            entries = self.entries(name)
            pool = labelled_pool(self.data, entries, self.preset, self.num_classes)
            self._sets[name] = ScoredSet(pool, owners(entries), ignored_pixels(entries, self.preset))
        return self._sets[name]

    def entries(self, name: str) -> tuple[Entry, ...]:
        """Return the entries of a set; see `scored`."""
        sets = {VALIDATION: self.data.validation}
        sets |= {set_name_of(test): entries for test, entries in self.data.test.items()}
        return sets[name]

    @cached_property
    def _sets(self) -> dict[str, ScoredSet]:
        return {}

    @cached_property
    def _labelled(self) -> LabelledPool:
        return labelled_pool(self.data, self.data.labelled, self.preset, self.num_classes)

    @cached_property
    def _image_entries(self) -> tuple[Entry, ...]:
        """All training images, each once: which have labels differs from row to row."""
        return tuple({entry.image: entry for entry in (*self.data.unlabelled, *self.data.labelled)}.values())

    @cached_property
    def _images(self) -> ImagePool:
        return image_pool(self._image_entries, self.preset)

    def _mirrored(self, x: torch.Tensor) -> torch.Tensor:
        return with_symmetries(x, self.symmetries)


def set_name_of(test: str) -> str:
    """Return what a test set of the data list is called among the sets."""
    return f"test:{test}"


def check_tests(data: Datalist, tests: Sequence[str]) -> None:
    """Refuse tests that a data list does not have.

    Raises:
        ConfigError: One is not there, or has no images.
    """
    known = [name for name, entries in data.test.items() if entries]
    unknown = [name for name in tests if name not in known]
    if unknown:
        raise ConfigError(
            f"`test` must be one of the data list's, {', '.join(known) or 'which has none'}, got {unknown[0]!r:.60}."
        )
