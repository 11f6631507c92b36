# SPDX-License-Identifier: Apache-2.0
"""Anatomical orientation of array axes, and reordering that moves no voxel in the patient.

An axis code names the direction in which an index grows: ``("L", "P", "S")`` is an array whose first index grows to the
patient's left, the second to posterior, the third to superior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_semigan.errors import GeometryError
from monai_semigan.geometry.grid import VoxelGrid

__all__ = ["DISPLAY_AXCODES", "Reorientation", "axcodes", "lps_from_ras", "plane_name", "reorient_to"]

CODES = (("L", "R"), ("P", "A"), ("I", "S"))
"""Codes of the negative and positive direction of the RAS+ axes."""

DISPLAY_AXCODES = ("L", "P", "S")
"""Axial slices as radiologists see them: columns grow to the patient's left, rows to posterior."""

PLANES = {0: "sagittal", 1: "coronal", 2: "axial"}
"""Name of the plane by the RAS axis that its normal is nearest to."""


def axcodes(affine: np.ndarray) -> tuple[str, str, str]:
    """Return the code of each array axis: the anatomical direction it is nearest to, each direction used once.

    The assignment is the one with the largest sum of cosines over all permutations, so an oblique volume never gets one
    direction twice.
    """
    closest = _assignment(affine)
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    codes = [CODES[axis][int(directions[axis, index] > 0)] for index, axis in enumerate(closest)]
    return codes[0], codes[1], codes[2]


def plane_name(affine: np.ndarray, axis: int = 2) -> str:
    """Return ``axial``, ``coronal`` or ``sagittal``: the plane of slices along an array axis."""
    return PLANES[_assignment(affine)[axis]]


def lps_from_ras(affine: np.ndarray) -> np.ndarray:
    """Turn an affine to RAS+ into one to DICOM's LPS+, or back: the change is its own inverse (PS3.3 C.7.6.2.1.1)."""
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


@dataclass(frozen=True)
class Reorientation:
    """An exact reordering of a volume's axes: a permutation and flips, no interpolation.

    Attributes:
        source: Grid before.
        target: Grid after; every voxel keeps its place in the patient.
        permutation: Source axis of each target axis.
        flips: Whether each target axis runs against its source axis.
    """

    source: VoxelGrid
    target: VoxelGrid
    permutation: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def apply(self, voxels: np.ndarray) -> np.ndarray:
        """Reorder voxels ``(I, J, K, ...)`` of the source grid; a view, nothing is copied."""
        if voxels.shape[:3] != self.source.shape:
            raise GeometryError(f"`voxels` must have the grid's shape {self.source.shape}, got {voxels.shape[:3]}.")
        rest = tuple(range(3, voxels.ndim))
        steps = tuple(slice(None, None, -1 if is_flipped else None) for is_flipped in self.flips)
        return voxels.transpose(*self.permutation, *rest)[steps]


def reorient_to(grid: VoxelGrid, codes: tuple[str, str, str] = DISPLAY_AXCODES) -> Reorientation:
    """Find the reordering of a grid's axes that comes nearest to ``codes``.

    Raises:
        GeometryError: The codes do not name each anatomical axis once.
    """
    wanted = [next((axis for axis, pair in enumerate(CODES) if code in pair), -1) for code in codes]
    if sorted(wanted) != [0, 1, 2]:
        raise GeometryError(f"`codes` must name each of L/R, P/A and I/S once, got {codes}.")
    closest, current = _assignment(grid.affine), axcodes(grid.affine)
    permutation = [closest.index(axis) for axis in wanted]
    flips = [current[source] != code for source, code in zip(permutation, codes, strict=True)]
    step = np.zeros((4, 4))  # from target indices to source indices
    step[3, 3] = 1
    for target_axis, (source_axis, is_flipped) in enumerate(zip(permutation, flips, strict=True)):
        step[source_axis, target_axis] = -1 if is_flipped else 1
        step[source_axis, 3] = grid.shape[source_axis] - 1 if is_flipped else 0
    shape = tuple(grid.shape[source] for source in permutation)
    target = VoxelGrid((shape[0], shape[1], shape[2]), grid.affine @ step)
    return Reorientation(grid, target, (permutation[0], permutation[1], permutation[2]), (flips[0], flips[1], flips[2]))


def _assignment(affine: np.ndarray) -> tuple[int, int, int]:
    """RAS axis of each array axis."""
    cosines = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    permutations = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    return max(permutations, key=lambda axes: sum(cosines[axis, index] for index, axis in enumerate(axes)))
