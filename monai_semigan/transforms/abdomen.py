# SPDX-License-Identifier: Apache-2.0
"""CT and MR transforms for MONAI pipelines: array classes, and dictionary classes with the suffix ``d``.

They wrap the functions of `ct_window`, `mri` and `body`. Slices are ``(1, H, W)``, anterior at the top.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from monai.data.meta_tensor import MetaTensor

from monai_semigan.errors import ConfigError, check_shape
from monai_semigan.transforms.body import Modality, body_box
from monai_semigan.transforms.ct_window import HuWindow, check_hu, find_window, window_hu
from monai_semigan.transforms.mapped import ArrayTransform, Image, dictionary_version
from monai_semigan.transforms.mri import body_percentiles, correct_bias_field, match_quantiles, window_signal

__all__ = [
    "CorrectBiasField",
    "CorrectBiasFieldD",
    "CorrectBiasFieldDict",
    "CorrectBiasFieldd",
    "CropBody",
    "CropBodyD",
    "CropBodyDict",
    "CropBodyd",
    "MatchQuantiles",
    "MatchQuantilesD",
    "MatchQuantilesDict",
    "MatchQuantilesd",
    "WindowBodySignal",
    "WindowBodySignalD",
    "WindowBodySignalDict",
    "WindowBodySignald",
    "WindowHu",
    "WindowHuD",
    "WindowHuDict",
    "WindowHud",
]


class WindowHu(ArrayTransform):
    """Scale a window of CT values to [-1, 1] and clip outside (LINEAR_EXACT, DICOM PS3.3 C.11.2.1.3.2).

    Args:
        window: Name in `ct_window.WINDOWS`; or give ``center`` and ``width``.
        center: Window centre, HU.
        width: Window width, HU; greater than 0.
        check: Whether values that cannot be HU are refused, see `ct_window.check_hu`.
        assume_windowed: The values are HU clipped to 0..255.
    """

    def __init__(
        self,
        window: str | None = None,
        *,
        center: float | None = None,
        width: float | None = None,
        check: bool = True,
        assume_windowed: bool = False,
    ) -> None:
        if (window is None) == (center is None) or (center is None) != (width is None):
            raise ConfigError(f"Give either `window` or `center` and `width`, got {window}, {center} and {width}.")
        self.window = HuWindow(center, width) if center is not None and width is not None else find_window(str(window))
        self.check, self.assume_windowed = check, assume_windowed

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(1, *spatial)`` in HU; returns float32 of the same shape in [-1, 1].

        Raises:
            InputError: The values cannot be HU.
        """
        hu = self._values(img)
        if self.check:
            check_hu(hu, window=(self.window.low, self.window.high), assume_windowed=self.assume_windowed)
        return self._result(img, window_hu(hu, low=self.window.low, high=self.window.high))


class CropBody(ArrayTransform):
    """Crop to the trunk's box; the box goes into the metadata as ``crop_box``, for `ResizeToSquare`.

    Args:
        modality: ``CT`` or ``MR``.
    """

    def __init__(self, modality: Modality) -> None:
        if modality not in ("CT", "MR"):
            raise ConfigError(f"`modality` must be CT or MR, got {modality!r}.")
        self.modality = modality

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(1, H, W)`` in HU or MR signal; returns float32 ``(1, H', W')``."""
        plain = self._plain(img)
        shape: tuple[int, int] = plain.shape[1], plain.shape[2]
        box = body_box(plain[0], modality=self.modality) or (0, shape[0], 0, shape[1])
        top, bottom, left, right = box
        return self._result(img, plain[:, top:bottom, left:right], crop_box=box, source_shape=shape)


class WindowBodySignal(ArrayTransform):
    """Scale MR signal between two percentiles inside the body to [-1, 1]: see `mri.body_percentiles`.

    Args:
        low: Lower percentile, percent.
        high: Upper percentile, percent.
    """

    def __init__(self, *, low: float = 1.0, high: float = 99.5) -> None:
        if not 0 <= low < high <= 100:
            raise ConfigError(f"Percentiles must satisfy 0 <= low < high <= 100, got {low} and {high}.")
        self.low, self.high = low, high

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to a slice ``(1, H, W)``; returns float32 of the same shape in [-1, 1].

        Raises:
            InputError: The image is constant or holds NaN.
        """
        plain = self._plain(img)
        low, high = body_percentiles(plain, low=self.low, high=self.high)
        return self._result(img, window_signal(plain, low=low, high=high))


class CorrectBiasField(ArrayTransform):
    """Divide the bias field out with N4: see `mri.correct_bias_field`."""

    axes: ClassVar[str] = "1 H W S"

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to a slice ``(1, H, W)`` or an axial volume ``(1, H, W, S)``; returns float32 of the same shape."""
        if img.ndim == 3:
            check_shape("img", img.shape, "1 H W")
            return self._result(img, correct_bias_field(self._values(img)))
        corrected = correct_bias_field(np.moveaxis(self._plain(img)[0], -1, 0))
        return self._result(img, np.moveaxis(corrected, 0, -1)[None])


class MatchQuantiles(ArrayTransform):
    """Map values monotonely to the quantiles of a reference: see `mri.match_quantiles`.

    Args:
        reference: Ascending values at evenly spaced quantiles.
    """

    def __init__(self, reference: Sequence[float]) -> None:
        self.reference = tuple(reference)

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(1, *spatial)``; returns float32 of the same shape in the reference's range."""
        return self._result(img, match_quantiles(self._values(img), self.reference))


WindowHuD = WindowHuDict = WindowHud = dictionary_version(WindowHu)
CropBodyD = CropBodyDict = CropBodyd = dictionary_version(CropBody)
WindowBodySignalD = WindowBodySignalDict = WindowBodySignald = dictionary_version(WindowBodySignal)
CorrectBiasFieldD = CorrectBiasFieldDict = CorrectBiasFieldd = dictionary_version(CorrectBiasField)
MatchQuantilesD = MatchQuantilesDict = MatchQuantilesd = dictionary_version(MatchQuantiles)
