# SPDX-License-Identifier: Apache-2.0
"""The average is what is kept, and it follows the network that learns."""

from __future__ import annotations

import torch

from monai_semigan.baselines.frame import Batch, LearningData
from monai_semigan.baselines.mean_teacher import MeanTeacher
from monai_semigan.baselines.methods import BaselineSettings, build_network


def test_the_average_follows_and_unlabelled_images_count(data: LearningData, settings: BaselineSettings) -> None:
    torch.manual_seed(0)
    method = MeanTeacher(settings.frame, build_network("unet", settings, data.sizes), settings.mean_teacher)
    (average,) = method.candidates
    before = average.final_conv.weight.clone()

    def step(other: torch.Tensor) -> float:
        torch.manual_seed(1)
        return float(method.step(Batch(data.labelled.images, data.labelled.targets, other, 0.9, 4)))

    losses = [step(data.unlabelled.images[:4]) for _ in range(25)]

    assert losses[-1] < losses[0]
    assert average is not method.network and not torch.equal(average.final_conv.weight, before)
    gap = (average.final_conv.weight - method.network.final_conv.weight).abs().max()
    assert 0 < gap < (before - method.network.final_conv.weight).abs().max()
    assert step(data.unlabelled.images[:4]) != step(-data.unlabelled.images[:4])
