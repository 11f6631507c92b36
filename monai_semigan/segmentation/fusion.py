# SPDX-License-Identifier: Apache-2.0
"""Two labels into one: the encoder's and the refined one, and how far they let the result be trusted."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from monai_semigan.segmentation.expected_dice import expected_overlap

__all__ = ["FusedLabel", "LabelFusion"]


@dataclass(frozen=True)
class FusedLabel:
    """A label and its trust.

    Attributes:
        label_logits: ``(N, K, S, S)``.
        overlap: See `expected_overlap`, ``(N, K - 1, 2)``.
    """

    label_logits: Tensor
    overlap: Tensor


@dataclass(frozen=True)
class LabelFusion:
    """Mix the label logits of two renderings; the two err differently where an image is unlike the training images.

    Attributes:
        encoder_share: Share of the encoder's label in the result, in [0, 1].
    """

    encoder_share: float

    def __call__(self, refined_logits: Tensor, encoded_logits: Tensor) -> FusedLabel:
        """Fuse the logits ``(N, K, S, S)`` of the refined and of the encoder's embedding."""
        label_logits = refined_logits.lerp(encoded_logits, self.encoder_share)
        return FusedLabel(label_logits, expected_overlap(label_logits, refined_logits, encoded_logits))
