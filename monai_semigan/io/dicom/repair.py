# SPDX-License-Identifier: Apache-2.0
"""Repairs of DICOM series that are made only when they are asked for: missing slices and gantry tilt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_semigan.errors import ConfigError

__all__ = ["NO_REPAIRS", "RepairOptions", "fill_positions", "straighten"]


@dataclass(frozen=True, kw_only=True)
class RepairOptions:
    """What may be done to a series that is no regular volume.

    Attributes:
        fill_missing: Put a copy of the nearest slice where one is missing.
        tilt: ``refuse`` a series whose slices do not stand straight above each other, or ``resample``: shift each slice
            within its plane (linear interpolation) onto a straight grid.

    Raises:
        ConfigError: `tilt` is unknown.
    """

    fill_missing: bool = False
    tilt: str = "refuse"

    def __post_init__(self) -> None:
        if self.tilt not in ("refuse", "resample"):
            raise ConfigError(f"`tilt` must be refuse or resample, got {self.tilt!r}.")


NO_REPAIRS = RepairOptions()


def fill_positions(indices: np.ndarray) -> np.ndarray:
    """For each place of a regular stack, the slice nearest to it; of two equally near ones the lower.

    Args:
        indices: Places that are filled, ``(N,)``, rising from 0.

    Returns:
        ``(K,)`` positions in ``indices``, K = the last place + 1.
    """
    places = np.arange(indices[-1] + 1)
    above = np.searchsorted(indices, places)  # the first slice at or above each place
    below = np.maximum(above - 1, 0)
    is_nearer = places - indices[below] <= indices[above] - places
    return np.where(is_nearer & (indices[above] != places), below, above)


def straighten(plane: np.ndarray, offset_px: np.ndarray, *, size: tuple[int, int], outside: float) -> np.ndarray:
    """Shift a slice within its plane onto a larger canvas, by linear interpolation.

    Args:
        plane: ``(rows, columns)``.
        offset_px: Where its first pixel comes to lie on the canvas: column, row; >= 0.
        size: Rows and columns of the canvas.
        outside: Value of the canvas around the slice.

    Returns:
        ``(rows', columns')`` float32.
    """
    from scipy import ndimage  # noqa: PLC0415  (0.1 s, and seldom needed)

    canvas = np.full(size, outside, dtype=np.float32)
    column, row = np.floor(offset_px).astype(int)
    canvas[row : row + plane.shape[0], column : column + plane.shape[1]] = plane
    rest = (offset_px[1] - row, offset_px[0] - column)
    shifted: np.ndarray = ndimage.shift(canvas, rest, order=1, mode="nearest")
    return shifted
