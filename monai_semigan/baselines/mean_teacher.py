# SPDX-License-Identifier: Apache-2.0
"""Mean teacher (Tarvainen and Valpola 2017): the average of a network labels what the network learns, disturbed.

The loss is the one that our own teacher learns by when it is asked for consistency, `training.consistency`, without its
mixing of looks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_semigan.baselines.frame import Batch, FrameSettings, Method, descend
from monai_semigan.training.consistency import Consistency, ConsistencySettings

__all__ = ["MeanTeacher"]


class MeanTeacher(Method):
    """A network and its average.

    Args:
        settings: Of the frame.
        network: Images ``(N, C, S, S)`` to label logits ``(N, K, S, S)``.
        own: Weight and half-life.
    """

    uses_unlabelled = True

    def __init__(self, settings: FrameSettings, network: nn.Module, own: ConsistencySettings) -> None:
        super().__init__(settings)
        self.network = network
        self._consistency = Consistency(network, own, self.disturb)
        self._optimizer = self.adam(network)

    @property
    def candidates(self) -> list[nn.Module]:
        return [self._consistency.average]

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        return [self._optimizer]

    def step(self, batch: Batch) -> Tensor:
        loss = self._consistency.loss(batch.image, batch.target, batch.unlabelled, done=batch.done)
        done = descend(self._optimizer, loss)
        self._consistency.follow(batch_size=len(batch.image), images_seen=batch.images_seen)
        return done
