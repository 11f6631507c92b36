# SPDX-License-Identifier: Apache-2.0
"""The average labels what the network must say of disturbed images, and follows the network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_semigan.training.consistency import Consistency, ConsistencySettings


def net() -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(1, 2, 1)


def loss(made: Consistency, *, done: float = 1.0) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    image, other = (torch.rand(2, 1, 4, 5, generator=rng) for _ in range(2))
    inside = (image > 0.5).float()
    return made.loss(image, torch.cat([1 - inside, inside], dim=1), other, done=done)


def test_it_pulls_to_the_averages_labels_of_images_that_are_not_disturbed() -> None:
    seen: list[Tensor] = []

    class Average(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            seen.append(image)
            return torch.cat([torch.zeros_like(image), 9 * torch.ones_like(image)], dim=1)

    weighted = Consistency(net(), ConsistencySettings(ramp_up=0.0, style_mixing=None), lambda image: image * 0)
    alone = Consistency(net(), ConsistencySettings(weight=0.0, style_mixing=None), lambda image: image * 0)
    weighted.average = alone.average = Average()

    assert loss(weighted) > loss(alone)
    assert seen[0].shape == (2, 1, 4, 5) and seen[0].std() > 0


def test_the_weight_rises() -> None:
    made = Consistency(net(), ConsistencySettings(ramp_up=0.5, style_mixing=None), lambda image: -image)

    early, half, late = (float(loss(made, done=done).detach()) for done in (0.1, 0.5, 0.9))

    assert early < half == late


def test_the_average_gets_no_gradient_and_follows() -> None:
    network = net()
    made = Consistency(network, ConsistencySettings(half_life_kimg=0.001, style_mixing=None), lambda image: image)
    loss(made).backward()
    assert network.weight.grad is not None and made.average.weight.grad is None
    before = made.average.weight.clone()
    with torch.no_grad():
        network.weight += 1

    made.follow(batch_size=1, images_seen=1000)  # one half-life

    torch.testing.assert_close(made.average.weight - before, torch.full_like(before, 0.5))
