# SPDX-License-Identifier: Apache-2.0
"""Chains for color photographs: dermoscopy and portraits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import numpy as np

from monai_semigan.domains.base import IMAGE, Border, Domain, ImageSize, Stretch, Window
from monai_semigan.settings import Range, check_settings
from monai_semigan.transforms.border import content_box
from monai_semigan.transforms.dermoscopy import clean_skin
from monai_semigan.transforms.face import centered_square
from monai_semigan.transforms.intensity import unit_rgb
from monai_semigan.transforms.square import SquareGeometry

__all__ = ["DERMOSCOPY", "FACE", "DermoscopyPreset", "FacePreset"]

CLEANING_SIZE = 256
"""Hair, vignette and stickers are looked for at about this many pixels per side."""


@dataclass(frozen=True, kw_only=True)
class DermoscopyPreset:
    """Dermoscopy: black bars off, then vignette, hair and stickers filled in and the light's color balanced.

    Attributes:
        image_size: Side S of the network's square, pixels.
        max_stretch: See `SquareGeometry`.
        max_border: Largest share of the image that is cut from one side as black bar; 0 keeps all.
        vignette: Whether the dark surround of a round field of view is filled in.
        hair: Whether hair is filled in.
        stickers: Whether colored patches at the border are filled in.
        balance: Whether the light's color is balanced (shades of grey).
    """

    channels: ClassVar[int] = 3
    has_upright: ClassVar[bool] = False

    image_size: ImageSize = 64
    max_stretch: Stretch = 1.5
    max_border: Border = 0.3
    vignette: bool = True
    hair: bool = True
    stickers: bool = True
    balance: bool = True

    def __post_init__(self) -> None:
        check_settings(self)

    def prepare(
        self, pixels: np.ndarray, *, photometric: str = "RGB", voi_window: Window | None = None
    ) -> tuple[np.ndarray, SquareGeometry]:
        """Prepare one image.

        Args:
            pixels: ``(H, W, 3)`` RGB; integers of any type, or floats in 0..1 or 0..255.
            photometric: Ignored: the channels are RGB.
            voi_window: Ignored.

        Returns:
            ``(3, S, S)`` float32 in [-1, 1], and the way back.

        Raises:
            ShapeError: The image has not three channels.
            InputError: The image is constant or holds NaN.
        """
        rgb = unit_rgb(pixels)
        height, width = rgb.shape[:2]
        geometry = SquareGeometry(
            source_shape=(height, width),
            crop_box=content_box(rgb.mean(axis=-1), max_share=self.max_border),
            image_size=self.image_size,
            max_stretch=self.max_stretch,
        )
        clean = partial(
            clean_skin, vignette=self.vignette, hair=self.hair, stickers=self.stickers, balance=self.balance
        )
        square = geometry.image(rgb, edit=clean, oversampling=max(1, round(CLEANING_SIZE / self.image_size)))
        return _network_input(square), geometry

    def prepare_label(self, label: np.ndarray, geometry: SquareGeometry, num_classes: int) -> np.ndarray:
        """Bring class ids ``(H, W)`` into the same square: soft one-hot, ``(K, S, S)`` float32 in [0, 1]."""
        return geometry.label(label, num_classes)


@dataclass(frozen=True, kw_only=True)
class FacePreset:
    """Portraits: the square in the middle, no alignment by landmarks.

    Attributes:
        image_size: Side S of the network's square, pixels.
        crop_share: Side of the crop as a share of the shorter side, in (0, 1].
    """

    channels: ClassVar[int] = 3
    has_upright: ClassVar[bool] = True

    image_size: ImageSize = 256
    crop_share: Annotated[float, Range(0, 1, exclusive="low")] = 1.0

    def __post_init__(self) -> None:
        check_settings(self)

    def prepare(
        self, pixels: np.ndarray, *, photometric: str = "RGB", voi_window: Window | None = None
    ) -> tuple[np.ndarray, SquareGeometry]:
        """Prepare one image: as `DermoscopyPreset.prepare`, with nothing filled in."""
        rgb = unit_rgb(pixels)
        height, width = rgb.shape[:2]
        geometry = SquareGeometry(
            source_shape=(height, width),
            crop_box=centered_square((height, width), share=self.crop_share),
            image_size=self.image_size,
        )
        return _network_input(geometry.image(rgb)), geometry

    def prepare_label(self, label: np.ndarray, geometry: SquareGeometry, num_classes: int) -> np.ndarray:
        """Bring class ids ``(H, W)`` into the same square: soft one-hot, ``(K, S, S)`` float32 in [0, 1]."""
        return geometry.label(label, num_classes)


DERMOSCOPY = Domain(name="dermoscopy", presets={IMAGE: DermoscopyPreset}, modalities=("XC", "DMS"))
FACE = Domain(name="face", presets={IMAGE: FacePreset}, modalities=("XC",))


def _network_input(square: np.ndarray) -> np.ndarray:
    """``(S, S, 3)`` in [0, 1] to ``(3, S, S)`` in [-1, 1]."""
    scaled: np.ndarray = np.moveaxis(square * 2 - 1, -1, 0).clip(-1, 1)
    return np.ascontiguousarray(scaled, dtype=np.float32)
