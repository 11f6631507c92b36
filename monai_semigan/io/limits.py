# SPDX-License-Identifier: Apache-2.0
"""How large an image or a volume may be, checked from its header before anything is decoded."""

from __future__ import annotations

from monai_semigan.errors import InputError

__all__ = ["MAX_PIXELS", "MAX_SLICES", "check_pixel_count", "check_volume_shape"]

MAX_PIXELS = 100_000_000
"""Larger images are refused from their header, before anything is decoded: five times the largest detector."""

MAX_SLICES = 10_000
"""Longest axis of a volume, voxels: a whole body in slices of 0.2 mm. More come from several scans in one."""


def check_pixel_count(name: str, width: int, height: int) -> None:
    """Refuse images that are too large to be meant.

    Raises:
        InputError: More than `MAX_PIXELS`.
    """
    if width * height > MAX_PIXELS:
        raise InputError(
            f"`{name}` must have at most {MAX_PIXELS // 1_000_000} megapixels, got {width} x {height}. "
            "Downsample it first."
        )


def check_volume_shape(name: str, shape: tuple[int, ...]) -> None:
    """Refuse volumes that are too large to be meant.

    Raises:
        InputError: An axis is longer than `MAX_SLICES`.
    """
    if max(shape) > MAX_SLICES:
        raise InputError(
            f"`{name}` must have at most {MAX_SLICES:,} voxels along each axis, got {' x '.join(map(str, shape))}. "
            "Split it into its scans first."
        )
