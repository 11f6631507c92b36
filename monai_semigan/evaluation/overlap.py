# SPDX-License-Identifier: Apache-2.0
"""Overlap of two label maps: Dice and intersection over union. Empty masks: see `evaluation.empty`."""

from __future__ import annotations

import numpy as np

from monai_semigan.errors import InputError
from monai_semigan.evaluation.empty import OVERLAP_IF_BOTH_EMPTY

__all__ = ["check_same_shape", "class_masks", "dice", "intersection_over_union"]


def class_masks(
    predicted: np.ndarray, reference: np.ndarray, index: int, *, ignore: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the masks of class ``index`` in both maps, with ``ignore`` cleared in both.

    Args:
        predicted: Class ids, any number of axes.
        reference: Class ids, the same shape.
        index: The class.
        ignore: Pixels that count in neither map, bool, the same shape.

    Returns:
        Two bool masks: predicted, reference.

    Raises:
        InputError: The maps differ in shape.
    """
    check_same_shape(predicted, reference, ignore)
    masks = predicted == index, reference == index
    return masks if ignore is None else (masks[0] & ~ignore, masks[1] & ~ignore)


def check_same_shape(predicted: np.ndarray, reference: np.ndarray, ignore: np.ndarray | None = None) -> None:
    """Refuse maps that differ in shape.

    Raises:
        InputError: They do.
    """
    for name, other in (("label map", predicted), ("ignore mask", ignore)):
        if other is not None and other.shape != reference.shape:
            raise InputError(
                f"The {name} must have the reference's size {_size(reference)}, got {_size(other)}. "
                "Label the image at its own size."
            )


def dice(predicted: np.ndarray, reference: np.ndarray) -> float:
    """Dice's coefficient of two bool masks, ``2 |A and B| / (|A| + |B|)``, in [0, 1] (Dice 1945)."""
    total = np.count_nonzero(predicted) + np.count_nonzero(reference)
    return 2 * np.count_nonzero(predicted & reference) / total if total else OVERLAP_IF_BOTH_EMPTY


def intersection_over_union(predicted: np.ndarray, reference: np.ndarray) -> float:
    """Jaccard's index of two bool masks, ``|A and B| / |A or B|``, in [0, 1] (Jaccard 1912)."""
    union = np.count_nonzero(predicted | reference)
    return np.count_nonzero(predicted & reference) / union if union else OVERLAP_IF_BOTH_EMPTY


def _size(pixels: np.ndarray) -> str:
    """Width first, as image viewers show it; arrays of other rank by their shape."""
    return f"{pixels.shape[1]} x {pixels.shape[0]}" if pixels.ndim == 2 else str(pixels.shape)
