# SPDX-License-Identifier: Apache-2.0
"""R1: the squared gradient of a discriminator on real samples."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_semigan.errors import check_shape

__all__ = ["r1_penalty"]


def r1_penalty(real_logits: Tensor, *real: Tensor) -> Tensor:
    """Squared gradient norm on real samples, ``(N,)`` float32 (R1, Mescheder et al. 2018, equation 9, unweighted).

    The logits are summed over the batch, never averaged: each sample's gradient, and so the strength of the penalty,
    is the same whatever the batch size.

    Args:
        real_logits: One number per sample, ``(N,)``; average patch discriminators with `mean_logit` first.
        real: The inputs that the gradient is taken of, each ``(N, ...)`` with ``requires_grad``.
    """
    check_shape("real_logits", real_logits.shape, "N")
    grads = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
    return torch.stack([grad.float().square().flatten(1).sum(dim=1) for grad in grads]).sum(dim=0)
