# SPDX-License-Identifier: Apache-2.0
"""Portraits: a square crop that needs no landmarks, and the six classes into which labels are merged."""

from __future__ import annotations

import numpy as np

from monai_semigan.errors import InputError
from monai_semigan.transforms.body import Box

__all__ = ["CELEBAMASK_PARTS", "FACE_PARTS", "centered_square", "merge_parts"]

FACE_PARTS = ("background", "skin", "hair", "eyes", "nose", "mouth")
"""Names of the class ids 0..5: those of FASSEG (Khan, Mauro, Leonardi 2015), which all sources of labels share."""

CELEBAMASK_PARTS = {
    "background": 0, "skin": 1, "nose": 4, "eye_g": 3, "l_eye": 3, "r_eye": 3, "l_brow": 2, "r_brow": 2, "l_ear": 1,
    "r_ear": 1, "mouth": 5, "u_lip": 5, "l_lip": 5, "hair": 2, "hat": 0, "ear_r": 1, "neck_l": 1, "neck": 1, "cloth": 0,
}  # fmt: skip
"""Our class id of each of CelebAMask-HQ's 19 parts, in their order (Lee et al. 2020), by FASSEG's convention: brows are
hair, ears and neck are skin, what lies on them is what it covers, glasses are eyes, hat and cloth are background."""


def centered_square(shape: tuple[int, int], *, share: float = 1.0) -> Box:
    """Return the largest square in the middle of an image ``(H, W)``, or a ``share`` of it in (0, 1], as a box."""
    side = max(1, round(min(shape) * share))
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    return top, top + side, left, left + side


def merge_parts(label: np.ndarray) -> np.ndarray:
    """Merge CelebAMask-HQ's 19 class ids into `FACE_PARTS`, uint8 of the same shape.

    Raises:
        InputError: An id is none of 0..18.
    """
    if label.size and (label.min() < 0 or label.max() >= len(CELEBAMASK_PARTS)):
        raise InputError(f"Face labels must hold ids 0..{len(CELEBAMASK_PARTS) - 1}, got {label.min()}..{label.max()}.")
    merged: np.ndarray = np.array(list(CELEBAMASK_PARTS.values()), dtype=np.uint8)[label]
    return merged
