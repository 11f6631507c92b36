# SPDX-License-Identifier: Apache-2.0
"""Find what is no image: padding, collimator blades, frames along the four sides."""

from __future__ import annotations

from itertools import takewhile

import numpy as np

__all__ = ["content_box"]

WORKING_SIZE = 256
"""Borders are looked for on a copy of about this many pixels per side."""

DARK_SHARE = 0.06
"""A line belongs to a dark border when nearly all of it lies in this lowest share of the grey range."""

DARK_PERCENTILE = 95
"""So many percent of a line must be dark: markers and JPEG noise may be brighter."""

FLAT_SHARE = 0.01
"""A line belongs to a frame of any brightness when its grey values differ by less than this share of the range."""


def content_box(pixels: np.ndarray, *, max_share: float = 0.45) -> tuple[int, int, int, int]:
    """Return ``(top, bottom, left, right)`` of what lies inside dark or flat borders, half-open, in pixels.

    Args:
        pixels: ``(H, W)`` grey values, low is black.
        max_share: No more than this share of the image is cut from one side.
    """
    strides = [max(1, side // WORKING_SIZE) for side in pixels.shape]
    small = pixels[:: strides[0], :: strides[1]].astype(np.float32)
    low, high = np.percentile(small, (0.5, 99.5))
    dark, flat = low + DARK_SHARE * (high - low), FLAT_SHARE * (high - low)

    def border(lines: np.ndarray) -> int:
        most = int(len(lines) * max_share)
        return sum(
            1
            for _ in takewhile(
                lambda line: np.percentile(line, DARK_PERCENTILE) <= dark or np.ptp(line) <= flat, lines[:most]
            )
        )

    top, bottom = (border(lines) * strides[0] for lines in (small, small[::-1]))
    left, right = (border(lines) * strides[1] for lines in (small.T, small.T[::-1]))
    height, width = pixels.shape
    return top, height - bottom, left, width - right
