# SPDX-License-Identifier: Apache-2.0
"""Adversarial semi-supervised segmentation (Hung et al. 2018).

A fully convolutional discriminator tells, pixel by pixel, label maps of humans from those of the network. The network
learns to pass for a human on labelled and on unlabelled images; and where the discriminator takes its label of an
unlabelled image for a human's, it learns that label as if it were true (self-taught, their section 3.3).
"""

from __future__ import annotations

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

__all__ = ["Adversarial", "AdversarialSettings"]

Weight = Annotated[float, Range(0, 1e3)]


@dataclass(frozen=True, kw_only=True)
class AdversarialSettings:
    """Weights and limits; the paper's, but for the rate, as our trainings are shorter.

    Attributes:
        labelled_weight: Of the adversarial loss on labelled images.
        unlabelled_weight: Of the adversarial loss on unlabelled ones.
        taught_weight: Of the self-taught loss.
        confidence: From which on a pixel's label is learned as if it were true, in [0, 1].
        starts: Share of the training after which unlabelled images are used: the discriminator knows nothing before.
        discriminator_rate: Its learning rate, at its highest.
        base_channels: Width of its first convolution.
    """

    labelled_weight: Weight = 0.01
    unlabelled_weight: Weight = 0.001
    taught_weight: Weight = 0.1
    confidence: Annotated[float, Range(0, 1)] = 0.2
    starts: Annotated[float, Range(0, 1)] = 0.25
    discriminator_rate: Annotated[float, Range(0, 1, exclusive="low")] = 5e-4
    base_channels: Annotated[int, Range(1, 4096)] = 64

    def __post_init__(self) -> None:
        check_settings(self)


class Adversarial(Method):
    """A network that segments, and a discriminator of label maps.

    Args:
        settings: Of the frame.
        network: Images ``(N, C, S, S)`` to label logits ``(N, K, S, S)``.
        own: Weights and limits.
        sizes: Of images and labels.
    """

    uses_unlabelled = True

    def __init__(self, settings: FrameSettings, network: nn.Module, own: AdversarialSettings, sizes: Sizes) -> None:
        super().__init__(settings)
        self.network, self.own = network, own
        self.discriminator = PixelDiscriminator(
            channels=sizes.num_classes, image_size=sizes.image_size, base_channels=own.base_channels
        )
        self._optimizer = self.adam(network)
        self._discriminator_optimizer = self.adam(self.discriminator, learning_rate=own.discriminator_rate)

    @property
    def candidates(self) -> list[nn.Module]:
        return [self.network]

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        return [self._optimizer, self._discriminator_optimizer]

    def step(self, batch: Batch) -> Tensor:
        own, n = self.own, len(batch.image)
        uses_other = batch.done >= own.starts
        seen = torch.cat([batch.image, batch.unlabelled]) if uses_other else batch.image
        logits = self.network(self.disturb(seen))
        probability = logits.softmax(dim=1)
        with frozen(self.discriminator):
            verdict = self.discriminator(probability)
        loss = dice_cross_entropy(logits[:n], batch.target).mean() + own.labelled_weight * _passes(verdict[:n])
        if uses_other:
            loss = loss + own.unlabelled_weight * _passes(verdict[n:])
            loss = loss + own.taught_weight * _taught(logits[n:], verdict[n:].detach().sigmoid(), own.confidence)
        done = descend(self._optimizer, loss)
        descend(self._discriminator_optimizer, self._verdict_loss(batch.target, probability[:n].detach()))
        return done

    def _verdict_loss(self, human: Tensor, drawn: Tensor) -> Tensor:
        """Return the discriminator's loss of label maps of humans and of the network, ``(N, K, S, S)`` each."""
        verdict = self.discriminator(torch.cat([human, drawn]))
        wanted = torch.cat([torch.ones_like(verdict[: len(human)]), torch.zeros_like(verdict[len(human) :])])
        return F.binary_cross_entropy_with_logits(verdict, wanted)


def _passes(verdict: Tensor) -> Tensor:
    """Adversarial loss of the network, eq. 4: its labels are taken for a human's."""
    return F.binary_cross_entropy_with_logits(verdict, torch.ones_like(verdict))


def _taught(logits: Tensor, confidence: Tensor, limit: float) -> Tensor:
    """Cross-entropy to the network's own labels where ``confidence`` ``(N, 1, S, S)`` is above ``limit``, eq. 5."""
    loss = F.cross_entropy(logits, logits.detach().argmax(dim=1), reduction="none")
    return (loss * (confidence[:, 0] > limit)).mean()
