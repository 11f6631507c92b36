# SPDX-License-Identifier: Apache-2.0
"""The chain for frontal chest X-rays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from monai_semigan.domains.base import IMAGE, Border, Domain, ImageSize, Stretch, Window
from monai_semigan.errors import check_shape
from monai_semigan.settings import Range, check_settings
from monai_semigan.transforms.border import content_box
from monai_semigan.transforms.intensity import (
    adjust_gamma,
    apply_voi_window,
    check_grey_values,
    equalize,
    invert_polarity,
)
from monai_semigan.transforms.square import SquareGeometry

__all__ = ["CHEST_XRAY", "ChestXrayPreset"]


@dataclass(frozen=True, kw_only=True)
class ChestXrayPreset:
    """Chest X-rays: window, polarity, border, square, histogram equalization, gamma.

    Equalization comes last and on the small image: the result hardly depends on the scanner's grey curve, and its cost
    not on the source's size.

    Attributes:
        image_size: Side S of the network's square, pixels.
        max_stretch: See `SquareGeometry`.
        max_border: Largest share of the image that is cut from one side as border; 0 keeps all.
        gamma: Exponent after equalization.
    """

    channels: ClassVar[int] = 1
    has_upright: ClassVar[bool] = True

    image_size: ImageSize = 64
    max_stretch: Stretch = 3.0
    max_border: Border = 0.45
    gamma: Annotated[float, Range(0, 10, exclusive="low")] = 1.0

    def __post_init__(self) -> None:
        check_settings(self)

    def prepare(
        self,
        pixels: np.ndarray,
        *,
        photometric: str = "MONOCHROME2",
        voi_window: Window | None = None,
    ) -> tuple[np.ndarray, SquareGeometry]:
        """Prepare one image.

        Args:
            pixels: ``(H, W)`` grey values of any number type.
            photometric: ``MONOCHROME1`` images are inverted.
            voi_window: ``(center, width)`` in grey values, or None.

        Returns:
            ``(1, S, S)`` float32 in [-1, 1], and the way back.

        Raises:
            InputError: The image is constant or holds NaN.
        """
        check_shape("pixels", pixels.shape, "H W")
        check_grey_values(pixels)
        if voi_window is not None:
            pixels = apply_voi_window(pixels, center=voi_window[0], width=voi_window[1])
            check_grey_values(pixels)
        if photometric == "MONOCHROME1":
            pixels = invert_polarity(pixels)
        height, width = pixels.shape
        geometry = SquareGeometry(
            source_shape=(height, width),
            crop_box=content_box(pixels, max_share=self.max_border),
            image_size=self.image_size,
            max_stretch=self.max_stretch,
        )
        square = geometry.image(pixels)
        check_grey_values(square)
        image = adjust_gamma(equalize(square), self.gamma) if self.gamma != 1 else equalize(square)
        return image[None], geometry

    def prepare_label(self, label: np.ndarray, geometry: SquareGeometry, num_classes: int) -> np.ndarray:
        """Bring class ids ``(H, W)`` into the same square: soft one-hot, ``(K, S, S)`` float32 in [0, 1]."""
        return geometry.label(label, num_classes)


CHEST_XRAY = Domain(name="chest_xray", presets={IMAGE: ChestXrayPreset}, modalities=("CR", "DX"))
