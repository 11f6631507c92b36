# SPDX-License-Identifier: Apache-2.0
"""The slice of a volume in which two label maps differ most, as radiologists see it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import DISPLAY_AXCODES, plane_name, reorient_to

__all__ = ["WorstSlice", "worst_slice"]

AXCODES = {"axial": DISPLAY_AXCODES, "coronal": ("L", "I", "P"), "sagittal": ("P", "I", "L")}
"""Where columns, rows and slices of the picture grow to, by plane: the patient's right on the left, the head on top."""

MARGIN = 0.15
"""Around what is labelled, as a share of its longer side."""

EQUAL_SPACING = 1.05
"""Spacings of a smaller ratio count as one."""


@dataclass(frozen=True)
class WorstSlice:
    """A slice, cut to what is labelled in it; its pixels are squares.

    Attributes:
        predicted: Class ids, ``(H, W)``.
        reference: The same.
        ignore: Bool, or None.
        image: Values of what was labelled, or None.
        name: Plane and place, such as ``axial slice 17 of 36``, counted from 1 as the volume's file counts.
    """

    predicted: np.ndarray
    reference: np.ndarray
    ignore: np.ndarray | None
    image: np.ndarray | None
    name: str


def worst_slice(
    predicted: np.ndarray,
    reference: np.ndarray,
    grid: VoxelGrid,
    *,
    ignore: np.ndarray | None = None,
    image: np.ndarray | None = None,
) -> WorstSlice:
    """Choose the slice with the most voxels that differ, in the plane of the thinnest pixels: that of acquisition.

    Args:
        predicted: Class ids, ``(I, J, K)``.
        reference: The same.
        grid: Where their voxels lie.
        ignore: Voxels that were left out, bool.
        image: What was labelled, ``(I, J, K)``.
    """
    axis = _slice_axis(grid)
    plane = plane_name(grid.affine, axis)
    view = reorient_to(grid, AXCODES[plane])
    maps = [view.apply(label).T for label in (predicted, reference)]  # (slices, rows, columns)
    unknown, seen = (None if volume is None else view.apply(volume).T for volume in (ignore, image))
    differing = [
        np.count_nonzero((a != b) if unknown is None else (a != b) & ~unknown[at])
        for at, (a, b) in enumerate(zip(*maps, strict=True))
    ]
    at = int(np.argmax(differing))
    rows, columns = _box((maps[0][at] > 0) | (maps[1][at] > 0))
    step_mm = view.target.spacing_mm[1], view.target.spacing_mm[0]
    number = len(differing) - at if view.flips[2] else at + 1

    def cut(volume: np.ndarray) -> np.ndarray:
        return _square_pixels(volume[at, rows, columns], step_mm)

    return WorstSlice(
        predicted=cut(maps[0]),
        reference=cut(maps[1]),
        ignore=None if unknown is None else cut(unknown),
        image=None if seen is None else cut(seen),
        name=f"{plane} slice {number} of {len(differing)}",
    )


def _slice_axis(grid: VoxelGrid) -> int:
    """Find the array axis along which slices lie farthest apart; the one along the body where none stands out."""
    spacing = grid.spacing_mm
    axis = int(np.argmax(spacing))
    if spacing[axis] < EQUAL_SPACING * sorted(spacing)[1]:
        axis = next(index for index in range(3) if plane_name(grid.affine, index) == "axial")
    return axis


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    if not mask.any():
        return slice(None), slice(None)
    ends = [(int(found[0]), int(found[-1]) + 1) for found in (np.flatnonzero(mask.any(axis=1 - at)) for at in (0, 1))]
    margin = round(MARGIN * max(stop - start for start, stop in ends)) + 1
    rows, columns = (slice(max(start - margin, 0), stop + margin) for start, stop in ends)
    return rows, columns


def _square_pixels(values: np.ndarray, step_mm: tuple[float, float]) -> np.ndarray:
    """Repeat pixels along the coarser axis until a pixel is as high as wide."""
    height, width = (
        max(1, round(size * step / min(step_mm))) for size, step in zip(values.shape, step_mm, strict=True)
    )
    if (height, width) == values.shape:
        return values
    rows, columns = (np.arange(new) * old // new for new, old in zip((height, width), values.shape, strict=True))
    repeated: np.ndarray = values[np.ix_(rows, columns)]
    return repeated
