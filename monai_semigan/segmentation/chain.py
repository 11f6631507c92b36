# SPDX-License-Identifier: Apache-2.0
"""From a source to the network's input, and how the result is refined and judged: a bundle has one per modality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from monai_semigan.domains.base import Preset, StackPreset
from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.settings import Range

__all__ = ["Chain", "ExpectedDiceLimit", "ImageErrorLimit"]

ImageErrorLimit = Annotated[float, Range(0, 1e6, exclusive="low")]
ExpectedDiceLimit = Annotated[float, Range(0, 1, exclusive="low")]


@dataclass(frozen=True, kw_only=True)
class Chain:
    """From a source to the network's input, and how the result is refined.

    Attributes:
        preset: The preparation.
        inversion: Settings of the test-time optimization.
        max_image_error: Error of the encoder's reconstruction above which an image is unlike those that the bundle was
            made for; chosen on validation images. Mean squared, or by local correlation where inversion compares so.
        min_expected_dice: Expected Dice of a class below which its label is uncertain; chosen on validation images.
            None if the bundle does not say.
    """

    preset: Preset
    inversion: InversionSettings
    max_image_error: ImageErrorLimit
    min_expected_dice: ExpectedDiceLimit | None = None

    @property
    def stack_preset(self) -> StackPreset:
        """The preparation of a chain for volumes."""
        return cast("StackPreset", self.preset)
