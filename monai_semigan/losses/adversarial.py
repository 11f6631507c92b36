# SPDX-License-Identifier: Apache-2.0
"""Adversarial losses, unweighted and per sample.

Discriminators may return one logit per sample, ``(N,)``, or a list of patch logit maps, ``(N, 1, H, W)`` each: then the
loss is averaged over the patches of a map and over the maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "Logits",
    "hinge_discriminator_loss",
    "hinge_generator_loss",
    "logistic_discriminator_loss",
    "logistic_generator_loss",
    "mean_logit",
]

Logits = Tensor | Sequence[Tensor]
"""``(N,)``, or patch logits ``(N, 1, H, W)`` at several scales."""


def logistic_discriminator_loss(real_logits: Logits, fake_logits: Logits) -> Tensor:
    """``softplus(-real) + softplus(fake)``, ``(N,)`` (Goodfellow et al. 2014, equation 1)."""
    return _per_sample(real_logits, lambda x: F.softplus(-x)) + _per_sample(fake_logits, F.softplus)


def logistic_generator_loss(fake_logits: Logits) -> Tensor:
    """``softplus(-fake)``, ``(N,)``, non-saturating (Goodfellow et al. 2014, section 3)."""
    return _per_sample(fake_logits, lambda x: F.softplus(-x))


def hinge_discriminator_loss(real_logits: Logits, fake_logits: Logits) -> Tensor:
    """``(relu(1 - real) + relu(1 + fake)) / 2``, ``(N,)`` (Lim and Ye 2017, Geometric GAN)."""
    return 0.5 * (_per_sample(real_logits, lambda x: F.relu(1 - x)) + _per_sample(fake_logits, lambda x: F.relu(1 + x)))


def hinge_generator_loss(fake_logits: Logits) -> Tensor:
    """``-fake``, ``(N,)``."""
    return -mean_logit(fake_logits)


def mean_logit(logits: Logits) -> Tensor:
    """Average the logits of each sample over patches and scales, ``(N,)``."""
    return _per_sample(logits, lambda x: x)


def _per_sample(logits: Logits, function: Callable[[Tensor], Tensor]) -> Tensor:
    if isinstance(logits, Tensor):
        return function(logits.float()).flatten(1).mean(dim=1) if logits.ndim > 1 else function(logits.float())
    return torch.stack([function(scale.float()).flatten(1).mean(dim=1) for scale in logits]).mean(dim=0)
