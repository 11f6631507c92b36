# SPDX-License-Identifier: Apache-2.0
"""How right a label can be expected to be, by the probabilities that the network itself gives its pixels.

A reconstruction error tells whether the network knows such images, hardly whether this label is right: a lung behind an
opacity is redrawn well and segmented badly. The probabilities do: where the border is uncertain, or the encoder and the
inversion see different borders, the Dice coefficient to be expected is low. As a number it is too high, as the
probabilities are that it comes from, but it puts labels in order. So it is corrected by two numbers that are found on
validation images (Platt 1999), as they are and disturbed, and that keep the order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import expit, logit
from torch import Tensor

from monai_semigan.errors import check_shape
from monai_semigan.settings import Range, check_settings

__all__ = ["DiceCalibration", "bounded_logit", "expected_dice", "expected_overlap"]

MOST_OFFSET, MOST_SLOPE = 20.0, 20.0
"""Far above what a network gives."""

LEAST = 1e-4
"""Values are kept as far from 0 and 1, where a logit has no end."""


@dataclass(frozen=True, kw_only=True)
class DiceCalibration:
    """What an expected Dice ``d`` is worth: ``sigmoid(offset + slope * logit(d))``, which keeps the order.

    Attributes:
        offset: Below 0 where too much is expected.
        slope: Above 0.
    """

    offset: Annotated[float, Range(-MOST_OFFSET, MOST_OFFSET)]
    slope: Annotated[float, Range(0, MOST_SLOPE, exclusive="low")]

    def __post_init__(self) -> None:
        check_settings(self)

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        """Correct values in [0, 1] of any shape; NaN stays."""
        corrected: np.ndarray = expit(self.offset + self.slope * bounded_logit(values))
        return corrected

    def undone(self, values: np.ndarray | float) -> np.ndarray:
        """Return what gives these values."""
        given: np.ndarray = expit((bounded_logit(values) - self.offset) / self.slope)
        return given


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


def bounded_logit(values: np.ndarray | float) -> np.ndarray:
    """Return the logit of values in [0, 1], kept `LEAST` from either; NaN stays."""
    logits: np.ndarray = logit(np.clip(np.asarray(values, np.float64), LEAST, 1 - LEAST))
    return logits
