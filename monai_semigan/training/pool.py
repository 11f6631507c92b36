# SPDX-License-Identifier: Apache-2.0
"""Training data held in memory, and an endless order over it that can be continued exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from monai_semigan.errors import ConfigError, check_shape

__all__ = ["EndlessOrder", "ImagePool", "LabelledPool", "Symmetries", "with_symmetries"]

Symmetries = Literal["none", "mirror", "square"]
"""Of what is shown, see `with_symmetries`."""


class EndlessOrder:
    """Indices in batches: each once per epoch, every epoch in its own order, derived from seed and position alone.

    Args:
        size: Number of items, >= 1.
        seed: Seed of the order.
    """

    def __init__(self, size: int, *, seed: int) -> None:
        if size < 1:
            raise ConfigError("The training data must have at least one image, got none. Check the data list.")
        self.size, self.seed = size, seed
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def batch(self, position: int, batch_size: int) -> Tensor:
        """Return the indices from ``position`` on, ``(batch_size,)``, of the endless sequence."""
        indices = []
        for at in range(position, position + batch_size):
            epoch, offset = divmod(at, self.size)
            if epoch != self._epoch:
                rng = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
                self._epoch, self._order = epoch, torch.randperm(self.size, generator=rng)
            indices.append(self._order[offset])
        return torch.stack(indices)


@dataclass(frozen=True)
class ImagePool:
    """Images in memory.

    Attributes:
        images: ``(M, C, S, S)`` in [-1, 1]; float16 halves the memory of large pools.
    """

    images: Tensor

    @property
    def digest(self) -> str:
        """SHA-256 of what is learned from, hexadecimal."""
        found = hashlib.sha256()
        for tensor in vars(self).values():
            found.update(tensor.cpu().contiguous().numpy().data)
        return found.hexdigest()

    def __len__(self) -> int:
        """Number of images M."""
        return len(self.images)

    def take(self, indices: Tensor, device: torch.device) -> Tensor:
        """Return images as float32, ``(N, C, S, S)``, on ``device``."""
        return _move(self.images[indices], device)


@dataclass(frozen=True)
class LabelledPool(ImagePool):
    """Images with soft one-hot labels in memory.

    Attributes:
        targets: ``(M, K, S, S)`` in [0, 1].
    """

    targets: Tensor

    def __post_init__(self) -> None:
        size = check_shape("images", self.images.shape, "M C S S")
        check_shape("targets", self.targets.shape, f"{size['M']} K {size['S']} {size['S']}")

    def subset(self, indices: Sequence[int]) -> LabelledPool:
        """Return a pool of some of the images."""
        return LabelledPool(self.images[list(indices)], self.targets[list(indices)])

    def take_targets(self, indices: Tensor, device: torch.device) -> Tensor:
        """Return labels as float32, ``(N, K, S, S)``, on ``device``."""
        return _move(self.targets[indices], device)


def _move(batch: Tensor, device: torch.device) -> Tensor:
    """Send a batch as it is stored, and widen it there; from pinned memory a GPU's queue goes on meanwhile."""
    if device.type == "cuda" and not batch.is_cuda:
        batch = batch.pin_memory()
    return batch.to(device, non_blocking=True).float()


def with_symmetries(x: Tensor, symmetries: Symmetries) -> Tensor:
    """Add what an image may look like as well: ``(M, C, S, S)`` to as many, twice or eight times, labels likewise.

    Args:
        x: Images or label maps.
        symmetries: ``mirror`` for what has no side, such as a face; ``square`` also for what has no upright position,
            such as skin: mirror images and quarter turns. ``none`` for the rest, such as a chest.
    """
    if symmetries == "none":
        return x
    if symmetries == "mirror":
        return torch.cat([x, x.flip(3)])
    mirrored = [x, x.flip(3), x.flip(2), x.flip(2, 3)]
    return torch.cat(mirrored + [part.transpose(2, 3) for part in mirrored])
