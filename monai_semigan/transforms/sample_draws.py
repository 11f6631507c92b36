# SPDX-License-Identifier: Apache-2.0
"""Random numbers of which each sample of a batch gets its own, for changes of images that are drawn per sample."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["SampleDraws"]


class SampleDraws:
    """Draw from the global random state, on the device and in the type of the images.

    Args:
        image: ``(N, C, H, W)``.
        probability: Chance of each kind of change per sample.

    Shapes:
        All draws are ``(N, 1, 1, 1)``.
    """

    def __init__(self, image: Tensor, probability: float) -> None:
        self._image, self._like, self._probability = image, image[:, :1, :1, :1], probability

    def normal(self, std: float) -> Tensor:
        """Draw around 0."""
        return torch.randn_like(self._like) * std

    def uniform(self, top: float) -> Tensor:
        """Draw between 0 and ``top``."""
        return torch.rand_like(self._like) * top

    def maybe(self, value: Tensor) -> Tensor:
        """Return ``value`` where the change happens, 0 elsewhere."""
        return value * self._happens(self._probability)

    def some_as_they_are(self, changed: Tensor, sample_probability: float) -> Tensor:
        """Return ``changed`` where a sample is changed at all, the image itself elsewhere."""
        return changed if sample_probability == 1 else changed.where(self._happens(sample_probability), self._image)

    def _happens(self, probability: float) -> Tensor:
        return torch.rand_like(self._like) < probability
