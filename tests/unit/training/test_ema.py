# SPDX-License-Identifier: Apache-2.0
"""The averaged network: half-life in images, ramp-up, buffers."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.training.ema import RAMP_UP, update_ema


def pair() -> tuple[torch.nn.Module, torch.nn.Module]:
    average, current = (torch.nn.Linear(1, 1, bias=False).double() for _ in range(2))
    with torch.no_grad():
        average.weight.fill_(1)
        current.weight.fill_(0)
    return average, current


@pytest.mark.parametrize("batch_size", [1, 7, 50])
def test_the_closed_form(batch_size):
    average, current = pair()
    for _ in range(20):
        update_ema(average, current, batch_size=batch_size, half_life=100, images_seen=1e6)

    assert average.weight.item() == pytest.approx(0.5 ** (20 * batch_size / 100))


@pytest.mark.parametrize("images_seen", [10, 100, 1000])
def test_at_the_start_the_half_life_is_a_share_of_the_images_seen(images_seen):
    average, current = pair()

    update_ema(average, current, batch_size=10, half_life=1e9, images_seen=images_seen)

    assert average.weight.item() == pytest.approx(0.5 ** (10 / (RAMP_UP * images_seen)))


@pytest.mark.parametrize(("half_life", "images_seen"), [(0.0, 1e6), (100.0, 0.0)])
def test_no_half_life_copies(half_life, images_seen):
    average, current = pair()

    update_ema(average, current, batch_size=1, half_life=half_life, images_seen=images_seen)

    assert average.weight.item() == 0.0


def test_buffers_of_any_type_are_copied_and_no_gradient_is_recorded():
    average, current = torch.nn.BatchNorm2d(3), torch.nn.BatchNorm2d(3)
    current.running_var.fill_(5)
    current.num_batches_tracked.fill_(7)

    update_ema(average, current, batch_size=1, half_life=10, images_seen=1e6)

    assert average.running_var.tolist() == [5, 5, 5] and int(average.num_batches_tracked) == 7
    assert average.weight.grad_fn is None and average.weight.is_leaf


def test_the_current_network_is_left_alone():
    average, current = pair()

    update_ema(average, current, batch_size=1, half_life=10, images_seen=1e6)

    assert current.weight.item() == 0.0
