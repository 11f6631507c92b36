# SPDX-License-Identifier: Apache-2.0
"""Learning from labelled images alone, with any network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_semigan.baselines.frame import Batch, FrameSettings, Method, descend
from monai_semigan.losses.segmentation import dice_cross_entropy

__all__ = ["Supervised"]


class Supervised(Method):
    """Dice and cross-entropy on labelled images.

    Args:
        settings: Of the frame.
        network: Images ``(N, C, S, S)`` to label logits ``(N, K, S, S)``.
    """

    def __init__(self, settings: FrameSettings, network: nn.Module) -> None:
        super().__init__(settings)
        self.network = network
        self._optimizer = self.adam(network)

    @property
    def candidates(self) -> list[nn.Module]:
        return [self.network]

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        return [self._optimizer]

    def step(self, batch: Batch) -> Tensor:
        logits = self.network(self.disturb(batch.image))
        return descend(self._optimizer, dice_cross_entropy(logits, batch.target).mean())
