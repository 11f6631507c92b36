# SPDX-License-Identifier: Apache-2.0
"""Give every patient one role, and the labelled ones of the training a rank."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monai_semigan.errors import ConfigError, InputError
from monai_semigan.extras.datasets.collection import Part, Subject

__all__ = ["Share", "assign_roles"]

VALIDATION_SHARE = 0.1
TEST_SHARE = 0.2
"""Of the labelled patients that the data set itself does not split."""


@dataclass(frozen=True)
class Share:
    """A patient's part in the experiment.

    Attributes:
        role: ``train``, ``validation`` or ``test``.
        test_set: Its name; None for the data set's own.
        label_rank: From 1 in the order in which labels are used; None outside the training and without a label.
        is_labelled: Its labels are used in training.
    """

    role: Part
    test_set: str | None = None
    label_rank: int | None = None
    is_labelled: bool = False


def assign_roles(
    subjects: Sequence[Subject], *, labels: int | None = None, seed: int = 0, test_only: bool = False
) -> dict[str, Share]:
    """Split by patient.

    The order of patients depends on the seed alone, so the labelled patients of a smaller ``labels`` are among those of
    a larger one, and validation and test stay the same. Splits that come with the data set are kept.

    Args:
        subjects: One per patient.
        labels: Labelled patients of the training that are used; None for all.
        seed: Of the order.
        test_only: All labelled patients are for the test, the others are left out.

    Returns:
        By patient; who is left out is not in it.

    Raises:
        ConfigError: There are fewer labelled patients than ``labels``, or none for a test.
        InputError: A patient comes twice, or there are too few to split.
    """
    doubled = sum(count > 1 for count in Counter(subject.patient_id for subject in subjects).values())
    if doubled:
        raise InputError(f"Every patient must come once, but {doubled} come more often. Report this as a defect.")
    labelled = [subject for subject in subjects if subject.has_label]
    if test_only:
        if not labelled:
            raise ConfigError("`test_only` must be used with labels, but this data set has none.")
        return {subject.patient_id: Share("test") for subject in labelled}
    if not labelled:
        if labels:
            raise ConfigError(f"`labels` must be 0 for a data set without labels, got {labels}.")
        return {subject.patient_id: Share("train") for subject in subjects}
    training, scored = _split(labelled, seed)
    if labels is not None and not 0 <= labels <= len(training):
        raise ConfigError(f"`labels` must be 0 to {len(training)} patients, got {labels}.")
    used = len(training) if labels is None else labels
    shares = {subject.patient_id: Share("train") for subject in subjects if not subject.has_label}
    for rank, subject in enumerate(training, start=1):
        shares[subject.patient_id] = Share("train", label_rank=rank, is_labelled=rank <= used)
    return shares | scored


def _split(labelled: list[Subject], seed: int) -> tuple[list[Subject], dict[str, Share]]:
    """Return the patients to train with in the order of their labels, and the others."""
    order = np.random.default_rng(seed).permutation(len(labelled))
    free = [labelled[at] for at in order if labelled[at].part in (None, "train")]
    fixed = [subject for subject in labelled if subject.part in ("validation", "test")]
    scored = {s.patient_id: Share(s.part, s.test_set) for s in fixed if s.part is not None}
    undecided = [subject for subject in free if subject.part is None]
    given = {subject.part for subject in fixed if subject.test_set is None}
    shares: tuple[tuple[Part, float], ...] = (("test", TEST_SHARE), ("validation", VALIDATION_SHARE))
    for role, portion in shares:
        if role not in given and undecided:
            count = math.ceil(portion * len(undecided))
            taken, undecided = undecided[:count], undecided[count:]
            scored |= {subject.patient_id: Share(role) for subject in taken}
    training = [subject for subject in free if subject.patient_id not in scored]
    if not training:
        raise InputError(f"At least 3 labelled patients must be there to be split, got {len(labelled)}.")
    return training, scored
