# SPDX-License-Identifier: Apache-2.0
"""A smooth random field over an image: uneven light, a bias field."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["smooth_field"]

GRID = 3
"""Random numbers along each side, interpolated between."""


def smooth_field(like: Tensor) -> Tensor:
    """Draw a field ``(N, 1, H, W)`` for images ``(N, C, H, W)``, from the global random state; deviation about 1."""
    coarse = torch.randn_like(like[:, :1, :GRID, :GRID])
    return F.interpolate(coarse, size=like.shape[-2:], mode="bicubic", align_corners=False)
