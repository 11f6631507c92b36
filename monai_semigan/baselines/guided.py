# SPDX-License-Identifier: Apache-2.0
"""Guided collaborative training (Ke et al. 2020): two networks teach each other where a flaw detector trusts one more.

The flaw detector learns, on labelled images, to draw where a label map is wrong. On all images, where its map is lower
for one network than for the other, the other learns the first one's label (dynamic consistency); where it trusts
neither, both learn to draw labels that it would find no flaw in (flaw correction).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_semigan.baselines.frame import Batch, FrameSettings, Method, Sizes, descend
from monai_semigan.baselines.pixel_discriminator import PixelDiscriminator
from monai_semigan.losses.segmentation import dice_cross_entropy
from monai_semigan.networks.freezing import frozen
from monai_semigan.settings import Range, check_settings

__all__ = ["Guided", "GuidedSettings", "flaw_target"]

Weight = Annotated[float, Range(0, 1e4)]

SPREAD = 3
"""Side of the neighbourhood, pixels, over which a flaw is widened and smoothed."""

FULL_FLAW = 0.5
"""Error of a pixel from which on a flaw is full, whatever the largest of the image is: a correct label has none."""


@dataclass(frozen=True, kw_only=True)
class GuidedSettings:
    """Weights and limits.

    Attributes:
        consistency_weight: Of the mean squared distance to the other network's label.
        correction_weight: Of the mean squared flaw map.
        trusted: Flaw below which a label is trusted, in [0, 1].
        ramp_up: Share of the training over which both weights rise from zero.
        detector_rate: Learning rate of the flaw detector, at its highest.
        base_channels: Width of its first convolution.
    """

    consistency_weight: Weight = 100.0
    correction_weight: Weight = 1.0
    trusted: Annotated[float, Range(0, 1)] = 0.6
    ramp_up: Annotated[float, Range(0, 1)] = 0.3
    detector_rate: Annotated[float, Range(0, 1, exclusive="low")] = 5e-4
    base_channels: Annotated[int, Range(1, 4096)] = 64

    def __post_init__(self) -> None:
        check_settings(self)


class Guided(Method):
    """Two networks that segment, and the flaw detector of both.

    Args:
        settings: Of the frame.
        networks: Two, of different first weights: images ``(N, C, S, S)`` to label logits ``(N, K, S, S)``.
        own: Weights and limits.
        sizes: Of images and labels.
    """

    uses_unlabelled = True

    def __init__(
        self, settings: FrameSettings, networks: Sequence[nn.Module], own: GuidedSettings, sizes: Sizes
    ) -> None:
        super().__init__(settings)
        self.first, self.second = networks
        self.own = own
        self.detector = PixelDiscriminator(
            channels=sizes.image_channels + sizes.num_classes,
            image_size=sizes.image_size,
            base_channels=own.base_channels,
        )
        self._optimizer = self.adam(self.first, self.second)
        self._detector_optimizer = self.adam(self.detector, learning_rate=own.detector_rate)

    @property
    def candidates(self) -> list[nn.Module]:
        return [self.first, self.second]

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        return [self._optimizer, self._detector_optimizer]

    def step(self, batch: Batch) -> Tensor:
        own, n = self.own, len(batch.image)
        seen = self.disturb(torch.cat([batch.image, batch.unlabelled]))
        logits = [network(seen) for network in self.candidates]
        labels = [part.softmax(dim=1) for part in logits]
        with frozen(self.detector):
            flaws = [self.flaws(seen, label) for label in labels]
        rise = min(1.0, batch.done / own.ramp_up) if own.ramp_up else 1.0
        loss = seen.new_zeros(())
        for part, label, flaw, other, other_flaw in zip(
            logits, labels, flaws, reversed(labels), reversed(flaws), strict=True
        ):
            learns, corrects = trust(flaw.detach(), other_flaw.detach(), own.trusted)
            apart = (learns * (label - other.detach()).square()).mean()
            corrected = (corrects * flaw.square()).mean()
            loss = loss + dice_cross_entropy(part[:n], batch.target).mean()
            loss = loss + rise * (own.consistency_weight * apart + own.correction_weight * corrected)
        done = descend(self._optimizer, loss) / 2
        descend(self._detector_optimizer, self._detector_loss(seen[:n], batch.target, [part[:n] for part in labels]))
        return done

    def flaws(self, image: Tensor, label: Tensor) -> Tensor:
        """Draw where a soft label ``(N, K, S, S)`` of an image is thought to be wrong, ``(N, 1, S, S)`` in (0, 1)."""
        drawn: Tensor = self.detector(torch.cat([image, label], dim=1)).sigmoid()
        return drawn

    def _detector_loss(self, image: Tensor, target: Tensor, labels: Sequence[Tensor]) -> Tensor:
        parts = [F.mse_loss(self.flaws(image, part.detach()), flaw_target(part.detach(), target)) for part in labels]
        return torch.stack(parts).mean()


def flaw_target(label: Tensor, target: Tensor) -> Tensor:
    """Draw where a soft label is wrong: the error, widened, smoothed and scaled, ``(N, 1, S, S)`` in [0, 1].

    Args:
        label: ``(N, K, S, S)``, probabilities.
        target: Soft one-hot, the same shape.
    """
    error = (label - target).abs().sum(dim=1, keepdim=True) / 2
    wide = F.max_pool2d(error, SPREAD, stride=1, padding=SPREAD // 2)
    smooth = F.avg_pool2d(wide, SPREAD, stride=1, padding=SPREAD // 2, count_include_pad=False)
    return smooth / smooth.amax(dim=(1, 2, 3), keepdim=True).clamp(min=FULL_FLAW)


def trust(flaw: Tensor, other_flaw: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """Return where a network learns from the other, and where it corrects itself: masks of the shape of the flaws.

    A flaw above ``limit`` is full: of two full ones none is the lower, and both correct themselves.
    """
    own, others = (torch.where(part > limit, 1.0, part) for part in (flaw, other_flaw))
    return (own > others).to(flaw.dtype), ((own == 1) & (others == 1)).to(flaw.dtype)
