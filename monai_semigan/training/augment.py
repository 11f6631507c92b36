# SPDX-License-Identifier: Apache-2.0
"""Augmentation of what the discriminators see, with adaptive strength (ADA, Karras et al. 2020, limited data).

The same geometry goes to an image and its label map. There are no mirror images: a chest X-ray has its heart on one
side. Everything is twice differentiable with respect to the image, so that R1 can be taken before the augmentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from monai_semigan.errors import ConfigError
from monai_semigan.ops.affine_warp import affine_warp
from monai_semigan.settings import Range, check_settings

__all__ = ["AdaptiveProbability", "AugmentSettings", "Augmentation", "draw_augmentation"]

Share = Annotated[float, Range(0, 1)]
Strength = Annotated[float, Range(0, 10)]


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """How strongly the discriminators' inputs are changed; each part comes to a sample with the current probability.

    Attributes:
        rotation: Standard deviation, radians.
        scale: Standard deviation of log2 of the isotropic scale.
        stretch: Standard deviation of log2 of the ratio of the axes' scales.
        translation: Standard deviation, as a share of the image's side.
        brightness: Standard deviation of the added grey value (image range is [-1, 1]).
        contrast: Standard deviation of log2 of the contrast.
        probability: Probability at the start, in [0, 1].
        max_probability: Upper limit of the adaptation; below 0.8 the generator cannot learn the augmentation itself.
        target_sign: Mean sign of the discriminator on real images that the adaptation aims at; None keeps it.
        ramp_kimg: Thousands of images for the probability to move by 1.
    """

    rotation: Strength = 0.1
    scale: Strength = 0.2
    stretch: Strength = 0.1
    translation: Strength = 0.06
    brightness: Strength = 0.2
    contrast: Strength = 0.4
    probability: Share = 0.2
    max_probability: Share = 0.8
    target_sign: Annotated[float, Range(-1, 1)] | None = 0.6
    ramp_kimg: Annotated[float, Range(0, 1e6, exclusive="low")] = 100.0

    def __post_init__(self) -> None:
        check_settings(self)
        if self.probability > self.max_probability:
            raise ConfigError(
                f"`probability` must lie in [0, max_probability], got {self.probability} and {self.max_probability}."
            )


@dataclass(frozen=True)
class Augmentation:
    """One draw for a batch: what is done to each sample.

    Attributes:
        matrix: ``(N, 2, 3)`` from output to input coordinates.
        gain: ``(N, 1, 1, 1)`` contrast factor of images.
        offset: ``(N, 1, 1, 1)`` brightness offset of images.
    """

    matrix: Tensor
    gain: Tensor
    offset: Tensor

    def image(self, image: Tensor) -> Tensor:
        """Apply geometry and intensity to images ``(N, C, H, W)``."""
        return affine_warp(image, self.matrix) * self.gain + self.offset

    def label(self, label: Tensor) -> Tensor:
        """Apply the geometry alone to label maps ``(N, K, H, W)``."""
        return affine_warp(label, self.matrix)


def draw_augmentation(
    settings: AugmentSettings, num_samples: int, probability: float | Tensor, *, device: torch.device | None = None
) -> Augmentation:
    """Draw what happens to each of ``num_samples`` samples, from the global random state of ``device``."""

    def maybe(std: float) -> Tensor:
        is_applied = torch.rand(num_samples, device=device) < probability
        return torch.randn(num_samples, device=device) * std * is_applied

    angle = maybe(settings.rotation)
    scale, stretch = torch.exp2(maybe(settings.scale)), torch.exp2(maybe(settings.stretch) / 2)
    shift = torch.stack([maybe(2 * settings.translation), maybe(2 * settings.translation)], dim=1)
    gain, offset = torch.exp2(maybe(settings.contrast)), maybe(settings.brightness)
    cos, sin = angle.cos(), angle.sin()
    along_x, along_y = scale * stretch, scale / stretch
    matrix = torch.stack([cos * along_x, -sin * along_y, shift[:, 0], sin * along_x, cos * along_y, shift[:, 1]], dim=1)
    return Augmentation(matrix.reshape(-1, 2, 3), gain.reshape(-1, 1, 1, 1), offset.reshape(-1, 1, 1, 1))


class AdaptiveProbability:
    """Raise the probability while the discriminator is too sure about real images, lower it while it is not.

    The measure is ADA's ``r_t``: the mean sign of the discriminator's logits on real images (section 3.1). It lies on
    the training's device, as does the probability: a step then waits for neither.

    Args:
        settings: Start, limits, target and speed.
        device: Where the discriminator's signs lie.
    """

    def __init__(self, settings: AugmentSettings, *, device: torch.device | None = None) -> None:
        self.settings = settings
        self.probability = torch.tensor(settings.probability, dtype=torch.float64, device=device)

    @property
    def value(self) -> float:
        """The probability as a number; waits for the device."""
        return float(self.probability)

    @value.setter
    def value(self, value: float) -> None:
        self.probability.fill_(value)

    def update(self, mean_sign: Tensor | float, num_images: int) -> None:
        """Move by ``num_images`` towards the target.

        Args:
            mean_sign: Mean sign of the latest real logits, in [-1, 1].
            num_images: Images since the last update.
        """
        if self.settings.target_sign is None:
            return
        step = num_images / (self.settings.ramp_kimg * 1000)
        is_too_sure = torch.as_tensor(mean_sign, device=self.probability.device) >= self.settings.target_sign
        self.probability += (2.0 * is_too_sure.to(self.probability.dtype) - 1) * step
        self.probability.clamp_(0.0, self.settings.max_probability)
