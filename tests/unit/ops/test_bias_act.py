# SPDX-License-Identifier: Apache-2.0
"""Bias, leaky ReLU and gain: hand numbers, derivatives, errors."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from monai_semigan.errors import ConfigError, ShapeError
from monai_semigan.ops.bias_act import ACTIVATION_GAIN, LEAKY_SLOPE, bias_act

BACKENDS = ("reference", "torch")


@pytest.mark.parametrize("backend", BACKENDS)
def test_hand_numbers(backend):
    x, bias = torch.tensor([[1.0, 1.0], [-3.0, -1.0]]), torch.tensor([1.0, -2.0])

    y = bias_act(x, bias, slope=0.25, gain=3.0, backend=backend)

    torch.testing.assert_close(y, torch.tensor([[6.0, -0.75], [-1.5, -2.25]]))


def test_defaults_are_those_of_stylegan2():
    assert (0.2, math.sqrt(2)) == (LEAKY_SLOPE, ACTIVATION_GAIN)
    y = bias_act(torch.tensor([[1.0, -1.0]]), None)

    torch.testing.assert_close(y, torch.tensor([[math.sqrt(2), -0.2 * math.sqrt(2)]]))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("slope", [0.2, 1.0])
@pytest.mark.parametrize("shape", [(3, 4), (2, 4, 3, 2)])
def test_derivatives_are_those_of_finite_differences(backend, slope, shape):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=rng, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(4, generator=rng, dtype=torch.float64, requires_grad=True)

    def run(x, bias):
        return bias_act(x, bias, slope=slope, backend=backend)

    assert gradcheck(run, (x, bias))
    assert gradgradcheck(lambda x, bias: run(x, bias).square(), (x, bias))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_input_is_left_alone(backend):
    x, bias = torch.randn(2, 3, 4, 5), torch.randn(3)
    before = x.clone()

    bias_act(x, bias, backend=backend)
    bias_act(x, None, backend=backend)

    assert torch.equal(x, before)


def test_bfloat16_is_close_to_float32_and_keeps_its_dtype():
    x, bias = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([0.1, -0.2, 0.3])

    narrow = bias_act(x.bfloat16(), bias)

    assert narrow.dtype == torch.bfloat16
    torch.testing.assert_close(narrow.float(), bias_act(x, bias), atol=0.02, rtol=0.02)


def test_channels_last_stays_channels_last():
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)

    assert bias_act(x, torch.ones(3)).is_contiguous(memory_format=torch.channels_last)


def test_a_bias_of_another_length_is_refused():
    with pytest.raises(ShapeError, match=r"`bias` must have shape \(3,\), got \(4,\)"):
        bias_act(torch.zeros(2, 3, 4, 4), torch.zeros(4))


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (2, 3, 4, 5, 6)])
def test_other_numbers_of_axes_are_refused_whatever_the_backend(shape):
    with pytest.raises(ShapeError, match=r"`x` must have shape \(N, C\) or \(N, C, H, W\), got "):
        bias_act(torch.zeros(shape), None)


@pytest.mark.parametrize(("slope", "gain"), [(-0.1, 1.0), (0.2, 0.0), (0.2, -1.0)])
def test_an_activation_that_loses_signs_is_refused(slope, gain):
    with pytest.raises(ConfigError, match=f"`slope` must be >= 0 and `gain` > 0, got slope={slope} and gain={gain}"):
        bias_act(torch.zeros(2, 3), None, slope=slope, gain=gain)


def test_operands_that_do_not_fit_are_named():
    with pytest.raises(ConfigError, match="`bias` must be on cpu like `x`, got meta"):
        bias_act(torch.zeros(2, 3), torch.zeros(3, device="meta"))
    with pytest.raises(ConfigError, match="`x` must be of a floating dtype, got uint8"):
        bias_act(torch.zeros(2, 3, dtype=torch.uint8), None)
