# SPDX-License-Identifier: Apache-2.0
"""Dermoscopy and portrait transforms for MONAI pipelines: array classes, and dictionary classes with the suffix ``d``.

They wrap the functions of `dermoscopy` and `face`. Images are RGB, ``(3, H, W)``, rows before columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from torch import Tensor

from monai_semigan.errors import ConfigError
from monai_semigan.transforms.dermoscopy import fill_in, remove_hair, shades_of_grey, sticker_mask, vignette_mask
from monai_semigan.transforms.face import merge_parts
from monai_semigan.transforms.intensity import unit_rgb
from monai_semigan.transforms.mapped import ArrayTransform, Image, dictionary_version

__all__ = [
    "BalanceColor",
    "BalanceColorD",
    "BalanceColorDict",
    "BalanceColord",
    "FillStickers",
    "FillStickersD",
    "FillStickersDict",
    "FillStickersd",
    "FillVignette",
    "FillVignetteD",
    "FillVignetteDict",
    "FillVignetted",
    "MergeFaceParts",
    "MergeFacePartsD",
    "MergeFacePartsDict",
    "MergeFacePartsd",
    "RemoveHair",
    "RemoveHairD",
    "RemoveHairDict",
    "RemoveHaird",
]


class _ColorTransform(ArrayTransform):
    """Apply a function of ``(H, W, 3)`` in [0, 1] to ``(3, H, W)``."""

    axes: ClassVar[str] = "3 H W"

    def _edited(self, img: Image, function: Callable[[np.ndarray], np.ndarray]) -> MetaTensor:
        rgb = unit_rgb(np.moveaxis(self._plain(img), 0, -1))
        return self._result(img, np.moveaxis(function(rgb), -1, 0))


class BalanceColor(_ColorTransform):
    """Divide the color of the light out: shades of grey, see `dermoscopy.shades_of_grey`.

    Args:
        power: Exponent of the Minkowski mean, > 0.
    """

    def __init__(self, *, power: float = 6.0) -> None:
        if not power > 0:
            raise ConfigError(f"`power` must be > 0, got {power}.")
        self.power = power

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(3, H, W)`` in 0..255 or 0..1; returns float32 in [0, 1]."""
        return self._edited(img, lambda rgb: shades_of_grey(rgb, power=self.power))


class RemoveHair(_ColorTransform):
    """Replace hair by its surroundings: see `dermoscopy.hair_mask`."""

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(3, H, W)`` in 0..255 or 0..1; returns float32 in [0, 1]."""
        return self._edited(img, remove_hair)


class FillVignette(_ColorTransform):
    """Replace the dark surround of a round field of view: see `dermoscopy.vignette_mask`."""

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(3, H, W)`` in 0..255 or 0..1; returns float32 in [0, 1]."""
        return self._edited(img, lambda rgb: fill_in(rgb, vignette_mask(rgb)))


class FillStickers(_ColorTransform):
    """Replace colored patches at the border: see `dermoscopy.sticker_mask`."""

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(3, H, W)`` in 0..255 or 0..1; returns float32 in [0, 1]."""
        return self._edited(img, lambda rgb: fill_in(rgb, sticker_mask(shades_of_grey(rgb))))


class MergeFaceParts(ArrayTransform):
    """Merge CelebAMask-HQ's 19 class ids into eight: see `face.merge_parts`."""

    def __call__(self, img: Image) -> Tensor:
        """Apply to class ids ``(1, H, W)``; returns uint8 of the same shape.

        Raises:
            InputError: An id is none of 0..18.
        """
        return torch.from_numpy(merge_parts(self._plain(img).astype(np.int64)))


BalanceColorD = BalanceColorDict = BalanceColord = dictionary_version(BalanceColor)
RemoveHairD = RemoveHairDict = RemoveHaird = dictionary_version(RemoveHair)
FillVignetteD = FillVignetteDict = FillVignetted = dictionary_version(FillVignette)
FillStickersD = FillStickersDict = FillStickersd = dictionary_version(FillStickers)
MergeFacePartsD = MergeFacePartsDict = MergeFacePartsd = dictionary_version(MergeFaceParts)
