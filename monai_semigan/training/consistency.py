# SPDX-License-Identifier: Apache-2.0
"""How unlabelled images teach a network by consistency with its own running average.

The average labels them as they are, and the network must say the same of them when they are disturbed (Tarvainen and
Valpola 2017, Mean Teacher; Sohn et al. 2020, FixMatch, for weak against strong disturbance).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

import torch
from torch import Tensor, nn

from monai_semigan.losses.segmentation import dice_cross_entropy
from monai_semigan.settings import Range, check_settings
from monai_semigan.training.ema import update_ema
from monai_semigan.training.style_mixing import StyleMixingSettings, mix_styles

__all__ = ["Consistency", "ConsistencySettings"]


@dataclass(frozen=True, kw_only=True)
class ConsistencySettings:
    """How a network learns from unlabelled images.

    Attributes:
        weight: Of Dice and cross-entropy to the average's labels, at its highest.
        ramp_up: Share of the steps over which the weight rises from zero: an average of nothing teaches nothing.
        half_life_kimg: Half-life of the average, thousands of images.
        style_mixing: Looks that all disturbed images take from each other; None for their own.
    """

    weight: Annotated[float, Range(0, 1e3)] = 1.0
    ramp_up: Annotated[float, Range(0, 1)] = 0.3
    half_life_kimg: Annotated[float, Range(0, 1e6)] = 1.0
    style_mixing: StyleMixingSettings | None = field(default_factory=StyleMixingSettings)

    def __post_init__(self) -> None:
        check_settings(self)


class Consistency:
    """The loss with unlabelled images, and the average that labels them.

    Args:
        network: Learns: images ``(N, C, S, S)`` in [-1, 1] to label logits ``(N, K, S, S)``.
        settings: How.
        disturb: Changes the looks of what the network sees.
    """

    def __init__(self, network: nn.Module, settings: ConsistencySettings, disturb: Callable[[Tensor], Tensor]) -> None:
        self.network, self.settings, self.disturb = network, settings, disturb
        self.average: nn.Module = copy.deepcopy(network).requires_grad_(False).eval()

    def loss(self, image: Tensor, target: Tensor, other: Tensor, *, done: float) -> Tensor:
        """Return the loss, a scalar.

        Args:
            image: Labelled images, not disturbed, ``(N, C, S, S)`` in [-1, 1].
            target: Their soft one-hot labels, ``(N, K, S, S)``.
            other: As many unlabelled images, not disturbed.
            done: Share of the training that is done with this step, in [0, 1].
        """
        n, settings = len(image), self.settings
        both = torch.cat([image, other])
        if settings.style_mixing is not None:
            mates = both[torch.randperm(2 * n, device=both.device)]
            strong = self.disturb(mix_styles(both, mates, settings.style_mixing))
        else:
            strong = self.disturb(both)
        logits = self.network(strong)
        with torch.no_grad():
            wanted = self.average(other).softmax(dim=1)
        rise = min(1.0, done / settings.ramp_up) if settings.ramp_up else 1.0
        apart = dice_cross_entropy(logits[n:], wanted).mean()
        return dice_cross_entropy(logits[:n], target).mean() + settings.weight * rise * apart

    def follow(self, *, batch_size: int, images_seen: int) -> None:
        """Move the average towards the network after a step; ``images_seen`` counts its images too."""
        half_life = self.settings.half_life_kimg * 1000
        update_ema(self.average, self.network, batch_size=batch_size, half_life=half_life, images_seen=images_seen)
