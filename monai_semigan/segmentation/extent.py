# SPDX-License-Identifier: Apache-2.0
"""Where an organ begins and ends along a stack of slices: as far as its tissue goes on.

A generator that redraws every slice as one of its training set tends to draw the organ where there is none. What it
draws there lies on other tissue. So the extent is found by walking up and down from the organ's middle: a slice belongs
to the organ as long as the grey values under its label are like those of a slice before. What lies beyond the first
slice that differs is removed. Slices near each other are compared, as a surface coil makes grey values drift along the
body, and by robust numbers, as labels are wrong at their borders. No contrast is assumed: the rule is the same for CT
and MR.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

__all__ = ["limit_extent"]

SMOOTHING_MM = 2.0
"""Standard deviation of the Gaussian that grey values are smoothed with in the plane."""

BORDER_MM = 4.0
"""Width of the border that is left out: labels are least certain there."""

MIN_PIXELS = 10
"""Sections that have fewer pixels without their border are taken with it."""

REACH_MM = 7.5
"""Distance of the slice that a slice is compared with. Nearer ones are alike whatever they show."""

MIDDLE_MM = 18.75
"""The organ's middle has the largest volume up to this distance. What is drawn at the ends of a stack is short."""

TISSUE_LEVEL = 0.2
"""Sections below this share of the window's width are as dark as air and lung, which no organ is."""

MIN_SPREAD = 0.02
"""Smallest spread that is counted, as a share of the window's width: images without noise drift, too."""

MAD_TO_STD = 1.4826
"""Of a normal distribution: its standard deviation over its median absolute deviation."""


def limit_extent(
    label: np.ndarray,
    slices: np.ndarray,
    *,
    spacing_mm: tuple[float, float, float],
    window: tuple[float, float],
    max_shift: float,
    max_spread: float,
) -> dict[int, list[int]]:
    """Remove, class by class and in place, what lies beyond the slices through which a class's tissue goes on.

    Args:
        label: Class ids, ``(K, rows, columns)`` uint8, any view.
        slices: Grey values, ``(K, rows, columns)``.
        spacing_mm: Of slices, rows and columns.
        window: Grey values outside it count as its ends.
        max_shift: Largest difference of a slice's median grey value from that of the slice it is compared with, in
            robust standard deviations of the latter, > 0.
        max_spread: Largest ratio of its robust standard deviation to that of the other, > 0.

    Returns:
        By slice, the classes that it lost.
    """
    removed: dict[int, list[int]] = {}
    # Slice by slice: whatever looks at a whole volume in another order of axes copies it.
    areas = np.array([np.bincount(section.ravel(), minlength=256) for section in label])
    for class_id in (np.flatnonzero(areas[:, 1:].any(axis=0)) + 1).tolist():
        sections = _Sections(label, slices, class_id, areas[:, class_id], spacing_mm, window)
        for index in np.flatnonzero((sections.areas > 0) & ~sections.extent(max_shift, max_spread)).tolist():
            label[index][label[index] == class_id] = 0
            removed.setdefault(index, []).append(class_id)
    return removed


class _Sections:
    """The sections of a class."""

    def __init__(
        self,
        label: np.ndarray,
        slices: np.ndarray,
        class_id: int,
        areas: np.ndarray,
        spacing_mm: tuple[float, float, float],
        window: tuple[float, float],
    ) -> None:
        self.label, self.slices, self.class_id, self.areas = label, slices, class_id, areas
        self.between_mm, self.in_plane_mm, self.window = spacing_mm[0], spacing_mm[1:], window

    def extent(self, max_shift: float, max_spread: float) -> np.ndarray:
        """Walk from the middle both ways; return the slices passed, ``(K,)`` bool."""
        passed = np.zeros(len(self.areas), dtype=bool)
        tissue = {index: self._median_and_spread(index) for index in np.flatnonzero(self.areas).tolist()}
        middle, reach = self._middle(tissue), max(1, round(REACH_MM / self.between_mm))
        passed[middle] = True
        for direction in (-1, 1):
            index = middle + direction
            while 0 <= index < len(self.areas) and self.areas[index] > 0:
                median, spread = tissue[index]
                back = min(reach, abs(index - middle))
                median_before, spread_before = tissue[index - direction * back]
                if abs(median - median_before) > max_shift * spread_before or spread > max_spread * spread_before:
                    break
                passed[index] = True
                index += direction
        return passed

    def _middle(self, tissue: dict[int, tuple[float, float]]) -> int:
        """Find where most tissue lies around; sections as dark as air count less."""
        low, high = self.window
        volumes = np.zeros(len(self.areas))
        for index, (median, _) in tissue.items():
            volumes[index] = self.areas[index] * min(1.0, (median - low) / (TISSUE_LEVEL * (high - low)))
        half = round(MIDDLE_MM / self.between_mm)
        around = ndimage.uniform_filter1d(volumes, 2 * half + 1, mode="constant")
        return int(np.where(self.areas > 0, around, -1).argmax())

    def _median_and_spread(self, index: int) -> tuple[float, float]:
        """Of the smoothed grey values of a section without its border."""
        section = self.label[index] == self.class_id
        around = [int(np.ceil(3 * SMOOTHING_MM / spacing)) for spacing in self.in_plane_mm]
        lines = [np.flatnonzero(section.any(axis=axis)) for axis in (1, 0)]
        box = tuple(slice(max(at[0] - more, 0), at[-1] + more + 1) for at, more in zip(lines, around, strict=True))
        section, pixels = section[box], np.clip(self.slices[index][box].astype(np.float32), *self.window)
        smooth = ndimage.gaussian_filter(pixels, [SMOOTHING_MM / spacing for spacing in self.in_plane_mm])
        distance = ndimage.distance_transform_edt(np.pad(section, 1), sampling=self.in_plane_mm)[1:-1, 1:-1]
        inner = distance > BORDER_MM
        values = smooth[inner if np.count_nonzero(inner) >= MIN_PIXELS else section]
        median = float(np.median(values))
        spread = MAD_TO_STD * float(np.median(np.abs(values - median)))
        return median, max(spread, MIN_SPREAD * (self.window[1] - self.window[0]))
