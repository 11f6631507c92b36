# SPDX-License-Identifier: Apache-2.0
"""Path length regularization: equal steps in w change the image by equal amounts."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["path_lengths"]


def path_lengths(image: Tensor, w_plus: Tensor) -> Tensor:
    """Length of the Jacobian's product with a random image, ``(N,)`` float32 (Karras et al. 2020, equation 4).

    The penalty is ``(path_lengths - path_length_mean) ** 2``; the mean is tracked by the caller.

    Args:
        image: ``(N, C, H, W)``, rendered from ``w_plus`` with its graph.
        w_plus: ``(N, L, w_dim)``, with ``requires_grad``.
    """
    noise = torch.randn_like(image) / math.sqrt(image.shape[2] * image.shape[3])
    (grad,) = torch.autograd.grad((image * noise).sum(), w_plus, create_graph=True)
    return grad.float().square().sum(dim=2).mean(dim=1).sqrt()
