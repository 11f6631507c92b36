# SPDX-License-Identifier: Apache-2.0
"""Images of S x S px for a generator that renders S / d.

A generator of finer images is dear to train, and the last pixels of a border are what it draws worst. A direct route
draws them well (`networks.label_unet`), so it alone sees the image whole, d x d pixels as channels of one; encoder and
discriminators see their mean, and what the generator renders is enlarged d times.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from monai_semigan.errors import ConfigError

__all__ = ["DOWNSAMPLINGS", "check_downsampling", "enlarged", "reduced"]

DOWNSAMPLINGS = (1, 2, 4)
"""Factors d; 1 for a generator of whole images."""


def check_downsampling(factor: int) -> None:
    """Check a factor.

    Raises:
        ConfigError: It is none of `DOWNSAMPLINGS`.
    """
    if factor not in DOWNSAMPLINGS:
        raise ConfigError(f"`downsampling` must be one of {', '.join(map(str, DOWNSAMPLINGS))}, got {factor}.")


def reduced(image: Tensor, factor: int) -> Tensor:
    """Take the mean of ``factor`` x ``factor`` pixels, ``(N, C, H, W)`` -> ``(N, C, H / factor, W / factor)``."""
    return F.avg_pool2d(image, factor) if factor > 1 else image


def enlarged(rendered: Tensor, factor: int) -> Tensor:
    """Interpolate linearly between pixels, ``(N, C, H, W)`` -> ``(N, C, factor * H, factor * W)``."""
    if factor == 1:
        return rendered
    rendered = rendered.contiguous()  # few channels: four times as fast on a CPU as in channels_last
    return F.interpolate(rendered, scale_factor=float(factor), mode="bilinear", align_corners=False)
