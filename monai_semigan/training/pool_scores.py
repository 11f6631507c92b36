# SPDX-License-Identifier: Apache-2.0
"""The Dice that trainings choose by: of prepared images, on the network's own grid."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from monai_semigan.training.pool import LabelledPool

__all__ = ["mean_dice", "pool_dice"]

BATCH = 32


def mean_dice(label_logits: Tensor, target: Tensor) -> Tensor:
    """Dice of the arg-max against the arg-max of soft labels, averaged over foreground classes, ``(N,)``.

    Args:
        label_logits: Logits or probabilities, ``(N, K, S, S)``.
        target: ``(N, K, S, S)``; a class absent from both counts as 1.
    """
    num_classes = target.shape[1]
    predicted, wanted = label_logits.argmax(dim=1), target.argmax(dim=1)
    scores = []
    for index in range(1, num_classes):
        a, b = (predicted == index).flatten(1), (wanted == index).flatten(1)
        total = a.sum(dim=1) + b.sum(dim=1)
        overlap = 2.0 * (a & b).sum(dim=1)
        scores.append(torch.where(total > 0, overlap / total.clamp(min=1), 1.0))
    return torch.stack(scores).mean(dim=0)


@torch.no_grad()
def pool_dice(network: Callable[[Tensor], Tensor], pool: LabelledPool, device: torch.device) -> Tensor:
    """Return the `mean_dice` of each image of a pool, ``(M,)`` on the CPU.

    Args:
        network: Images ``(N, C, S, S)`` to label logits or probabilities.
        pool: The images.
        device: Where the network is.
    """
    found = []
    for start in range(0, len(pool), BATCH):
        indices = torch.arange(start, min(start + BATCH, len(pool)))
        found.append(mean_dice(network(pool.take(indices, device)), pool.take_targets(indices, device)).cpu())
    return torch.cat(found)
