# SPDX-License-Identifier: Apache-2.0
"""How large the classes of a label map are: millilitres in a volume, square millimetres in an image."""

from __future__ import annotations

import numpy as np

from monai_semigan.errors import InputError, check_shape
from monai_semigan.geometry.grid import VoxelGrid

__all__ = ["class_areas_mm2", "class_counts", "class_volumes_ml"]


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


def class_volumes_ml(label: np.ndarray, grid: VoxelGrid, num_classes: int) -> tuple[float, ...]:
    """Return the volume of each class in millilitres, background first.

    Args:
        label: Class ids, ``(I, J, K)``.
        grid: Where its voxels lie; a sheared grid's volumes are right too.
        num_classes: With the background.

    Raises:
        ShapeError: The label has no three axes.
        InputError: It does not fit the grid, or holds other values than class ids.
    """
    check_shape("label", label.shape, "I J K")
    if label.shape != grid.shape:
        raise InputError(f"`label` must have the grid's shape {grid.shape}, got {label.shape}.")
    return tuple(count * grid.voxel_volume_ml for count in class_counts(label, num_classes))


def class_areas_mm2(label: np.ndarray, spacing_mm: tuple[float, float], num_classes: int) -> tuple[float, ...]:
    """Return the area of each class in square millimetres, background first.

    Args:
        label: Class ids, ``(H, W)``.
        spacing_mm: Between rows and between columns.
        num_classes: With the background.

    Raises:
        ShapeError: The label has no two axes.
        InputError: It holds other values than class ids.
    """
    check_shape("label", label.shape, "H W")
    return tuple(count * spacing_mm[0] * spacing_mm[1] for count in class_counts(label, num_classes))
