# SPDX-License-Identifier: Apache-2.0
"""How alike two images are when their grey values mean different things: squared local correlation."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from monai_semigan.errors import ConfigError, check_shape

__all__ = ["local_correlation_loss"]

VARIANCE_FLOOR = 1e-3
"""Squared grey value (range [-1, 1]) below which a window counts as flat: what correlates there is noise."""


def local_correlation_loss(image: Tensor, target: Tensor, *, window: int = 9) -> Tensor:
    """One minus the mean squared correlation in sliding windows, ``(N,)`` in [0, 1] (Avants et al. 2008, equation 5).

    The square makes bright on dark as good as dark on bright: a boundary has to be where the target has one, whatever
    its contrast. So a generator of CT can be fitted to MR.

    Args:
        image: ``(N, C, H, W)``; differentiated.
        target: The same shape.
        window: Side of a window, odd, pixels.

    Raises:
        ConfigError: The window is even or larger than the image.
    """
    check_shape("target", target.shape, " ".join(str(size) for size in image.shape))
    if window % 2 == 0 or not 1 < window <= min(image.shape[2:]):
        raise ConfigError(f"`window` must be odd, above 1 and at most the image's side, got {window}.")

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, window, stride=1)

    image, target = image.float(), target.float()
    mean_image, mean_target = mean(image), mean(target)
    covariance = mean(image * target) - mean_image * mean_target
    variance_image = mean(image.square()) - mean_image.square()
    variance_target = mean(target.square()) - mean_target.square()
    floor = VARIANCE_FLOOR
    squared = covariance.square() / ((variance_image.clamp(min=0) + floor) * (variance_target.clamp(min=0) + floor))
    return 1 - squared.flatten(1).mean(dim=1)
