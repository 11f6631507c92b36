# SPDX-License-Identifier: Apache-2.0
"""Resampling through a FIR filter: gradients, dtypes, memory format, errors."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from monai_semigan.errors import ConfigError, ShapeError
from monai_semigan.ops.fir import downsample_padding, normalized_taps, upsample_padding
from monai_semigan.ops.upfirdn2d import upfirdn2d

BACKENDS = ("reference", "torch")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("up", "down", "padding"), [(1, 1, (1, 2)), (2, 1, (2, 1)), (1, 2, (1, 1)), (2, 3, (3, -1)), (3, 2, (0, 0))]
)
def test_first_and_second_derivatives_are_those_of_finite_differences(backend, up, down, padding):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(2, 2, 3, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    taps = torch.randn(3, generator=rng, dtype=torch.float64)

    def run(x):
        return upfirdn2d(x, taps, up=up, down=down, padding=padding, gain=1.5, backend=backend)

    assert gradcheck(run, x)
    assert gradgradcheck(run, x)


@pytest.mark.parametrize("backend", BACKENDS)
def test_upsampling_by_two_keeps_the_mean_of_a_constant_image(backend):
    x = torch.full((1, 2, 6, 7), 3.0, dtype=torch.float64)
    taps = normalized_taps().double()

    y = upfirdn2d(x, taps, up=2, padding=upsample_padding(4), gain=4.0, backend=backend)

    assert y.shape == (1, 2, 12, 14)
    torch.testing.assert_close(y[:, :, 2:-2, 2:-2], torch.full((1, 2, 8, 10), 3.0, dtype=torch.float64))


@pytest.mark.parametrize("backend", BACKENDS)
def test_upsampling_places_pixels_where_bilinear_interpolation_puts_them(backend):
    """The binomial taps by two are bilinear interpolation without aligned corners, away from the border."""
    x = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    y = upfirdn2d(x, normalized_taps().double(), up=2, padding=upsample_padding(4), gain=4.0, backend=backend)

    expected = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(y[:, :, 1:-1, 1:-1], expected[:, :, 1:-1, 1:-1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_filtering_is_centred_when_downsampling(backend):
    """A linear ramp, halved, still reads the ramp at the centre of each pair of pixels."""
    x = torch.arange(8, dtype=torch.float64).expand(1, 1, 8, 8)

    y = upfirdn2d(x, normalized_taps().double(), down=2, padding=downsample_padding(4), backend=backend)

    assert y.shape == (1, 1, 4, 4)
    torch.testing.assert_close(y[0, 0, 1, 1:3], torch.tensor([2.5, 4.5], dtype=torch.float64))


@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2)])
def test_bfloat16_is_close_to_float32(up, down):
    x = torch.randn(2, 3, 8, 9, generator=torch.Generator().manual_seed(2))

    narrow, wide = (
        upfirdn2d(x.to(dtype), normalized_taps(), up=up, down=down, padding=(2, 1))
        for dtype in (torch.bfloat16, x.dtype)
    )

    assert narrow.dtype == torch.bfloat16
    torch.testing.assert_close(narrow.float(), wide, atol=0.03, rtol=0.03)


@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2)])
def test_channels_last_stays_channels_last(up, down):
    x = torch.randn(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)

    y = upfirdn2d(x, normalized_taps(), up=up, down=down, padding=(2, 1))

    assert y.is_contiguous(memory_format=torch.channels_last)


def test_taps_receive_no_gradient():
    taps = normalized_taps().requires_grad_()
    x = torch.randn(1, 1, 5, 5, requires_grad=True)

    upfirdn2d(x, taps).sum().backward()

    assert taps.grad is None


@pytest.mark.parametrize("factors", [{"up": 0}, {"down": 0}, {"up": -1, "down": 2}])
def test_a_factor_below_one_is_refused(factors):
    with pytest.raises(ConfigError, match="`up` and `down` must be >= 1, got"):
        upfirdn2d(torch.zeros(1, 1, 4, 4), normalized_taps(), **factors)


def test_an_input_shorter_than_the_filter_is_refused():
    with pytest.raises(
        ConfigError, match=r"`x` must have at least 4 pixels per axis after padding \(0, 0\), got \(3, 9\)"
    ):
        upfirdn2d(torch.zeros(1, 1, 3, 9), normalized_taps())


def test_wrong_numbers_of_axes_are_refused():
    with pytest.raises(ShapeError, match=r"`x` must have shape \(N, C, H, W\), got \(4, 4\)"):
        upfirdn2d(torch.zeros(4, 4), normalized_taps())
    with pytest.raises(ShapeError, match=r"`taps` must have shape \(T\), got \(2, 2\)"):
        upfirdn2d(torch.zeros(1, 1, 4, 4), torch.ones(2, 2))
