# SPDX-License-Identifier: Apache-2.0
"""Grey values: polarity, value-of-interest window, histogram equalization, gamma."""

from __future__ import annotations

import numpy as np

from monai_semigan.errors import ConfigError, InputError, check_shape

__all__ = ["adjust_gamma", "apply_voi_window", "check_grey_values", "equalize", "invert_polarity", "unit_rgb"]

CLIP_PERCENTILES = (0.5, 99.5)
"""Grey values beyond these percentiles are clipped before equalization: burnt-in markers, dead pixels."""

NUM_BINS = 256
"""Bins of the histogram; the mapping between bin centres is linear, so more than 8 bits survive."""


def check_grey_values(pixels: np.ndarray) -> None:
    """Refuse images that hold nothing to segment.

    Raises:
        InputError: A value is NaN or infinite, or all values are equal.
    """
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise InputError("The image must hold finite grey values, got NaN or infinity. Check how it was exported.")
    if pixels.size == 0 or pixels.min() == pixels.max():
        raise InputError("The image must have at least two grey values, got a constant one. Check how it was exported.")


def invert_polarity(pixels: np.ndarray) -> np.ndarray:
    """Turn an image whose lowest value is white (MONOCHROME1, DICOM PS3.3 C.7.6.3.1.2) around."""
    low, high = pixels.min(), pixels.max()
    return (high - (pixels - low)).astype(pixels.dtype)


def apply_voi_window(pixels: np.ndarray, *, center: float, width: float) -> np.ndarray:
    """Scale a window of grey values to [0, 1], float32, and clip outside (LINEAR, DICOM PS3.3 C.11.2.1.2.1).

    Raises:
        ConfigError: ``width`` is below 1.
    """
    if width < 1:
        raise ConfigError(f"`width` must be >= 1, got {width}.")
    scaled = (pixels.astype(np.float32) - np.float32(center - 0.5)) / np.float32(max(width - 1, 1e-6)) + np.float32(0.5)
    return scaled.clip(0, 1)


def equalize(image: np.ndarray) -> np.ndarray:
    """Equalize the histogram, after clipping to `CLIP_PERCENTILES`.

    The result depends on the order of the grey values alone: scanners that differ by a monotone curve (exposure, gamma,
    window) give nearly the same image. A black plateau stays at the lowest value (Gonzalez and Woods, Digital Image
    Processing, section 3.3, with the first bin's count subtracted).

    Args:
        image: ``(..., H, W)``, any floating range.

    Returns:
        The same shape, float32 in [-1, 1].
    """
    low, high = np.percentile(image, CLIP_PERCENTILES)
    if high <= low:  # more than 99 % of one value: keep what contrast there is
        low, high = float(image.min()), float(image.max())
    scaled = ((image - low) / max(high - low, 1e-12)).clip(0, 1)
    counts, edges = np.histogram(scaled, bins=NUM_BINS, range=(0, 1))
    cumulated = counts.cumsum(dtype=np.float64)
    share = (cumulated - cumulated[0]) / max(cumulated[-1] - cumulated[0], 1)
    equalized = np.interp(scaled, (edges[:-1] + edges[1:]) / 2, share)
    return (equalized * 2 - 1).astype(np.float32)


def adjust_gamma(image: np.ndarray, gamma: float) -> np.ndarray:
    """Raise grey values in [-1, 1], seen as [0, 1], to the power ``gamma``; above 1 darkens. Returns float32.

    Raises:
        ConfigError: ``gamma`` is not above 0.
    """
    if gamma <= 0:
        raise ConfigError(f"`gamma` must be > 0, got {gamma}.")
    return ((((image + 1) / 2) ** gamma) * 2 - 1).astype(np.float32)


def unit_rgb(pixels: np.ndarray) -> np.ndarray:
    """Bring RGB to float32 in [0, 1]: integers by their type's range, floats above 1 as 0..255.

    Args:
        pixels: ``(H, W, 3)``.

    Raises:
        ShapeError: Not three channels last.
        InputError: The image is constant, holds NaN, or floats outside 0..255.
    """
    check_shape("pixels", pixels.shape, "H W 3")
    check_grey_values(pixels)
    if pixels.dtype.kind in "ui":
        return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 255:
        raise InputError(f"Colors must lie in 0..1 or 0..255, got {low:g}..{high:g}. Check how the image was scaled.")
    return pixels.astype(np.float32) / np.float32(255 if high > 1 else 1)
