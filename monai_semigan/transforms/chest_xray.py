# SPDX-License-Identifier: Apache-2.0
"""Chest X-ray transforms for MONAI pipelines: array classes, and dictionary classes with the suffix ``d``.

They wrap the functions of `intensity`, `border` and `square`. Images are channel-first, ``(1, H, W)``, with rows before
columns. Transforms that change the geometry note it in the metadata of the image (`GEOMETRY_KEY`), from which
`RestoreLabel` finds the way back to the source's pixels.
"""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
from monai.data.meta_tensor import MetaTensor

from monai_semigan.errors import ConfigError
from monai_semigan.transforms.border import content_box
from monai_semigan.transforms.intensity import adjust_gamma, apply_voi_window, equalize, invert_polarity
from monai_semigan.transforms.mapped import GEOMETRY_KEY, ArrayTransform, Image, dictionary_version
from monai_semigan.transforms.square import SquareGeometry

__all__ = [
    "AdjustGamma",
    "AdjustGammaD",
    "AdjustGammaDict",
    "AdjustGammad",
    "ApplyVoiWindow",
    "ApplyVoiWindowD",
    "ApplyVoiWindowDict",
    "ApplyVoiWindowd",
    "CropBorder",
    "CropBorderD",
    "CropBorderDict",
    "CropBorderd",
    "EqualizeGrey",
    "EqualizeGreyD",
    "EqualizeGreyDict",
    "EqualizeGreyd",
    "InvertPolarity",
    "InvertPolarityD",
    "InvertPolarityDict",
    "InvertPolarityd",
    "ResizeToSquare",
    "ResizeToSquareD",
    "ResizeToSquareDict",
    "ResizeToSquared",
]


class InvertPolarity(ArrayTransform):
    """Invert images whose metadata says ``photometric: MONOCHROME1`` (DICOM PS3.3 C.7.6.3.1.2); others pass unchanged.

    Args:
        always: Invert whatever the metadata says.
    """

    def __init__(self, *, always: bool = False) -> None:
        self.always = always

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(1, H, W)``; returns float32 of the same shape."""
        inverts = self.always or self._known(img, "photometric") == "MONOCHROME1"
        return self._apply(img, invert_polarity if inverts else lambda pixels: pixels, photometric="MONOCHROME2")


class ApplyVoiWindow(ArrayTransform):
    """Scale a window of grey values to [0, 1] and clip outside (DICOM PS3.3 C.11.2.1.2).

    Args:
        center: Window centre, grey values; None takes ``voi_window`` from the metadata, and passes images without.
        width: Window width, grey values.
    """

    def __init__(self, *, center: float | None = None, width: float | None = None) -> None:
        if (center is None) != (width is None):
            raise ConfigError(f"`center` and `width` must be given together, got {center} and {width}.")
        self.window = None if center is None or width is None else (center, width)

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(1, H, W)``; returns float32 in [0, 1], or unchanged values."""
        window = self.window or self._known(img, "voi_window")
        if window is None:
            return self._apply(img, lambda pixels: pixels)
        center, width = window
        return self._apply(img, lambda pixels: apply_voi_window(pixels, center=center, width=width), voi_window=None)


class CropBorder(ArrayTransform):
    """Crop dark bars, collimator blades and flat frames; the box goes into the metadata as ``crop_box``.

    Args:
        max_share: No more than this share of the image is cut from one side.
    """

    def __init__(self, *, max_share: float = 0.45) -> None:
        self.max_share = max_share

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(1, H, W)``; returns float32 ``(1, H', W')``."""
        box = content_box(np.asarray(img[0]), max_share=self.max_share)
        top, bottom, left, right = box
        shape = tuple(img.shape[1:])
        return self._apply(img, lambda pixels: pixels[top:bottom, left:right], crop_box=box, source_shape=shape)


class ResizeToSquare(ArrayTransform):
    """Resize into the network's square; the way back goes into the metadata.

    After `CropBorder` the way back leads to the uncropped source.

    Args:
        image_size: Side of the square, pixels.
        max_stretch: See `SquareGeometry`.
    """

    def __init__(self, image_size: int, *, max_stretch: float = 1.0) -> None:
        self.image_size, self.max_stretch = image_size, max_stretch

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(1, H, W)``; returns float32 ``(1, S, S)``."""
        height, width = img.shape[1:]
        here = SquareGeometry(
            source_shape=(height, width),
            crop_box=(0, height, 0, width),
            image_size=self.image_size,
            max_stretch=self.max_stretch,
        )
        whole, box = here, self._known(img, "crop_box")
        if box is not None:
            source_shape = tuple(self._known(img, "source_shape"))
            whole = replace(here, source_shape=source_shape, crop_box=tuple(box))
        return self._apply(img, here.image, **{GEOMETRY_KEY: asdict(whole)})


class EqualizeGrey(ArrayTransform):
    """Equalize the histogram to [-1, 1]: see `intensity.equalize`."""

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(1, H, W)``; returns float32 in [-1, 1]."""
        return self._apply(img, equalize)


class AdjustGamma(ArrayTransform):
    """Raise grey values in [-1, 1], seen as [0, 1], to a power.

    Args:
        gamma: Exponent > 0; above 1 darkens.
    """

    def __init__(self, gamma: float) -> None:
        if gamma <= 0:
            raise ConfigError(f"`gamma` must be > 0, got {gamma}.")
        self.gamma = gamma

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(1, H, W)`` in [-1, 1]; returns the same range."""
        return self._apply(img, lambda image: adjust_gamma(image, self.gamma))


InvertPolarityD = InvertPolarityDict = InvertPolarityd = dictionary_version(InvertPolarity)
ApplyVoiWindowD = ApplyVoiWindowDict = ApplyVoiWindowd = dictionary_version(ApplyVoiWindow)
CropBorderD = CropBorderDict = CropBorderd = dictionary_version(CropBorder)
ResizeToSquareD = ResizeToSquareDict = ResizeToSquared = dictionary_version(ResizeToSquare)
EqualizeGreyD = EqualizeGreyDict = EqualizeGreyd = dictionary_version(EqualizeGrey)
AdjustGammaD = AdjustGammaDict = AdjustGammad = dictionary_version(AdjustGamma)
