# SPDX-License-Identifier: Apache-2.0
"""CT or MR, told from the intensities of a volume whose file does not say it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_semigan.errors import InputError
from monai_semigan.transforms.ct_window import is_stored_ct

__all__ = ["ModalityGuess", "guess_modality"]

SAMPLES = 2_000_000
"""So many voxels, evenly spread, decide."""

FAT_HU = -50.0
"""Fat, lung and air lie below; the signal of MR is not negative, and where it was centred it is small."""

MIN_SHARE = 0.02
"""A CT of the trunk has at least this share of fat, lung and air, also where it was cropped inside the body."""


@dataclass(frozen=True)
class ModalityGuess:
    """What a volume seems to be.

    Attributes:
        modality: As DICOM writes it.
        reason: Why, for the report.
    """

    modality: str
    reason: str


def guess_modality(voxels: np.ndarray) -> ModalityGuess:
    """Tell CT from MR by the values.

    CT in HU has a good share of clearly negative values, fat and air; stored values of a CT whose rescale was lost
    crowd around 1024; all else counts as MR.

    Args:
        voxels: Any shape.

    Raises:
        InputError: The volume is empty or constant, or holds NaN.
    """
    sample = voxels.reshape(-1)[:: max(1, voxels.size // SAMPLES)].astype(np.float32)
    if sample.size == 0 or not np.isfinite(sample).all() or sample.min() == sample.max():
        raise InputError("The volume must hold finite, different values, got NaN, infinity, one value or none.")
    share = float((sample < FAT_HU).mean())
    if share >= MIN_SHARE:
        return ModalityGuess("CT", f"{share:.0%} of the voxels lie below {FAT_HU:.0f} HU, as fat, lung and air do")
    if is_stored_ct(sample):
        return ModalityGuess("CT", "the values crowd around 1024, as tissue does in a CT whose rescale was lost")
    low, high = np.percentile(sample, (0.1, 99.9))
    return ModalityGuess(
        "MR", f"the values run from {low:.4g} to {high:.4g} without the negative values of fat and air"
    )
