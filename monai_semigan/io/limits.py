# SPDX-License-Identifier: Apache-2.0
"""How large an image may be, checked from its header before anything is decoded."""

from __future__ import annotations

from monai_semigan.errors import InputError

__all__ = ["MAX_PIXELS", "check_pixel_count"]

MAX_PIXELS = 100_000_000
"""Larger images are refused from their header, before anything is decoded: five times the largest detector."""


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
