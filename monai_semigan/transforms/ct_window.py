# SPDX-License-Identifier: Apache-2.0
"""CT values: display windows, and the check that values are HU at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_semigan.errors import ConfigError, InputError

__all__ = ["WINDOWS", "HuWindow", "check_hu", "find_window", "is_stored_ct", "window_hu"]

AIR_HU = -150.0
"""Below lie air and lung; fat does not reach it. Every uncropped CT has some."""

MIN_AIR_SHARE = 0.001
"""A thousandth of the voxels is air in any slice whose body does not fill it."""

TISSUE_RANGE_HU = (-150.0, 200.0)
"""The median of all that is denser than lung lies here, between fat and enhanced organs or bone."""

LUNG_HU = -300.0
"""Voxels above count as tissue when that median is taken."""

STORED_OFFSET = 1024
"""Most scanners store HU + 1024 (or + 1000): water near 1024, air near 24 or 0."""

STORED_BONE = 1400
"""Any trunk has bone that is brighter, as stored."""

MAX_CLIPPED_SHARE = 1e-3
"""Of the voxels at the highest value: bone and contrast reach high values in few voxels, clipping piles them up."""

SAMPLES = 2_000_000
"""So many voxels, evenly spread, decide."""


@dataclass(frozen=True)
class HuWindow:
    """A window of CT values, HU.

    Attributes:
        center: Value shown as middle grey.
        width: From black to white; greater than 0.
    """

    center: float
    width: float

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise ConfigError(f"`width` must be > 0 HU, got {self.width}.")

    @property
    def low(self) -> float:
        """Highest value that is black."""
        return self.center - self.width / 2

    @property
    def high(self) -> float:
        """Lowest value that is white."""
        return self.center + self.width / 2


WINDOWS = {
    "liver": HuWindow(30, 150),
    "soft_tissue": HuWindow(50, 400),
    "lung": HuWindow(-600, 1500),
    "bone": HuWindow(400, 1800),
    "brain": HuWindow(40, 80),
    "liver_255": HuWindow(127.5, 255),
}
"""Usual windows (Radiopaedia, "Windowing (CT)"); ``liver_255`` is what 8-bit pictures of 0..255 HU show."""


def find_window(name: str) -> HuWindow:
    """Return a window of `WINDOWS`.

    Raises:
        ConfigError: No window has this name.
    """
    if name not in WINDOWS:
        raise ConfigError(f"`window` must be one of {', '.join(WINDOWS)}, got {name!r}.")
    return WINDOWS[name]


def window_hu(hu: np.ndarray, *, low: float, high: float) -> np.ndarray:
    """Scale ``low..high`` HU to [-1, 1], float32, and clip outside (LINEAR_EXACT, DICOM PS3.3 C.11.2.1.3.2).

    Raises:
        ConfigError: ``high`` is not above ``low``.
    """
    if not low < high:
        raise ConfigError(f"`low` must be below `high`, got {low} and {high} HU.")
    scaled = (hu.astype(np.float32) - np.float32(low)) * np.float32(2 / (high - low)) - np.float32(1)
    return scaled.clip(-1, 1)


def check_hu(
    voxels: np.ndarray, *, window: tuple[float, float] | None = None, assume_windowed: bool = False
) -> tuple[str, ...]:
    """Refuse values that cannot be HU.

    Args:
        voxels: A slice or volume with air around or in the body, any shape.
        window: Lowest and highest HU that will be looked at. Values that were clipped outside it, or a volume that was
            cropped inside the body, then pass with a warning; without it every CT must have air.
        assume_windowed: The values are HU that were clipped to 0..255; then only this range is checked.

    Returns:
        What a reader of the result should know.

    Raises:
        InputError: NaN or a constant; the rescale slope and intercept were lost; a window was burnt in; the body's
            values lie elsewhere than tissue does; values were clipped inside the window.
    """
    sample = voxels.reshape(-1)[:: max(1, voxels.size // SAMPLES)].astype(np.float32)
    if sample.size == 0 or not np.isfinite(sample).all():
        raise InputError("The CT must hold finite values, got NaN, infinity or nothing. Check how it was exported.")
    low, high = float(sample.min()), float(sample.max())
    if low == high:
        raise InputError(f"The CT must have at least two values, got {low:g} throughout. Check how it was exported.")
    if assume_windowed:
        if low < 0 or high > 255:
            raise InputError(f"A CT windowed to 0..255 HU must stay in this range, got {low:g}..{high:g}.")
        return ()
    warnings: tuple[str, ...] = ()
    if float((sample < AIR_HU).mean()) < MIN_AIR_SHARE:
        if window is None or not _covers(sample, window):
            raise InputError(f"The CT must have air near -1000 HU, got {low:g}..{high:g}. {_cause(sample)}")
        warnings = (f"The CT has no air ({low:g}..{high:g} HU): it was clipped, or cropped inside the body.",)
    dense = sample[sample > LUNG_HU]
    if dense.size == 0:
        raise InputError(f"The CT must show tissue near 0..100 HU, got {low:g}..{high:g}. Check RescaleSlope.")
    tissue = float(np.median(dense))
    if not TISSUE_RANGE_HU[0] <= tissue <= TISSUE_RANGE_HU[1]:
        lost = abs(tissue - STORED_OFFSET) < 200
        cause = f"The rescale was lost: subtract {STORED_OFFSET}." if lost else "Check RescaleSlope and the modality."
        raise InputError(f"Tissue in the CT must lie near 0..100 HU, got a median of {tissue:g}. {cause}")
    return warnings


def _covers(sample: np.ndarray, window: tuple[float, float]) -> bool:
    """Whether nothing inside the window was clipped away, and values below 0 show that these are HU."""
    low, high = sample.min(), sample.max()
    is_clipped_above = high < window[1] and float((sample == high).mean()) > MAX_CLIPPED_SHARE
    return bool(low < 0 and low <= window[0] and not is_clipped_above and not is_stored_ct(sample))


def is_stored_ct(sample: np.ndarray) -> bool:
    """Whether values without air look like HU + 1024 or HU + 1000.

    Most of what is not air lies in a narrow band there: tissue from fat to enhanced organs spans 250 HU of a range of
    thousands. The signal of MR is spread.
    """
    if sample.min() < AIR_HU or sample.max() <= STORED_BONE:
        return False
    dense = sample[sample > STORED_OFFSET + LUNG_HU]
    band = (dense > STORED_OFFSET - 180) & (dense < STORED_OFFSET + 180)
    return dense.size > 0.05 * sample.size and float(band.mean()) > 0.6


def _cause(sample: np.ndarray) -> str:
    """Why there is no air, as far as the values tell, and what to do."""
    low, high = float(sample.min()), float(sample.max())
    if is_stored_ct(sample):
        return f"The rescale was lost: these look like stored values, {STORED_OFFSET} too high. Subtract it."
    if low >= -1 and high <= 1:
        return "The values were scaled to a unit range. Use the original."
    if low >= 0 and high <= 255:
        return "The values were windowed to 8 bits. Use the original, or say that they are 0..255 HU (assume_windowed)."
    if low >= 0:
        return "The rescale was lost, or this is no CT. Apply RescaleSlope and RescaleIntercept, or name the modality."
    return "The values were clipped, or the volume was cropped inside the body. Use the original."
