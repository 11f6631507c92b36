# SPDX-License-Identifier: Apache-2.0
"""Soft Dice and cross-entropy against soft one-hot targets, per sample."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_semigan.errors import check_shape

__all__ = ["dice_cross_entropy", "soft_cross_entropy", "soft_dice_loss"]


def soft_dice_loss(label_logits: Tensor, target: Tensor, *, epsilon: float = 1.0) -> Tensor:
    """One minus the soft Dice of the foreground classes, ``(N,)`` (Milletari et al. 2016, with plain denominators).

    Args:
        label_logits: ``(N, K, H, W)``, class 0 is background and left out.
        target: Soft one-hot, ``(N, K, H, W)`` in [0, 1].
        epsilon: Added to numerator and denominator, in pixels: a class that is absent from both costs nothing.
    """
    check_shape("target", target.shape, " ".join(str(size) for size in label_logits.shape))
    probability = label_logits.softmax(dim=1)[:, 1:].flatten(2)  # (N, K - 1, H W)
    wanted = target[:, 1:].flatten(2)
    overlap = 2 * (probability * wanted).sum(dim=2) + epsilon
    total = probability.sum(dim=2) + wanted.sum(dim=2) + epsilon
    return 1 - (overlap / total).mean(dim=1)


def soft_cross_entropy(label_logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy averaged over pixels, ``(N,)``; shapes as in `soft_dice_loss`."""
    return -(target * label_logits.log_softmax(dim=1)).sum(dim=1).flatten(1).mean(dim=1)


def dice_cross_entropy(label_logits: Tensor, target: Tensor) -> Tensor:
    """Sum of `soft_dice_loss` and `soft_cross_entropy`, ``(N,)``: both read the same softmax."""
    return torch.add(soft_dice_loss(label_logits, target), soft_cross_entropy(label_logits, target))
