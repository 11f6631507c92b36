# SPDX-License-Identifier: Apache-2.0
"""From a source to the network's input and back: what differs between the modalities of one bundle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from monai_semigan.latent.inversion import InversionSettings

__all__ = ["IMAGE_CHAIN", "Chain"]

IMAGE_CHAIN = "image"
"""Key of the only chain of a bundle for single images."""


@dataclass(frozen=True, kw_only=True)
class Chain:
    """From a source to the network's input, and how the result is refined.

    Attributes:
        preset: The preparation.
        inversion: Settings of the test-time optimization.
        max_image_error: Error of the encoder's reconstruction above which an image is unlike those that the bundle was
            made for; chosen on validation images. Mean squared, or by local correlation where inversion compares so.
        min_expected_dice: Expected Dice of a class below which its label is uncertain, in (0, 1]; chosen on validation
            images. None if the bundle does not say.
    """

    preset: Any
    inversion: InversionSettings
    max_image_error: float
    min_expected_dice: float | None = None
