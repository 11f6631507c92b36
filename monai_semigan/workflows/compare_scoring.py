# SPDX-License-Identifier: Apache-2.0
"""Score a trained network on a prepared set: Dice and HD95 of each patient, on the network's own grid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from monai_semigan.evaluation.small_sample import patient_means
from monai_semigan.evaluation.surface import surface_distances
from monai_semigan.training.pool_scores import mean_dice
from monai_semigan.workflows.compare_data import ScoredSet

__all__ = ["score_set"]

BATCH = 16


def score_set(
    network: Callable[[Tensor], Tensor], scored: ScoredSet, device: torch.device
) -> tuple[list[float], list[float | None]]:
    """Return Dice and HD95 (pixels) of each patient, in the order of their first appearance.

    Args:
        network: Images ``(N, C, S, S)`` to label logits ``(N, K, S, S)``.
        scored: The set.
        device: Where to compute.
    """
    pool, num_classes = scored.pool, scored.pool.targets.shape[1]
    dice: list[float] = []
    distances: list[float | None] = []
    for start in range(0, len(pool), BATCH):
        indices = torch.arange(start, min(start + BATCH, len(pool)))
        label = network(pool.take(indices, device)).argmax(dim=1).cpu()
        wanted = pool.targets[indices].float().argmax(dim=1)
        ignored = torch.zeros_like(label, dtype=torch.bool) if scored.ignored is None else scored.ignored[indices]
        dice += mean_dice(*(_one_hot(part.masked_fill(ignored, 0), num_classes) for part in (label, wanted))).tolist()
        distances += [
            _distance(*(part.numpy() for part in each), num_classes=num_classes)
            for each in zip(label, wanted, ignored, strict=True)
        ]
    return patient_means(dice, scored.patients), _known_means(distances, scored)


def _one_hot(label: Tensor, num_classes: int) -> Tensor:
    return F.one_hot(label, num_classes).movedim(-1, 1)


def _distance(label: np.ndarray, wanted: np.ndarray, ignored: np.ndarray, *, num_classes: int) -> float | None:
    """HD95 of the worst class; None where a class has no surface in one of the maps, and none in neither counts not."""
    found = []
    for index in range(1, num_classes):
        own, other = ((part == index) & ~ignored for part in (label, wanted))
        if not own.any() and not other.any():
            continue
        distances = surface_distances(own, other, ignore=ignored if ignored.any() else None)
        if distances is None:
            return None
        found.append(distances.hd95)
    return max(found, default=None)


def _known_means(distances: list[float | None], scored: ScoredSet) -> list[float | None]:
    """Average the images of each patient that have a distance."""
    groups: dict[str, list[float]] = {}
    for value, patient in zip(distances, scored.patients, strict=True):
        groups.setdefault(patient, []).extend([] if value is None else [value])
    return [float(np.mean(group)) if group else None for group in groups.values()]
