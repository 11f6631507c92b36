# SPDX-License-Identifier: Apache-2.0
"""The outlines of a mask as polygons of few points that enclose the same pixels."""

from __future__ import annotations

import numpy as np

__all__ = ["outlines"]

EXACT_TOLERANCE = 0.3
"""Pixels that an outline may move. Outlines pass pixel centres at sqrt(1/8) = 0.354 or more: none changes its side."""

COARSER = 1.5
"""Factor of the tolerance while an outline has too many points."""


def outlines(mask: np.ndarray, *, max_points: int, max_outlines: int) -> list[np.ndarray]:
    """Trace the borders of a mask, those of holes too.

    Args:
        mask: ``(H, W)`` bool.
        max_points: Of one outline: longer ones are drawn coarser.
        max_outlines: The longest are kept.

    Returns:
        Closed polygons ``(N, 2)`` float32, the last point equal to the first: column and row in pixels, 0 at the outer
        edge of the first pixel, so that the centre of pixel (0, 0) is at (0.5, 0.5). The longest first.
    """
    from skimage.measure import approximate_polygon, find_contours  # noqa: PLC0415  (0.2 s to import)

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    top, left = rows[0], columns[0]
    part = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    traced = sorted(find_contours(part.astype(np.float32), 0.5), key=len, reverse=True)
    found = []
    for line in traced[:max_outlines]:
        tolerance = EXACT_TOLERANCE
        while len(polygon := approximate_polygon(line, tolerance)) > max_points:
            tolerance *= COARSER
        if len(polygon) > 3:  # fewer enclose nothing
            found.append((polygon[:, ::-1] + np.array([left, top]) - 0.5).astype(np.float32))
    return found
