# SPDX-License-Identifier: Apache-2.0
"""How many pixels or voxels of a label map each class has."""

from __future__ import annotations

import numpy as np

from monai_semigan.errors import InputError

__all__ = ["class_counts"]


def class_counts(label: np.ndarray, num_classes: int) -> tuple[int, ...]:
    """Count the elements of each class, background first, in an array of class ids of any shape.

    Raises:
        InputError: The label holds other values than class ids.
    """
    if label.dtype.kind not in "ui":
        raise InputError(f"`label` must hold class ids, got {label.dtype}.")
    counts = np.zeros(num_classes, dtype=np.int64)
    # A plane at a time, as bincount makes 8 bytes of each element; along the last axis, which is the slices'.
    for plane in np.moveaxis(label, -1, 0) if label.ndim > 2 else [label]:
        if plane.size and (int(plane.min()) < 0 or int(plane.max()) >= num_classes):
            raise InputError(
                f"`label` must have class ids 0 to {num_classes - 1}, got {int(plane.min())} to {int(plane.max())}."
            )
        counts += np.bincount(plane.ravel(), minlength=num_classes)
    return tuple(int(count) for count in counts)
