# SPDX-License-Identifier: Apache-2.0
"""From a source to the network's input, and how the result is refined and judged: a bundle has one per modality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.settings import Range, check_settings

__all__ = ["Chain", "ExpectedDiceLimit", "ImageErrorLimit"]

ImageErrorLimit = Annotated[float, Range(0, 1e6, exclusive="low")]
ExpectedDiceLimit = Annotated[float, Range(0, 1, exclusive="low")]


@dataclass(frozen=True, kw_only=True)
class Chain:
    """From a source to the network's input, and how the result is refined.

    Attributes:
        preset: The preparation, see `domains.base.Preset`; of volumes a `StackPreset`.
        inversion: Settings of the test-time optimization.
        max_image_error: Error of the encoder's reconstruction above which an image is unlike those that the bundle was
            made for; chosen on validation images. Mean squared, or by local correlation where inversion compares so.
        min_expected_dice: Expected Dice of a class below which its label is uncertain; chosen on validation images.
            None if the bundle does not say.
    """

    preset: Any
    inversion: InversionSettings
    max_image_error: ImageErrorLimit
    min_expected_dice: ExpectedDiceLimit | None = None

    def __post_init__(self) -> None:
        check_settings(self)
