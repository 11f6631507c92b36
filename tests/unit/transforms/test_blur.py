# SPDX-License-Identifier: Apache-2.0
"""Gaussian blur that means the same at every image size."""

import math

import pytest
import torch
from scipy import ndimage

from monai_semigan.errors import ShapeError
from monai_semigan.transforms.blur import even_blur, gaussian_blur


def widths(*values):
    return torch.tensor(values, dtype=torch.float64).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_it_is_scipys_filter_with_a_width_that_grows_with_the_image(size):
    image = torch.rand(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    blurred = gaussian_blur(image, widths(1.0, 0.5), widths(0.25, 2.0), largest=2.0)

    radius = math.ceil(4 * 2.0 * size / 64)
    for before, after, rows, columns in zip(image, blurred, (1.0, 0.5), (0.25, 2.0), strict=True):
        sigma = (columns * size / 64, rows * size / 64)
        for channel in range(3):
            expected = ndimage.gaussian_filter(before[channel].numpy(), sigma, radius=radius, mode="nearest")
            torch.testing.assert_close(after[channel], torch.from_numpy(expected), atol=1e-9, rtol=0)


def test_an_enlarged_image_is_blurred_as_the_small_one_is():
    small = torch.rand(1, 1, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    small = gaussian_blur(small, widths(2.0), widths(2.0), largest=2.0)  # no finer than both can show
    large = torch.nn.functional.interpolate(small, scale_factor=2, mode="bilinear")

    blurred = gaussian_blur(large, widths(1.5), widths(1.5), largest=1.5)

    expected = gaussian_blur(small, widths(1.5), widths(1.5), largest=1.5)
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(blurred, 2), expected, atol=5e-3, rtol=0)


def test_one_width_for_all_is_the_same_blur():
    image = torch.rand(2, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    assert torch.equal(even_blur(image, 1.5), gaussian_blur(image, widths(1.5, 1.5), widths(1.5, 1.5), largest=1.5))


@pytest.mark.parametrize("largest", [0.0, 1e-3, 1e6])
def test_no_width_changes_nothing_and_a_huge_one_needs_no_more_memory(largest):
    image = torch.rand(1, 2, 5, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(gaussian_blur(image, widths(0.0), widths(0.0), largest=largest), image)
    assert torch.isfinite(gaussian_blur(image, widths(largest), widths(largest), largest=largest)).all()


def test_other_shapes_are_refused():
    with pytest.raises(ShapeError, match="x"):
        gaussian_blur(torch.zeros(1, 8, 8), widths(1.0), widths(1.0), largest=1.0)
