# SPDX-License-Identifier: Apache-2.0
"""Exponential moving average of a network, counted in images."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["update_ema"]

RAMP_UP = 0.05
"""The half-life is at most this share of the images seen so far (Karras et al. 2020, limited data, appendix C)."""


@torch.no_grad()
def update_ema(
    average: nn.Module, current: nn.Module, *, batch_size: int, half_life: float, images_seen: float
) -> None:
    """Move ``average`` towards ``current`` by one batch; buffers are copied.

    Args:
        average: Network to update in place.
        current: Network of the same structure.
        batch_size: Images since the last update.
        half_life: Images after which a parameter's old value counts half; reached after a ramp-up.
        images_seen: Images trained on so far.
    """
    half_life = min(half_life, RAMP_UP * images_seen)
    keep = 0.5 ** (batch_size / max(half_life, 1e-8))
    torch._foreach_lerp_(list(average.parameters()), list(current.parameters()), 1 - keep)
    for target, source in zip(average.buffers(), current.buffers(), strict=True):
        target.copy_(source)
