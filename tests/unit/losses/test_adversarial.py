# SPDX-License-Identifier: Apache-2.0
"""Adversarial losses: closed forms over many logits, patches and scales, derivatives, half precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_semigan.losses.adversarial import (
    hinge_discriminator_loss,
    hinge_generator_loss,
    logistic_discriminator_loss,
    logistic_generator_loss,
    mean_logit,
)

REAL = torch.linspace(-5, 5, 11)
FAKE = torch.linspace(3, -4, 11)


def softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(x))


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (logistic_discriminator_loss(REAL, FAKE), softplus(-REAL.numpy()) + softplus(FAKE.numpy())),
        (logistic_generator_loss(FAKE), softplus(-FAKE.numpy())),
        (hinge_discriminator_loss(REAL, FAKE), (np.maximum(1 - REAL.numpy(), 0) + np.maximum(1 + FAKE.numpy(), 0)) / 2),
        (hinge_generator_loss(FAKE), -FAKE.numpy()),
        (mean_logit(FAKE), FAKE.numpy()),
    ],
)
def test_closed_forms(actual, expected):
    assert actual.shape == (11,)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_scales_count_equally_whatever_their_number_of_patches():
    scales = [torch.full((2, 1, 8, 8), 1.0), torch.full((2, 1, 2, 2), 4.0)]

    torch.testing.assert_close(mean_logit(scales), torch.tensor([2.5, 2.5]))


def test_the_loss_is_averaged_over_patches_not_the_logit():
    """Two patches of -3 and 3: the hinge of their mean would be 1."""
    real = torch.tensor([-3.0, 3.0]).reshape(1, 1, 1, 2)

    torch.testing.assert_close(hinge_discriminator_loss(real, -torch.full_like(real, 9)), torch.tensor([0.5 * 2.0]))


@pytest.mark.parametrize("loss", [logistic_discriminator_loss, hinge_discriminator_loss])
def test_discriminators_are_asked_to_raise_real_and_lower_fake_logits(loss):
    real, fake = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)

    loss(real, fake).sum().backward()

    torch.testing.assert_close(real.grad, torch.full((3,), -0.5))
    torch.testing.assert_close(fake.grad, torch.full((3,), 0.5))


@pytest.mark.parametrize("loss", [logistic_generator_loss, hinge_generator_loss])
def test_the_generator_is_asked_to_raise_fake_logits(loss):
    fake = torch.zeros(3, requires_grad=True)

    loss(fake).sum().backward()

    assert bool((fake.grad < 0).all())


def test_losses_are_computed_in_float32():
    assert logistic_discriminator_loss(REAL.bfloat16(), FAKE.bfloat16()).dtype == torch.float32
    assert mean_logit([FAKE.bfloat16().reshape(11, 1, 1, 1)]).dtype == torch.float32


def test_huge_logits_stay_finite():
    assert bool(logistic_discriminator_loss(torch.tensor([-1e30]), torch.tensor([1e30])).isfinite().all())
