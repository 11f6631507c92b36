# SPDX-License-Identifier: Apache-2.0
"""Squared local correlation: blind to contrast, not to place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_semigan.errors import ConfigError, ShapeError
from monai_semigan.losses.local_correlation import VARIANCE_FLOOR, local_correlation_loss


def picture(seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(2, 1, 24, 24, generator=rng) * 2 - 1


def test_against_a_loop_over_windows() -> None:
    image, target = picture(0), picture(1)
    squared = np.zeros((2, 20, 20))
    for n in range(2):
        for row in range(20):
            for column in range(20):
                a, b = (x[n, 0, row : row + 5, column : column + 5].double().numpy().ravel() for x in (image, target))
                covariance = np.mean((a - a.mean()) * (b - b.mean()))
                squared[n, row, column] = covariance**2 / ((a.var() + VARIANCE_FLOOR) * (b.var() + VARIANCE_FLOOR))
    loss = local_correlation_loss(image, target, window=5)
    np.testing.assert_allclose(loss.numpy(), 1 - squared.mean(axis=(1, 2)), rtol=1e-4)


@pytest.mark.parametrize("remap", [lambda x: x, lambda x: -x, lambda x: 0.5 * x + 0.3, lambda x: 0.4 - 0.7 * x])
def test_contrast_does_not_matter(remap) -> None:
    image = picture()
    assert local_correlation_loss(image, remap(image)).max() < 0.05


def test_place_matters() -> None:
    image = picture()
    assert local_correlation_loss(image, image.roll(3, dims=3)).min() > 0.5


def test_flat_images_are_finite_and_have_finite_gradients() -> None:
    image = torch.zeros(1, 1, 16, 16, requires_grad=True)
    loss = local_correlation_loss(image, torch.ones(1, 1, 16, 16))
    (grad,) = torch.autograd.grad(loss.sum(), image)
    assert loss == 1
    assert grad.isfinite().all()


def test_wrong_windows_and_shapes() -> None:
    for window in (1, 4, 99):
        with pytest.raises(ConfigError, match="window"):
            local_correlation_loss(picture(), picture(), window=window)
    with pytest.raises(ShapeError):
        local_correlation_loss(picture(), picture()[:1])
