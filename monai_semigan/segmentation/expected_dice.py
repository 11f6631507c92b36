# SPDX-License-Identifier: Apache-2.0
"""How right a label can be expected to be, by the probabilities that the network itself gives its pixels.

A reconstruction error tells whether the network knows such images, hardly whether this label is right: a lung behind an
opacity is redrawn well and segmented badly. The probabilities do: where the border is uncertain, or the encoder and the
inversion see different borders, the Dice coefficient to be expected is low. On images unlike those of the training the
number is too high, as their probabilities are, but it still puts labels in order.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_semigan.errors import check_shape

__all__ = ["expected_dice", "expected_overlap"]


def expected_overlap(label_logits: Tensor, *renderings: Tensor) -> Tensor:
    """Sum what a label and the truth are expected to share, and what both cover.

    With the label's mask ``m`` of a class, and the mean ``p`` of its probabilities in the renderings, numerator and
    denominator of the Dice coefficient have the expectations ``2 sum(p m)`` and ``sum(p + m)``.

    Args:
        label_logits: ``(N, K, H, W)``; their arg-max is the label.
        renderings: One or more of the same shape, for example of the encoder's styles and of the refined ones.

    Returns:
        ``(N, K - 1, 2)`` without the background, pixels; zeros for a class that the label does not have. Overlaps of
        slices add up to that of their volume.

    Raises:
        ShapeError: A rendering has another shape than ``label_logits``.
    """
    size = check_shape("label_logits", label_logits.shape, "N K H W")
    for rendering in renderings:
        check_shape("renderings", rendering.shape, " ".join(str(size[axis]) for axis in "NKHW"))
    p = torch.stack([rendering.float().softmax(dim=1) for rendering in renderings]).mean(dim=0)[:, 1:]
    m = F.one_hot(label_logits.argmax(dim=1), size["K"]).movedim(-1, 1)[:, 1:].to(p.dtype)
    overlap = torch.stack([2 * p * m, p + m], dim=-1).sum(dim=(2, 3))
    return overlap * m.amax(dim=(2, 3))[..., None]


def expected_dice(overlap: Tensor) -> Tensor:
    """Return the ratio of an `expected_overlap`, ``(..., 2)`` to ``(...)`` in [0, 1]; NaN for a class not there."""
    return overlap[..., 0] / overlap[..., 1]
