"""The resampling kernel against the definition."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from monai_semigan.ops.backends.triton.launch import Finish, Resampling, is_wide, launch
from monai_semigan.ops.backends.triton.upfirdn2d import upfirdn2d
from monai_semigan.ops.upfirdn2d import upfirdn2d as defined

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2**-9, torch.bfloat16: 2**-6}
"""The interpreter truncates to bfloat16 where a device rounds."""

CASES = [
    (4, 1, 1, (1, 2)),
    (4, 2, 1, (2, 1)),
    (4, 1, 2, (1, 1)),
    (3, 2, 3, (3, -1)),
    (5, 3, 2, (0, 0)),
    (4, 3, 1, (-2, 4)),
    (7, 4, 2, (-3, -1)),
    (2, 1, 3, (5, 7)),
    (1, 1, 1, (0, 0)),
]


def maps(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def check(x, taps, up, down, padding, gain=1.5):
    actual = upfirdn2d(x, taps, up, down, padding, gain)
    expected = defined(x.double(), taps, up=up, down=down, padding=padding, gain=gain, backend="reference")
    assert actual.dtype == x.dtype
    tolerance = TOLERANCE[x.dtype]
    torch.testing.assert_close(actual.double(), expected, rtol=tolerance, atol=tolerance * float(expected.abs().max()))
    return actual


@pytest.mark.parametrize(("num_taps", "up", "down", "padding"), CASES)
def test_it_equals_the_definition(num_taps, up, down, padding):
    check(maps(2, 3, 7, 9), maps(num_taps, seed=1), up, down, padding)


@pytest.mark.parametrize(("num_taps", "up", "down", "padding"), CASES[:4])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_equals_the_definition_in_many_tiles_and_keeps_the_layout(many_tiles, num_taps, up, down, padding, layout):
    y = check(maps(2, 3, 4, 5).to(memory_format=layout), maps(num_taps, seed=1), up, down, padding)

    assert y.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2)])
def test_it_equals_the_definition_in_every_dtype(dtype, up, down):
    check(maps(1, 2, 6, 5, dtype=dtype), maps(4, seed=1), up, down, (2, 1))


def test_strided_and_expanded_inputs_are_read_right():
    for x in (maps(2, 8, 6, 10)[:, ::2, ::3, 1::2], maps(1, 3, 6, 5).mT, maps(1, 1, 5, 1).expand(2, 3, 5, 4)):
        check(x, maps(3, seed=1), 1, 1, (1, 1))


def test_a_loop_that_is_not_unrolled_gives_the_same(monkeypatch):
    from monai_semigan.ops.backends.triton import launch as module

    monkeypatch.setattr(module, "MAX_UNROLLED", 0)

    check(maps(1, 2, 5, 6), maps(4, seed=1), 2, 1, (2, 1))


@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2)])
def test_indices_of_64_bits_give_the_same(up, down):
    x, resampling = maps(2, 2, 3, 4), Resampling(maps(4, seed=1), up, down, 2)

    narrow, wide = (launch(x, (3, 2), resampling, Finish(), wide=wide) for wide in (False, True))

    assert torch.equal(narrow, wide) and not is_wide(x)


def test_large_tensors_get_indices_of_64_bits():
    assert is_wide(torch.empty(2, 2**15, 2**8, 2**8, device="meta"))
    assert not is_wide(torch.empty(2**15, 2**7, 2**8, 1, device="meta"))


@pytest.mark.parametrize(("up", "down", "padding"), [(1, 1, (1, 2)), (2, 3, (3, -1))])
def test_first_and_second_derivatives_are_those_of_finite_differences(up, down, padding):
    x = maps(1, 2, 2, 3).requires_grad_()
    taps = maps(3, seed=1)

    def run(x):
        return upfirdn2d(x, taps, up, down, padding, 1.5)

    assert gradcheck(run, x, fast_mode=True)
    assert gradgradcheck(run, x, fast_mode=True)


def test_the_gradient_equals_that_of_the_definition_where_the_axes_differ():
    """Downsampling drops a last row and not a last column, so that the paddings of the adjoint differ."""
    x, taps = maps(1, 2, 8, 7).requires_grad_(), maps(4, seed=1)

    y = upfirdn2d(x, taps, 1, 2, (1, 1), 1.0)
    weight = maps(*y.shape, seed=2)

    (actual,) = torch.autograd.grad(y, x, weight)
    (expected,) = torch.autograd.grad(defined(x, taps, down=2, padding=(1, 1), backend="reference"), x, weight)
    torch.testing.assert_close(actual, expected)


def test_an_empty_batch_stays_empty():
    x = torch.zeros(0, 3, 4, 4, requires_grad=True)

    y = upfirdn2d(x, maps(4), 2, 1, (2, 1), 4.0)
    y.sum().backward()

    assert y.shape == (0, 3, 8, 8) and x.grad is not None and x.grad.shape == x.shape
