# SPDX-License-Identifier: Apache-2.0
"""Scores by patient; pixels that are ignored count nowhere."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_semigan.training.pool import LabelledPool
from monai_semigan.workflows.compare_data import ScoredSet
from monai_semigan.workflows.compare_scoring import score_set

CPU = torch.device("cpu")


def one_hot(label: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(label.long(), 3).movedim(-1, 1).float()


def scored(*, ignored: Tensor | None = None) -> tuple[ScoredSet, Tensor]:
    """Three images of two patients; what is predicted of them."""
    wanted, drawn = torch.zeros(3, 8, 8), torch.zeros(3, 8, 8)
    wanted[:, 1:5, 1:3], wanted[:, 5:7, 5:7] = 1, 2
    drawn[:] = wanted
    drawn[0, 1:5, 3] = 1  # half as much again
    drawn[2] = 0
    pool = LabelledPool(torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 1, 8, 8), one_hot(wanted))
    return ScoredSet(pool, ["b", "a", "b"], ignored), drawn


def network(drawn: Tensor):
    return lambda image: one_hot(drawn)[image[:, 0, 0, 0].long()]


def test_images_are_averaged_by_patient() -> None:
    found, drawn = scored()

    dice, distances = score_set(network(drawn), found, CPU)

    first = (2 * 8 / (8 + 12) + 1) / 2  # class 1 too large, class 2 right
    assert torch.allclose(torch.tensor(dice), torch.tensor([(first + 0) / 2, 1.0]))
    assert distances == [1.0, 0.0], "an image without a surface is left out of its patient's distance"


def test_ignored_pixels_count_nowhere() -> None:
    ignored = torch.zeros(3, 8, 8, dtype=torch.bool)
    ignored[0, :, 3] = True
    found, drawn = scored(ignored=ignored)
    dice, distances = score_set(network(drawn), found, CPU)
    assert dice[0] == 0.5 and distances[0] == 0.0


def test_a_patient_without_any_surface_has_no_distance() -> None:
    found, drawn = scored()
    dice, distances = score_set(network(drawn * 0), found, CPU)
    assert dice == [0.0, 0.0] and distances == [None, None]
