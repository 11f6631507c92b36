# SPDX-License-Identifier: Apache-2.0
"""How parallel slices stack: their order, their gaps, and whether they stand straight above each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monai_semigan.errors import GeometryError

__all__ = ["SliceStack", "orthonormal", "stack_slices"]

MAX_COSINE_ERROR = 1e-3
"""Direction cosines may miss unit length and right angles by this much (three digits in a header)."""

MAX_GAP_DEVIATION = 0.01
"""Gaps are equal up to this share of them (highdicom's default) ..."""

MAX_GAP_ROUNDING_MM = 0.11
"""... or, up to an eighth of the gap, this: positions rounded to 0.1 mm."""

SAME_POSITION_MM = 1e-3
"""Slices nearer than this lie at one position."""


@dataclass(frozen=True, kw_only=True)
class SliceStack:
    """Parallel slices, sorted along their normal.

    Attributes:
        order: For each sorted slice its index in the input, ``(N,)``; the normal is the row's direction times (cross
            product) the column's, so that columns, rows and slices are right-handed.
        axes: Unit vectors along a row, along a column and along the normal, one per column, ``(3, 3)``.
        origin_mm: Position of the first sorted slice, ``(3,)``.
        heights_mm: Heights above the first slice along the normal, ``(N,)``, rising.
        offsets_mm: In-plane displacement against the first slice along rows and columns, ``(N, 2)``.
    """

    order: np.ndarray
    axes: np.ndarray
    origin_mm: np.ndarray
    heights_mm: np.ndarray
    offsets_mm: np.ndarray

    @property
    def gaps_mm(self) -> np.ndarray:
        """Distances of neighbouring slices, ``(N - 1,)``."""
        return np.diff(self.heights_mm)

    @property
    def duplicates(self) -> list[int]:
        """Every ``at`` with slices ``at`` and ``at + 1`` at one height."""
        return np.flatnonzero(self.gaps_mm < SAME_POSITION_MM).tolist()

    @property
    def spacing_mm(self) -> float:
        """Distance of neighbouring slices, 0 for fewer than two.

        It is the smallest gap if all others are multiples of it, else their median; then, as single gaps are rounded,
        the mean of those that are near it.
        """
        gaps = self.gaps_mm
        if not len(gaps):
            return 0.0
        usual, smallest = float(np.median(gaps)), float(gaps.min())
        if smallest >= SAME_POSITION_MM:
            multiples = np.rint(gaps / smallest)
            if np.all(np.abs(gaps - multiples * smallest) <= gap_tolerance_mm(smallest) * multiples):
                usual = smallest
        return float(gaps[np.abs(gaps - usual) <= usual / 4].mean())

    @property
    def missing(self) -> dict[int, int]:
        """How many slices are missing between ``at`` and ``at + 1``, where any are."""
        return {at: int(count) for at, count in enumerate(self._steps() - 1) if count > 0}

    @property
    def uneven(self) -> list[int]:
        """Every ``at`` whose gap to ``at + 1`` is no multiple of the spacing, also not up to rounding."""
        steps = self._steps()
        deviation = np.abs(self.gaps_mm - steps * self.spacing_mm)
        is_uneven = (deviation > gap_tolerance_mm(self.spacing_mm)) | (steps < 1)
        # Small deviations may add up: a slice must not lie further from its place in the grid either.
        places = np.concatenate(([0.0], np.cumsum(steps))) * self.spacing_mm
        is_displaced = np.abs(self.heights_mm - places)[1:] > max(self.spacing_mm / 4, MAX_GAP_ROUNDING_MM)
        if not is_uneven.any() and is_displaced.any():
            is_uneven[np.flatnonzero(is_displaced)[0]] = True
        return np.flatnonzero(is_uneven).tolist()

    @property
    def indices(self) -> np.ndarray:
        """Place of each slice in the regular stack, ``(N,)`` from 0; missing slices leave indices out."""
        return np.concatenate(([0], np.cumsum(self._steps()))).astype(int)

    @property
    def max_offset_mm(self) -> float:
        """Largest in-plane displacement against the first slice."""
        return float(np.linalg.norm(self.offsets_mm, axis=1).max())

    @property
    def tilt_degrees(self) -> float:
        """Angle between the normal and the line from the first slice to the last."""
        return float(np.degrees(np.arctan2(np.linalg.norm(self.offsets_mm[-1]), self.heights_mm[-1])))

    def _steps(self) -> np.ndarray:
        return np.rint(self.gaps_mm / max(self.spacing_mm, SAME_POSITION_MM)).astype(int)


def stack_slices(positions_mm: np.ndarray, row: Sequence[float], column: Sequence[float]) -> SliceStack:
    """Sort slices along their common normal.

    Args:
        positions_mm: Centre of each slice's first voxel, ``(N, 3)``.
        row: Direction in which the column index grows, 3 cosines.
        column: Direction in which the row index grows, 3 cosines.

    Raises:
        GeometryError: The directions are no unit vectors or not perpendicular, or positions are not finite.
    """
    axes = orthonormal(row, column)
    positions = np.asarray(positions_mm, dtype=np.float64)
    if not np.isfinite(positions).all():
        raise GeometryError("`positions_mm` must be finite.")
    order = np.argsort(positions @ axes[:, 2], kind="stable")
    origin = positions[order[0]]
    local = (positions[order] - origin) @ axes
    return SliceStack(order=order, axes=axes, origin_mm=origin, heights_mm=local[:, 2], offsets_mm=local[:, :2])


def orthonormal(row: Sequence[float], column: Sequence[float]) -> np.ndarray:
    """Return unit vectors along the row, the column and their normal, one per column, ``(3, 3)``; rounding removed.

    Raises:
        GeometryError: The directions are no unit vectors or not perpendicular, by more than rounding.
    """
    first, second = np.asarray(row, dtype=np.float64), np.asarray(column, dtype=np.float64)
    cosines = (first @ first, second @ second, first @ second)
    if not np.allclose(cosines, (1, 1, 0), rtol=0, atol=2 * MAX_COSINE_ERROR):
        raise GeometryError(
            f"Direction cosines must be two perpendicular unit vectors, got {[*first.tolist(), *second.tolist()]}."
        )
    first = first / np.linalg.norm(first)
    second = second - (first @ second) * first
    second = second / np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], axis=1)


def gap_tolerance_mm(spacing_mm: float) -> float:
    """By how much a gap may differ from the spacing."""
    return max(MAX_GAP_DEVIATION * spacing_mm, min(MAX_GAP_ROUNDING_MM, spacing_mm / 8))
