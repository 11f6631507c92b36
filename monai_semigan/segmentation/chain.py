# SPDX-License-Identifier: Apache-2.0
"""From a source to the network's input, and how the result is refined and judged: a bundle has one per modality."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, cast

from monai_semigan.domains.base import Preset, StackPreset
from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.segmentation.expected_dice import DiceCalibration
from monai_semigan.segmentation.ood import USUAL_LIMIT, OodReference
from monai_semigan.settings import Range

__all__ = ["Chain", "ExpectedDiceLimit", "ImageErrorLimit", "OodLimit"]

ImageErrorLimit = Annotated[float, Range(0, 1e6, exclusive="low")]
ExpectedDiceLimit = Annotated[float, Range(0, 1, exclusive="low")]
OodLimit = Annotated[float, Range(0, 1)]


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
        calibration: What turns the probabilities' expected Dice into the one to be told; None where that is not known,
            and then none is told.
        max_ood: Score above which an image is out of distribution, see `ood`.
        ood: What the images are like that the bundle was made for; None if the bundle does not say, or its weights
            were not loaded.
    """

    preset: Preset
    inversion: InversionSettings
    max_image_error: ImageErrorLimit
    min_expected_dice: ExpectedDiceLimit | None = None
    calibration: DiceCalibration | None = None
    max_ood: OodLimit = USUAL_LIMIT
    ood: OodReference | None = field(default=None, compare=False, repr=False)

    @property
    def stack_preset(self) -> StackPreset:
        """The preparation of a chain for volumes."""
        return cast("StackPreset", self.preset)
