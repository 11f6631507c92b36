# SPDX-License-Identifier: Apache-2.0
"""Modulated convolution: derivatives, invariances, dtypes, errors."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from monai_semigan.errors import BackendError, ConfigError, ShapeError
from monai_semigan.ops.fir import normalized_taps
from monai_semigan.ops.modulated_conv2d import modulated_conv2d

BACKENDS = ("reference", "torch")


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("demodulate", [False, True])
def test_derivatives_of_all_three_inputs(backend, demodulate):
    inputs = [t.requires_grad_() for t in (draw(2, 2, 2, 3), draw(2, 2, 3, 3, seed=1), draw(2, 2, seed=2) + 2)]

    def run(x, weight, style):
        return modulated_conv2d(x, weight, style, demodulate=demodulate, backend=backend)

    assert gradcheck(run, inputs)
    assert gradgradcheck(run, inputs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_derivatives_when_upsampling(backend):
    inputs = [t.requires_grad_() for t in (draw(1, 2, 2, 1), draw(1, 2, 3, 3, seed=1), draw(1, 2, seed=2) + 2)]
    taps = normalized_taps().double()

    def run(x, weight, style):
        return modulated_conv2d(x, weight, style, up_taps=taps, backend=backend)

    assert gradcheck(run, inputs)
    assert gradgradcheck(run, inputs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_demodulation_makes_the_result_independent_of_the_scale_of_the_style(backend):
    x, weight, style = draw(2, 3, 5, 4), draw(4, 3, 3, 3, seed=1), draw(2, 3, seed=2)

    small, large = (modulated_conv2d(x, weight, style * scale, backend=backend) for scale in (100, 300))

    torch.testing.assert_close(small, large, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_demodulated_noise_has_unit_variance(backend):
    """Unit normal input, any style: unit normal output (StyleGAN2, section 2.2)."""
    x, weight, style = draw(1, 8, 40, 40), draw(8, 8, 3, 3, seed=1), draw(1, 8, seed=2).exp()

    y = modulated_conv2d(x, weight, style, backend=backend)[:, :, 1:-1, 1:-1]

    torch.testing.assert_close(y.std(dim=(2, 3)), torch.ones(1, 8, dtype=torch.float64), atol=0.12, rtol=0)


def test_a_sample_does_not_depend_on_its_batch_mates():
    x, weight, style = draw(3, 2, 5, 4), draw(4, 2, 3, 3, seed=1), draw(3, 2, seed=2)

    together = modulated_conv2d(x, weight, style)

    for at in range(3):
        torch.testing.assert_close(together[at : at + 1], modulated_conv2d(x[at : at + 1], weight, style[at : at + 1]))


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_bfloat16_is_close_to_float32(up, demodulate):
    x, weight, style = draw(2, 4, 6, 5).float(), draw(3, 4, 3, 3, seed=1).float(), draw(2, 4, seed=2).float() + 1
    taps = normalized_taps() if up else None

    narrow = modulated_conv2d(x.bfloat16(), weight, style, demodulate=demodulate, up_taps=taps)

    assert narrow.dtype == torch.bfloat16
    wide = modulated_conv2d(x, weight, style, demodulate=demodulate, up_taps=taps)
    torch.testing.assert_close(narrow.float(), wide, atol=0.06, rtol=0.03)


@pytest.mark.parametrize("up", [False, True])
def test_channels_last_stays_channels_last(up):
    x = draw(2, 4, 6, 5, dtype=torch.float32).contiguous(memory_format=torch.channels_last)

    y = modulated_conv2d(x, torch.randn(3, 4, 3, 3), torch.ones(2, 4), up_taps=normalized_taps() if up else None)

    assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("kernel", "up"), [(2, False), (4, False), (1, True), (5, True)])
def test_kernel_sizes_that_do_not_fit_are_refused(kernel, up):
    with pytest.raises(ConfigError, match=rf"odd size \(3 with upsampling\), got {kernel} x {kernel}"):
        modulated_conv2d(
            torch.zeros(1, 2, 4, 4),
            torch.zeros(3, 2, kernel, kernel),
            torch.ones(1, 2),
            up_taps=normalized_taps() if up else None,
        )


def test_shapes_that_do_not_agree_are_refused():
    x, weight, style = torch.zeros(2, 3, 4, 4), torch.zeros(5, 3, 3, 3), torch.zeros(2, 3)

    with pytest.raises(ShapeError, match="`weight`"):
        modulated_conv2d(x, torch.zeros(5, 4, 3, 3), style)
    with pytest.raises(ShapeError, match="`weight`"):
        modulated_conv2d(x, torch.zeros(5, 3, 3, 1), style)
    with pytest.raises(ShapeError, match=r"`style` must have shape \(2, 3\), got \(1, 3\)"):
        modulated_conv2d(x, weight, style[:1])
    with pytest.raises(BackendError, match="`backend`"):
        modulated_conv2d(x, weight, style, backend="cuda")
