"""The Triton kernels on a CUDA device against the definition; skipped where there is none."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch.autograd import gradgradcheck

from monai_semigan.ops.backends.triton.availability import obstacle
from monai_semigan.ops.backends.triton.bias_act import bias_act
from monai_semigan.ops.backends.triton.launch import Finish, Resampling, launch
from monai_semigan.ops.backends.triton.styled_epilogue import styled_epilogue
from monai_semigan.ops.backends.triton.upfirdn2d import upfirdn2d
from monai_semigan.ops.bias_act import bias_act as defined_bias_act
from monai_semigan.ops.upfirdn2d import upfirdn2d as defined

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed"),
]

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2**-9, torch.bfloat16: 2**-7}
LAYOUTS = (torch.contiguous_format, torch.channels_last)
CASES = [(4, 1, 1, (1, 2)), (4, 2, 1, (2, 1)), (4, 1, 2, (1, 1)), (3, 2, 3, (3, -1)), (12, 3, 1, (-2, 4))]


def values(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_near(actual, expected, dtype, factor=1.0):
    tolerance = TOLERANCE[dtype] * factor
    scale = float(expected.detach().abs().max())
    torch.testing.assert_close(actual.double().cpu(), expected, rtol=tolerance, atol=tolerance * scale)


def test_nothing_is_in_the_way():
    assert obstacle(torch.device("cuda")) is None


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("num_taps", "up", "down", "padding"), CASES)
def test_resampling_equals_the_definition(dtype, layout, num_taps, up, down, padding):
    x, taps = values(2, 67, 37, 70).to(dtype), values(num_taps, seed=1)

    y = upfirdn2d(x.cuda().to(memory_format=layout), taps.cuda(), up, down, padding, 1.5)

    expected = defined(x.double(), taps, up=up, down=down, padding=padding, gain=1.5, backend="reference")
    assert_near(y, expected, dtype)
    assert y.dtype == dtype and y.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("num_taps", [None, 4])
def test_the_epilogue_and_its_gradients_equal_the_definition(dtype, layout, num_taps):
    size = (64, 72) if num_taps is None else (65, 73)
    taps = None if num_taps is None else values(num_taps, seed=1)
    shapes = (2, 48, *size), (2, 48), (2, 1, 64, 72), (48,)
    exact = [values(*shape, seed=seed).to(dtype).double().requires_grad_() for seed, shape in enumerate(shapes)]
    leaves = [leaf.detach().to("cuda", dtype).requires_grad_() for leaf in exact]
    leaves[0] = leaves[0].detach().to(memory_format=layout).requires_grad_()

    x, demodulation, noise, bias = exact
    blurred = x if taps is None else defined(x, taps, padding=(1, 1), gain=4.0, backend="reference")
    expected = defined_bias_act(blurred * demodulation[:, :, None, None] + noise, bias, gain=1.4, backend="reference")
    y = styled_epilogue(*leaves, None if taps is None else taps.cuda(), 0.2, 1.4)
    weight = values(*y.shape, seed=5).to(dtype)

    assert_near(y, expected, dtype)
    grads = torch.autograd.grad(y, leaves, weight.cuda())
    for actual, gradient in zip(grads, torch.autograd.grad(expected, exact, weight.double()), strict=True):
        assert_near(actual, gradient, dtype, factor=4)


@pytest.mark.parametrize("shape", [(3, 5), (2, 40, 9, 7)])
def test_the_activation_equals_the_definition(shape):
    x, bias = values(*shape), values(shape[1], seed=1)

    y = bias_act(x.cuda(), bias.cuda(), 0.2, 1.4)

    assert_near(y, defined_bias_act(x, bias, gain=1.4, backend="reference"), torch.float64)


def test_second_derivatives_are_those_of_finite_differences():
    leaves = [values(*shape).cuda().requires_grad_() for shape in ((2, 2, 3, 3), (2, 2), (1, 1, 2, 2), (2,))]
    taps = values(3, seed=5).cuda()

    assert gradgradcheck(lambda *leaves: styled_epilogue(*leaves, taps, 0.2, 1.4), leaves, fast_mode=True)


def test_strided_inputs_and_64_bit_indices():
    x, taps = values(2, 8, 30, 20), values(4, seed=1)
    expected = defined(x[:, ::2, ::3], taps, padding=(1, 2), backend="reference")

    y = launch(x.cuda()[:, ::2, ::3], (10, 20), Resampling(taps.cuda(), before=1), Finish(), wide=True)

    assert_near(y, expected, torch.float64)


@pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_properties(0).total_memory < 20e9, reason="needs 20 GB"
)
def test_more_than_two_to_the_31_elements():
    """The last pixels lie beyond 32-bit offsets."""
    x = torch.zeros(33, 1024, 256, 256, dtype=torch.bfloat16, device="cuda").contiguous(
        memory_format=torch.channels_last
    )
    x[-1, :, -2:] = 1

    y = bias_act(x, None, 0.2, 2.0)

    assert float(y[-1, :, -2:].min()) == 2 and float(y[-1, :, :-2].abs().max()) == 0
