# SPDX-License-Identifier: Apache-2.0
"""MR signal: bias field, a window from percentiles inside the body, matching to a reference histogram."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_semigan.errors import ConfigError, check_shape
from monai_semigan.transforms.body import body_mask
from monai_semigan.transforms.intensity import check_grey_values

__all__ = ["body_percentiles", "correct_bias_field", "match_quantiles", "window_signal"]

WINDOW_SLICES = 24
"""So many slices, evenly spread among those that show something, decide on a volume's window."""

BIAS_WORKING_SIZE = 64
"""N4 runs on a copy with about this many pixels on the longer in-plane side: fields are smooth."""

BIAS_ITERATIONS = (20, 20, 10)
"""Iterations of N4 on each of its scales, coarse to fine."""


def body_percentiles(
    slices: np.ndarray | Sequence[np.ndarray], *, low: float = 1.0, high: float = 99.5
) -> tuple[float, float]:
    """Return two percentiles of the signal inside the body.

    Args:
        slices: ``(S, H, W)``; for one image ``(1, H, W)``.
        low: Lower percentile, percent.
        high: Upper percentile, percent.

    Returns:
        The signal at both; the upper is above the lower.

    Raises:
        ConfigError: Not 0 <= low < high <= 100.
        InputError: The volume is constant or holds NaN.
    """
    if not 0 <= low < high <= 100:
        raise ConfigError(f"Percentiles must satisfy 0 <= low < high <= 100, got {low} and {high}.")
    shown = [at for at in range(len(slices)) if np.min(slices[at]) != np.max(slices[at])] or list(range(len(slices)))
    chosen = np.unique(np.linspace(0, len(shown) - 1, min(len(shown), WINDOW_SLICES)).round().astype(int))
    picked = [np.asarray(slices[shown[at]]) for at in chosen]
    everything = np.concatenate([pixels.ravel() for pixels in picked])
    check_grey_values(everything)
    inside = np.concatenate([pixels[body_mask(pixels, modality="MR")] for pixels in picked])
    signal = inside if inside.size and inside.min() < inside.max() else everything
    bottom, top = (float(value) for value in np.percentile(signal, (low, high)))
    return (bottom, top) if bottom < top else (float(signal.min()), float(signal.max()))


def window_signal(signal: np.ndarray, *, low: float, high: float) -> np.ndarray:
    """Scale ``low..high`` to [-1, 1], float32, and clip outside.

    Raises:
        ConfigError: ``high`` is not above ``low``.
    """
    if not low < high:
        raise ConfigError(f"`low` must be below `high`, got {low} and {high}.")
    scaled = (signal.astype(np.float32) - np.float32(low)) * np.float32(2 / (high - low)) - np.float32(1)
    return scaled.clip(-1, 1)


def correct_bias_field(slices: np.ndarray, *, iterations: Sequence[int] = BIAS_ITERATIONS) -> np.ndarray:
    """Divide the slow change of brightness across the body out (N4ITK, Tustison et al. 2010).

    The field is estimated on a copy shrunken in-plane, inside the body, and applied at full resolution.

    Args:
        slices: ``(S, H, W)`` signal; a single slice is corrected in 2-D.
        iterations: At most so many per scale, coarse to fine.

    Returns:
        The same shape, float32; the mean inside the body is kept.

    Raises:
        InputError: The volume is constant or holds NaN.
    """
    import SimpleITK as sitk  # noqa: N813, PLC0415  (its own name for it; slow to import, only needed here)

    check_shape("slices", slices.shape, "S H W")
    check_grey_values(slices)
    signal = np.ascontiguousarray(slices, dtype=np.float32)
    mask = np.stack([body_mask(pixels, modality="MR") for pixels in signal])
    if not mask.any():
        return signal
    shift = float(min(0.0, signal.min()))  # N4 takes logarithms
    image, where = (sitk.GetImageFromArray(_flat(array)) for array in (signal - shift, mask.astype(np.uint8)))
    factor = max(1, round(max(signal.shape[1:]) / BIAS_WORKING_SIZE))
    factors = [factor, factor, 1][: image.GetDimension()]
    corrector = sitk.N4BiasFieldCorrectionImageFilter()
    corrector.SetMaximumNumberOfIterations([int(count) for count in iterations])
    corrector.Execute(sitk.Shrink(image, factors), sitk.Shrink(where, factors))
    field = np.exp(sitk.GetArrayFromImage(corrector.GetLogBiasFieldAsImage(image))).reshape(signal.shape)
    corrected = (signal - shift) / np.maximum(field, 1e-3)
    kept = float((signal - shift)[mask].mean()) / max(float(corrected[mask].mean()), 1e-12)
    result: np.ndarray = (corrected * kept + shift).astype(np.float32)
    return result


def match_quantiles(signal: np.ndarray, reference: Sequence[float], *, mask: np.ndarray | None = None) -> np.ndarray:
    """Map signal monotonely so that its quantiles become those of a reference (Nyul and Udupa 1999, all landmarks).

    Args:
        signal: Any shape.
        reference: Ascending values at evenly spaced quantiles from 0 to 1, two or more.
        mask: Where the signal's quantiles are taken, the same shape; None takes all.

    Returns:
        The same shape, float32, in the range of the reference.

    Raises:
        ConfigError: The reference is too short or not ascending.
        InputError: The signal is constant or holds NaN.
    """
    targets = np.asarray(reference, dtype=np.float64)
    if targets.ndim != 1 or len(targets) < 2 or not np.isfinite(targets).all() or (np.diff(targets) < 0).any():
        raise ConfigError("`reference` must be two or more ascending quantiles.")
    chosen = signal if mask is None or not mask.any() else signal[mask]
    check_grey_values(chosen)
    landmarks = np.quantile(chosen, np.linspace(0, 1, len(targets)))
    distinct, last = np.unique(landmarks[::-1], return_index=True)  # of equal landmarks the highest target
    mapped: np.ndarray = np.interp(signal, distinct, targets[::-1][last]).astype(np.float32)
    return mapped


def _flat(array: np.ndarray) -> np.ndarray:
    return array[0] if len(array) == 1 else array
