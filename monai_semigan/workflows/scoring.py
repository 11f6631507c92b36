# SPDX-License-Identifier: Apache-2.0
"""Score a network's encoder, without inversion, on prepared images: what a training decides by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from monai_semigan.losses.local_correlation import local_correlation_loss
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.expected_dice import expected_dice, expected_overlap
from monai_semigan.training.pool import LabelledPool
from monai_semigan.training.pool_scores import mean_dice

__all__ = ["EncoderScores", "score_encoder"]

BATCH = 16


@dataclass(frozen=True)
class EncoderScores:
    """Of N images, on the network's own grid.

    Attributes:
        dice: Mean over classes, ``(N,)``.
        expected_dice: Of the most uncertain class, ``(N,)``; NaN where no class was found.
        image_error: Of the redrawn image, ``(N,)``: mean squared, or by local correlation.
        class_areas: Pixels drawn of each class in all images, ``(K,)``.
    """

    dice: np.ndarray
    expected_dice: np.ndarray
    image_error: np.ndarray
    class_areas: np.ndarray

    def blank(self) -> EncoderScores:
        """Return scores of as many images, to be placed."""
        empty = np.full(len(self.dice), np.nan)
        return EncoderScores(empty, empty.copy(), empty.copy(), np.zeros_like(self.class_areas))

    def place(self, indices: Sequence[int], scores: EncoderScores) -> None:
        """Put scores of some of the images in their places."""
        at = list(indices)
        self.dice[at], self.expected_dice[at] = scores.dice, scores.expected_dice
        self.image_error[at] = scores.image_error
        self.class_areas[:] += scores.class_areas


@torch.no_grad()
def score_encoder(network: SemiGanSegmenter, pool: LabelledPool, *, local: bool = False) -> EncoderScores:
    """Segment prepared images by the encoder alone, and compare with their labels.

    Args:
        network: Trained.
        pool: The images.
        local: Compare images by local correlation, as a bundle does whose inversion is blind to contrast.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    for start in range(0, len(pool), BATCH):
        indices = torch.arange(start, min(start + BATCH, len(pool)))
        image, target = pool.take(indices, network.device), pool.take_targets(indices, network.device)
        redrawn, label_logits = network.generator.synthesis(network.encoder(image))
        expected = expected_dice(expected_overlap(label_logits, label_logits))
        lowest = torch.where(expected.isnan(), torch.inf, expected).amin(dim=1)
        error = local_correlation_loss(redrawn, image) if local else (redrawn - image).square().flatten(1).mean(dim=1)
        areas = label_logits.argmax(dim=1).flatten().bincount(minlength=label_logits.shape[1])
        found = mean_dice(label_logits, target), torch.where(lowest.isinf(), torch.nan, lowest), error
        parts.append((*(value.double().cpu().numpy() for value in found), areas.cpu().numpy()))
    dice, expected_values, errors, areas_by_batch = zip(*parts, strict=True)
    return EncoderScores(
        np.concatenate(dice), np.concatenate(expected_values), np.concatenate(errors), np.sum(areas_by_batch, axis=0)
    )
