"""The epilogue's kernel, and the activation alone, against the definition."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from monai_semigan.ops.backends.triton.bias_act import bias_act
from monai_semigan.ops.backends.triton.styled_epilogue import styled_epilogue
from monai_semigan.ops.bias_act import bias_act as defined_bias_act
from monai_semigan.ops.upfirdn2d import upfirdn2d

GAIN = math.sqrt(2)


def values(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def defined(x, demodulation, noise, bias, up_taps, slope=0.2, gain=GAIN):
    if up_taps is not None:
        excess = len(up_taps) - 2
        x = upfirdn2d(x, up_taps, padding=((excess + 1) // 2, excess // 2), gain=4.0, backend="reference")
    x = x if demodulation is None else x * demodulation[:, :, None, None]
    x = x if noise is None else x + noise
    return defined_bias_act(x, bias, slope=slope, gain=gain, backend="reference")


def operands(num_taps=4, noise_batch=2, dtype=torch.float64, n=2):
    """x, demodulation, noise, bias, taps of a map of 4 x 6."""
    x = values(n, 3, *((4, 6) if num_taps is None else (5, 7)), dtype=dtype)
    taps = None if num_taps is None else values(num_taps, seed=1)
    return x, values(n, 3, seed=2), values(noise_batch, 1, 4, 6, seed=3), values(3, seed=4), taps


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("num_taps", "noise_batch"), [(None, 1), (2, 2), (3, 2), (4, 1)])
def test_it_equals_the_definition_and_keeps_the_layout(many_tiles, layout, num_taps, noise_batch):
    x, *others = operands(num_taps, noise_batch)
    x = x.to(memory_format=layout)

    y = styled_epilogue(x, *others, 0.2, GAIN)

    torch.testing.assert_close(y, defined(x, *others))
    assert y.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("absent", [1, 2, 3, 4])
def test_every_part_can_be_left_out(absent):
    arguments = list(operands(None if absent == 4 else 4))
    arguments[absent] = None

    torch.testing.assert_close(styled_epilogue(*arguments, 1.0, 0.5), defined(*arguments, 1.0, 0.5))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float16, 2**-9), (torch.bfloat16, 2**-6)]
)
def test_results_and_gradients_in_every_dtype(dtype, tolerance):
    """Operands in float32 beside narrow maps, as mixed precision has them; each gradient is in its operand's dtype."""
    x, *others, taps = operands(dtype=dtype)
    leaves = [x.requires_grad_(), *(other.float().requires_grad_() for other in others)]
    wide = [leaf.detach().double().requires_grad_() for leaf in leaves]

    y, expected = styled_epilogue(*leaves, taps, 0.2, GAIN), defined(*wide, taps)
    weight = values(*y.shape, seed=5)
    grads = torch.autograd.grad(y, leaves, weight.to(dtype))

    assert y.dtype == dtype and [grad.dtype for grad in grads] == [leaf.dtype for leaf in leaves]
    for narrow, exact in zip((y, *grads), (expected, *torch.autograd.grad(expected, wide, weight)), strict=True):
        scale = float(exact.detach().abs().max())
        torch.testing.assert_close(narrow.double(), exact, rtol=4 * tolerance, atol=4 * tolerance * scale)


@pytest.mark.parametrize(("num_taps", "noise_batch"), [(None, 2), (3, 1)])
def test_first_and_second_derivatives_are_those_of_finite_differences(num_taps, noise_batch):
    size = (2, 2) if num_taps is None else (3, 3)
    shapes = (2, 2, *size), (2, 2), (noise_batch, 1, 2, 2), (2,)
    leaves = [values(*shape, seed=seed).requires_grad_() for seed, shape in enumerate(shapes)]
    taps = None if num_taps is None else values(num_taps, seed=5)

    def run(*leaves):
        return styled_epilogue(*leaves, taps, 0.2, GAIN)

    assert gradcheck(run, leaves, fast_mode=True)
    if num_taps is None:  # with taps it takes long; below, and for the filter alone, they are checked in another way
        assert gradgradcheck(run, leaves, fast_mode=True)


def test_second_derivatives_equal_those_of_the_definition():
    """As R1 and the path length take them: the gradient of a gradient's norm, for every operand."""
    *leaves, taps = operands()
    leaves = [leaf.requires_grad_() for leaf in leaves]

    def penalty(run):
        y = run(*leaves, taps, 0.2, GAIN)
        grads = torch.autograd.grad(y.pow(3).sum(), leaves, create_graph=True)
        return torch.autograd.grad(sum(grad.square().sum() for grad in grads), leaves)

    for actual, expected in zip(penalty(styled_epilogue), penalty(defined), strict=True):
        torch.testing.assert_close(actual, expected)


def test_gradients_in_channels_last_come_in_channels_last():
    *leaves, taps = operands()
    x = leaves[0].to(memory_format=torch.channels_last).requires_grad_()
    y = styled_epilogue(x, *leaves[1:], taps, 0.2, GAIN)

    (grad,) = torch.autograd.grad(y, x, values(*y.shape).to(memory_format=torch.channels_last))

    assert grad.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("slope", [0.2, 0.0, 1.0])
@pytest.mark.parametrize("shape", [(3, 5), (2, 5, 3, 4)])
def test_the_activation_alone_equals_the_definition(shape, slope):
    x, bias = values(*shape).requires_grad_(), values(5, seed=1).requires_grad_()

    y, expected = bias_act(x, bias, slope, 1.5), defined_bias_act(x, bias, slope=slope, gain=1.5, backend="reference")

    torch.testing.assert_close(y, expected)
    weight = values(*shape, seed=2)
    for actual, exact in zip(
        torch.autograd.grad(y, (x, bias), weight), torch.autograd.grad(expected, (x, bias), weight), strict=True
    ):
        torch.testing.assert_close(actual, exact)


def test_strided_inputs_and_no_bias():
    x = values(4, 6, 8, 5)[::2, 1::2, ::4]

    torch.testing.assert_close(
        bias_act(x, None, 0.2, GAIN), defined_bias_act(x, None, slope=0.2, gain=GAIN, backend="reference")
    )


def test_an_empty_batch_stays_empty():
    x = torch.zeros(0, 3, 5, 7, requires_grad=True)
    bias = torch.zeros(3, requires_grad=True)

    y = styled_epilogue(x, torch.zeros(0, 3), torch.zeros(1, 1, 4, 6), bias, torch.ones(4), 0.2, GAIN)
    y.sum().backward()

    assert y.shape == (0, 3, 4, 6) and bias.grad is not None and bias.grad.tolist() == [0, 0, 0]
    assert bias_act(torch.zeros(0, 3), None, 0.2, GAIN).shape == (0, 3)
