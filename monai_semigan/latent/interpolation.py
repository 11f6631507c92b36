# SPDX-License-Identifier: Apache-2.0
"""The straight path between two embeddings: styles and offsets alike."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_semigan.errors import ShapeError
from monai_semigan.networks.embedding import Embedding

__all__ = ["interpolate_embeddings"]


def interpolate_embeddings(start: Embedding, end: Embedding, positions: Tensor) -> Embedding:
    """Return embeddings on the line between two, in W+ as SemanticGAN shows it (Li et al. 2021).

    Offsets that one end has and the other has not, as of a drawn image, count as zero there.

    Args:
        start: One embedding.
        end: Another, of the same network.
        positions: ``(P,)``, 0 at the start and 1 at the end, where both are met exactly.

    Returns:
        P embeddings.

    Raises:
        ShapeError: There is more than one at an end, or they are of different networks.
    """
    if len(start) != 1 or len(end) != 1 or start.w_plus.shape != end.w_plus.shape:
        raise ShapeError(
            f"Both ends must be one embedding, got {tuple(start.w_plus.shape)}, {tuple(end.w_plus.shape)}."
        )
    pairs = [(start.w_plus, end.w_plus)]
    for at in range(max(len(start.features), len(end.features))):
        known = [part.features[at] for part in (start, end) if at < len(part.features)]
        first, last = (
            part.features[at] if at < len(part.features) else torch.zeros_like(known[0]) for part in (start, end)
        )
        pairs.append((first, last))
    mixed = [_between(first, last, positions) for first, last in pairs]
    return Embedding(mixed[0], tuple(mixed[1:]))


def _between(first: Tensor, last: Tensor, positions: Tensor) -> Tensor:
    if first.shape != last.shape:
        raise ShapeError(f"Both ends must have the same shapes, got {tuple(first.shape)} and {tuple(last.shape)}.")
    share = positions.to(first).reshape(-1, *[1] * (first.ndim - 1))
    return first * (1 - share) + last * share
