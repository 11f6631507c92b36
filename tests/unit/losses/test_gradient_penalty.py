# SPDX-License-Identifier: Apache-2.0
"""R1: closed forms, every input counted, the batch size without influence, derivatives."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.errors import ShapeError
from monai_semigan.losses.adversarial import mean_logit
from monai_semigan.losses.gradient_penalty import r1_penalty
from monai_semigan.networks.discriminator import ImageDiscriminator
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_a_linear_discriminator_costs_its_squared_weight(batch_size):
    weight = torch.randn(3, 4, 5)
    x = torch.randn(batch_size, 3, 4, 5, requires_grad=True)

    penalty = r1_penalty((x * weight).sum(dim=(1, 2, 3)), x)

    assert penalty.dtype == torch.float32
    torch.testing.assert_close(penalty, weight.square().sum().expand(batch_size))


def test_a_quadratic_discriminator_costs_its_own_gradient_per_sample():
    x = torch.randn(3, 2, 2, 2, requires_grad=True)

    penalty = r1_penalty(x.square().sum(dim=(1, 2, 3)), x)

    torch.testing.assert_close(penalty, 4 * x.detach().square().sum(dim=(1, 2, 3)))


def test_the_gradients_of_all_inputs_add_up():
    image, label = torch.randn(2, 1, 3, 3, requires_grad=True), torch.randn(2, 2, 3, 3, requires_grad=True)

    penalty = r1_penalty(2 * image.sum(dim=(1, 2, 3)) + 3 * label.sum(dim=(1, 2, 3)), image, label)

    torch.testing.assert_close(penalty, torch.full((2,), 4.0 * 9 + 9.0 * 18))


def test_the_derivative_with_respect_to_the_weight_is_twice_the_weight():
    weight = torch.randn(3, 4, 5, requires_grad=True)
    x = torch.randn(2, 3, 4, 5, requires_grad=True)

    r1_penalty((x * weight).sum(dim=(1, 2, 3)), x).mean().backward()

    torch.testing.assert_close(weight.grad, 2 * weight.detach())


@pytest.mark.parametrize("batch_size", [4, 16])
def test_of_the_image_discriminator_a_sample_costs_the_same_in_any_batch(batch_size):
    """The minibatch deviation is the discriminator's one coupling between samples: with groups of one it is off."""
    torch.manual_seed(0)
    discriminator = ImageDiscriminator(image_size=32, channels=[4, 4, 4, 4], stddev_group=1)
    images = torch.randn(batch_size, 1, 32, 32)

    penalties = []
    for count in (1, batch_size):
        real = images[:count].clone().requires_grad_()
        penalties.append(r1_penalty(discriminator(real), real)[0])

    torch.testing.assert_close(*penalties, rtol=1e-4, atol=0)


def test_with_the_minibatch_deviation_repeated_samples_cost_the_same_in_any_batch():
    """Four times the same group: each group is judged as it would be alone, so the mean penalty is the same."""
    torch.manual_seed(0)
    discriminator = ImageDiscriminator(image_size=32, channels=[4, 4, 4, 4])
    group = torch.randn(4, 1, 32, 32)

    means = []
    for copies in (1, 4):
        real = group.repeat_interleave(copies, dim=0).requires_grad_()  # members of a group are strided over the batch
        means.append(r1_penalty(discriminator(real), real).mean())

    torch.testing.assert_close(*means, rtol=1e-4, atol=0)


@pytest.mark.parametrize("batch_size", [4, 16])
def test_of_the_pair_discriminator_a_sample_costs_the_same_in_any_batch(batch_size):
    torch.manual_seed(0)
    discriminator = MultiscaleDiscriminator(num_scales=2, base_channels=2).eval()
    image, label = torch.randn(batch_size, 1, 32, 32), torch.randn(batch_size, 2, 32, 32)

    penalties = []
    for count in (1, batch_size):
        pair = image[:count].clone().requires_grad_(), label[:count].clone().requires_grad_()
        penalties.append(r1_penalty(mean_logit(discriminator(*pair)), *pair)[0])

    torch.testing.assert_close(*penalties, rtol=1e-3, atol=0)


def test_it_has_derivatives_of_its_own():
    x = torch.randn(2, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(1, 2, 2, dtype=torch.float64, requires_grad=True)

    def penalty(weight):
        return r1_penalty((x * weight).sum(dim=(1, 2, 3)).tanh(), x)

    expected = (1 - (x * weight).sum(dim=(1, 2, 3)).tanh() ** 2).square() * weight.square().sum()
    torch.testing.assert_close(penalty(weight), expected.float())


def test_a_patch_map_is_refused():
    x = torch.randn(2, 1, 4, 4, requires_grad=True)

    with pytest.raises(ShapeError, match=r"`real_logits` must have shape \(N\), got \(2, 1, 4, 4\)"):
        r1_penalty(x * 2, x)
