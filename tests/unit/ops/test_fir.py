# SPDX-License-Identifier: Apache-2.0
"""Taps and paddings: sums, sizes, symmetry."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.ops.fir import BINOMIAL_TAPS, downsample_padding, normalized_taps, upsample_padding
from monai_semigan.ops.upfirdn2d import upfirdn2d


def test_taps_are_scaled_to_sum_one():
    torch.testing.assert_close(normalized_taps(), torch.tensor([0.125, 0.375, 0.375, 0.125]))
    torch.testing.assert_close(normalized_taps([1, 2, 1]).sum(), torch.tensor(1.0))
    assert BINOMIAL_TAPS == (1.0, 3.0, 3.0, 1.0)


@pytest.mark.parametrize("num_taps", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("factor", [2, 4])
def test_upsampling_multiplies_the_size(num_taps, factor):
    taps = normalized_taps([1.0] * max(num_taps, factor))

    y = upfirdn2d(torch.ones(1, 1, 5, 6), taps, up=factor, padding=upsample_padding(len(taps), factor))

    assert y.shape == (1, 1, 5 * factor, 6 * factor)


@pytest.mark.parametrize("num_taps", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_downsampling_and_a_strided_convolution_halve_the_size(num_taps, kernel_size):
    taps = normalized_taps([1.0] * num_taps)
    padding = downsample_padding(num_taps, kernel_size=kernel_size)

    filtered = upfirdn2d(torch.ones(1, 1, 8, 12), taps, padding=padding)
    y = torch.nn.functional.conv2d(filtered, torch.ones(1, 1, kernel_size, kernel_size), stride=2)

    assert y.shape == (1, 1, 4, 6)


def test_paddings_of_the_binomial_taps():
    """Worked by hand: 4 taps, factor 2, two taps in excess."""
    assert upsample_padding(4) == (2, 1)
    assert downsample_padding(4) == (1, 1)
    assert downsample_padding(4, kernel_size=3) == (2, 2)
