# SPDX-License-Identifier: Apache-2.0
"""Gaussian blur by a share of the image's size, so that one setting means the same blur at any image size."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_semigan.errors import check_shape

__all__ = ["even_blur", "gaussian_blur"]

REFERENCE_SIZE = 64
"""Standard deviations are in pixels of an image whose shorter side has so many."""

WINDOW = 4
"""Half width of the window, in largest standard deviations."""

NARROWEST = 0.05
"""A standard deviation in pixels that leaves an image as it is; 0 would divide by 0."""


def even_blur(x: Tensor, sigma: float) -> Tensor:
    """Blur all samples and both axes of ``x`` by one ``sigma``, as `gaussian_blur`."""
    width = torch.full_like(x[:, :1, :1, :1], sigma)
    return gaussian_blur(x, width, width, largest=sigma)


def gaussian_blur(x: Tensor, along_rows: Tensor, along_columns: Tensor, *, largest: float) -> Tensor:
    """Blur each sample by its own standard deviations.

    Args:
        x: ``(N, C, H, W)``; continued by its edges.
        along_rows: ``(N, 1, 1, 1)``, in pixels of a 64-pixel image: twice as many pixels at 128.
        along_columns: Likewise.
        largest: What neither exceeds; a number, so that a GPU is not waited for.

    Returns:
        The same shape.

    Raises:
        ShapeError: ``x`` has another number of axes.
    """
    check_shape("x", x.shape, "N C H W")
    n, c, h, w = x.shape
    scale = min(h, w) / REFERENCE_SIZE
    radius = min(math.ceil(WINDOW * largest * scale), max(h, w))  # more would see nothing but edges
    place = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    flat = x.reshape(1, n * c, h, w)
    for sigma, vertical in ((along_columns, True), (along_rows, False)):
        taps = torch.exp(-0.5 * (place / (sigma.reshape(n, 1) * scale).clamp_min(NARROWEST)) ** 2)
        taps = (taps / taps.sum(dim=1, keepdim=True)).repeat_interleave(c, dim=0)  # (N * C, T)
        kernel = taps[:, None, :, None] if vertical else taps[:, None, None, :]
        margin = (0, 0, radius, radius) if vertical else (radius, radius, 0, 0)
        flat = F.conv2d(F.pad(flat, margin, mode="replicate"), kernel, groups=n * c)
    return flat.reshape(n, c, h, w)
