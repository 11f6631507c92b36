# SPDX-License-Identifier: Apache-2.0
"""Equalized layers and the minibatch standard deviation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from monai_semigan.errors import ShapeError
from monai_semigan.networks.layers import EqualizedConv2d, EqualizedLinear, minibatch_stddev


def test_a_linear_layer_applies_its_gains():
    layer = EqualizedLinear(4, 3, bias_init=0.7, learning_rate_multiplier=0.01)
    x = torch.randn(2, 4)

    torch.testing.assert_close(layer.bias, torch.full((3,), 70.0))
    torch.testing.assert_close(layer(x), x @ (layer.weight * 0.01 / 2).T + 0.7)


def test_stored_weights_have_unit_variance_and_the_output_too():
    torch.manual_seed(0)
    linear, conv = EqualizedLinear(256, 256), EqualizedConv2d(16, 16, 3, activate=False)

    assert linear.weight.std().item() == pytest.approx(1, rel=0.02)
    assert linear(torch.randn(64, 256)).std().item() == pytest.approx(1, rel=0.1)
    assert conv(torch.randn(4, 16, 20, 20))[..., 1:-1, 1:-1].std().item() == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_a_downsampling_convolution_halves_and_keeps_channels_last(kernel_size):
    layer = EqualizedConv2d(3, 5, kernel_size, down=True)

    y = layer(torch.randn(2, 3, 8, 12).contiguous(memory_format=torch.channels_last))

    assert y.shape == (2, 5, 4, 6)
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_a_pointwise_convolution_of_a_grey_image_returns_channels_last():
    layer = EqualizedConv2d(1, 5, 1, activate=False)
    x = torch.randn(2, 1, 6, 7)

    y = layer(x)

    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, torch.nn.functional.conv2d(x, layer.weight))


def test_weights_follow_the_dtype_of_the_input():
    assert EqualizedConv2d(2, 3, 3)(torch.randn(1, 2, 4, 4).bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize(("n", "members"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 1), (6, 3), (7, 1), (8, 4), (10, 2)])
def test_minibatch_stddev_equals_numpy_for_every_batch_size(n, members):
    x = torch.randn(n, 3, 2, 2, generator=torch.Generator().manual_seed(n))

    y = minibatch_stddev(x, group_size=4)

    groups = x.numpy().reshape(members, n // members, 3, 2, 2)
    expected = (
        [math.sqrt(1e-8)] * n if members == 1 else np.tile(np.sqrt(groups.var(0) + 1e-8).mean((1, 2, 3)), members)
    )
    assert y.shape == (n, 4, 2, 2)
    torch.testing.assert_close(y[:, :3], x, rtol=0, atol=0)
    np.testing.assert_allclose(y[:, 3], np.broadcast_to(np.reshape(expected, (n, 1, 1)), (n, 2, 2)), rtol=1e-5)


def test_minibatch_stddev_of_a_crafted_group():
    """Two samples that differ by 2 everywhere have a deviation of 1."""
    x = torch.stack([torch.zeros(1, 3, 3), torch.full((1, 3, 3), 2.0)])

    torch.testing.assert_close(minibatch_stddev(x)[:, 1], torch.ones(2, 3, 3))


def test_minibatch_stddev_can_be_differentiated_twice_even_for_equal_samples():
    x = torch.ones(4, 2, 2, 2, requires_grad=True)

    (grad,) = torch.autograd.grad(minibatch_stddev(x).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(grad.square().sum(), x)

    assert bool(grad.isfinite().all()) and bool(second.isfinite().all())


def test_minibatch_stddev_refuses_other_shapes():
    with pytest.raises(ShapeError, match=r"`x` must have shape \(N, C, H, W\)"):
        minibatch_stddev(torch.zeros(2, 3))
