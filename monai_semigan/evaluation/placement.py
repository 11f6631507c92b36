# SPDX-License-Identifier: Apache-2.0
"""Lay a predicted label volume on its reference's voxels, exactly or not at all.

Scores compare voxel with voxel, so both maps must be on one grid. A copy with its axes in another order or direction is
on it: its voxels are reordered, none is changed. Everything else would need interpolation, which changes the label and
with it the scores; it is refused with the reason, and left to the user.
"""

from __future__ import annotations

import numpy as np

from monai_semigan.errors import GeometryError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import reorient_to

__all__ = ["lay_on"]

MAX_OFFSET = 0.1
"""Of a voxel: as far may corners lie apart. Headers round (float32 in NIfTI, text in NRRD), errors shift by more."""

AXES = ("R", "A", "S")
"""Directions of a grid's own axes, when they play the part of the patient's."""


def lay_on(reference: VoxelGrid, label: np.ndarray, grid: VoxelGrid, *, name: str = "prediction") -> np.ndarray:
    """Return a label volume in the axis order of ``reference``; a view, nothing is interpolated.

    Args:
        reference: Where the result's voxels lie.
        label: ``(I, J, K)`` of ``grid``.
        grid: Where its voxels lie.
        name: What the error calls the volume.

    Raises:
        GeometryError: The two grids do not have the same voxels, or are sheared.
    """
    if not reference.is_orthogonal:
        raise GeometryError("The reference must have perpendicular axes, but is sheared. Resample both volumes first.")
    # In the reference's own index space its axes are R, A and S: what is reoriented to them has its axis order.
    found = reorient_to(VoxelGrid(grid.shape, np.linalg.inv(reference.affine) @ grid.affine), AXES)
    if found.target.is_same_place(VoxelGrid(reference.shape, np.eye(4)), tolerance_mm=MAX_OFFSET):
        return found.apply(label)
    raise GeometryError(
        f"The {name} must lie on the reference's voxels, but {_difference(reference, grid, found.target)}. "
        "Resample it to the reference with nearest neighbor, or segment the volume that the reference was drawn on."
    )


def _difference(reference: VoxelGrid, grid: VoxelGrid, relative: VoxelGrid) -> str:
    """Say what differs; ``relative`` is the grid in the reference's axis order, in the reference's index space."""
    moved = VoxelGrid(relative.shape, reference.affine @ relative.affine)
    drift = np.abs(np.divide(moved.spacing_mm, reference.spacing_mm) - 1) * reference.shape  # voxels, over the volume
    if moved.shape != reference.shape or drift.max() > MAX_OFFSET:
        return (
            f"has {_listed(moved.shape)} voxels of {_listed(moved.spacing_mm)} mm where the reference has "
            f"{_listed(reference.shape)} of {_listed(reference.spacing_mm)} mm"
        )
    cosine = float(np.sum(reference.directions * moved.directions, axis=0).min())
    degrees = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    offset_mm = float(np.linalg.norm(_center_mm(grid) - _center_mm(reference)))
    return (
        f"its center lies {offset_mm:.4g} mm away and its axes are turned by up to {degrees:.2f} degrees, "
        "at the same size"
    )


def _center_mm(grid: VoxelGrid) -> np.ndarray:
    center: np.ndarray = grid.to_mm((np.array([grid.shape]) - 1) / 2)[0]
    return center


def _listed(values: np.ndarray | tuple[float, ...]) -> str:
    return " x ".join(f"{value:.4g}" for value in values)
