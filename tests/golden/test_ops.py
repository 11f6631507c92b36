# SPDX-License-Identifier: Apache-2.0
"""The ops against SciPy and against plain loops over the formulas of Karras et al. 2020 (StyleGAN2)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.signal
import torch

from monai_semigan.ops.affine_warp import affine_warp
from monai_semigan.ops.modulated_conv2d import modulated_conv2d
from monai_semigan.ops.upfirdn2d import upfirdn2d

pytestmark = pytest.mark.golden

BACKENDS = ("reference", "torch")
TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}
"""float64 throughout."""


def scipy_upfirdn(x: np.ndarray, taps: np.ndarray, up: int, down: int, padding: tuple[int, int]) -> np.ndarray:
    """`scipy.signal.upfirdn` convolves fully: pad or crop the upsampled signal by ``padding - (T - 1)`` around it."""
    for axis in (-2, -1):
        length = x.shape[axis] * up
        full = scipy.signal.upfirdn(taps, x, up=up, down=1, axis=axis)
        tail = length + len(taps) - 1 - full.shape[axis]  # SciPy leaves out the zeros behind the last sample
        full = np.pad(full, [(0, tail if at == x.ndim + axis else 0) for at in range(x.ndim)])
        # Entry i of the valid convolution of the padded signal is entry i + T - 1 - padding[0] of the full one.
        first, count = len(taps) - 1 - padding[0], length + sum(padding) - len(taps) + 1
        index = np.arange(first, first + count)
        inside = (index >= 0) & (index < full.shape[axis])
        taken = np.take(full, index.clip(0, full.shape[axis] - 1), axis=axis)
        shape = [1] * x.ndim
        shape[axis] = count
        x = np.take(taken * inside.reshape(shape), np.arange(0, count, down), axis=axis)
    return x


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("up", "down", "taps", "padding"),
    [
        (1, 1, 4, (0, 0)),
        (1, 1, 4, (2, 1)),
        (2, 1, 4, (2, 1)),
        (1, 2, 4, (1, 1)),
        (3, 2, 5, (4, -1)),
        (2, 3, 3, (-2, 3)),
        (4, 1, 2, (5, 6)),
    ],
)
def test_resampling_equals_scipy(up, down, taps, padding, backend):
    rng = np.random.default_rng(0)
    x, taps = rng.normal(size=(2, 3, 5, 7)), rng.normal(size=taps)

    actual = upfirdn2d(
        torch.from_numpy(x), torch.from_numpy(taps), up=up, down=down, padding=padding, gain=1.5, backend=backend
    )

    np.testing.assert_allclose(actual.numpy(), 1.5 * scipy_upfirdn(x, taps, up, down, padding), **TOLERANCE)


def modulated_by_loops(x: np.ndarray, weight: np.ndarray, style: np.ndarray, demodulate: bool) -> np.ndarray:
    """Equations 1 to 3 and a zero-padded correlation, one number at a time."""
    n, inputs, height, width = x.shape
    outputs, _, k, _ = weight.shape
    y = np.zeros((n, outputs, height, width))
    for b in range(n):
        for o in range(outputs):
            w = np.array([style[b, i] * weight[o, i] / math.sqrt(inputs * k * k) for i in range(inputs)])
            if demodulate:
                w = w / math.sqrt((w**2).sum() + 1e-8)
            for row in range(height):
                for column in range(width):
                    for i in range(inputs):
                        for dy in range(k):
                            for dx in range(k):
                                r, c = row + dy - k // 2, column + dx - k // 2
                                if 0 <= r < height and 0 <= c < width:
                                    y[b, o, row, column] += w[i, dy, dx] * x[b, i, r, c]
    return y


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("demodulate", [False, True])
@pytest.mark.parametrize("kernel", [1, 3])
def test_modulated_convolution_equals_loops(kernel, demodulate, backend):
    rng = np.random.default_rng(1)
    x, weight, style = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(2, 3, kernel, kernel)), rng.normal(size=(2, 3))

    actual = modulated_conv2d(
        *(torch.from_numpy(value) for value in (x, weight, style)), demodulate=demodulate, backend=backend
    )

    np.testing.assert_allclose(actual.numpy(), modulated_by_loops(x, weight, style, demodulate), **TOLERANCE)


@pytest.mark.parametrize("backend", BACKENDS)
def test_upsampling_convolution_equals_zero_insertion_convolution_and_filter(backend):
    rng = np.random.default_rng(2)
    x, weight, style = rng.normal(size=(1, 2, 3, 4)), rng.normal(size=(3, 2, 3, 3)), rng.normal(size=(1, 2))
    taps = np.array([1.0, 3.0, 3.0, 1.0]) / 8
    w = weight * style[0][None, :, None, None] / math.sqrt(2 * 9)
    w = w / np.sqrt((w**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
    spread = np.zeros((2, 5, 7))
    spread[:, ::2, ::2] = x[0]
    expected = np.zeros((3, 6, 8))
    for o in range(3):
        full = sum(scipy.signal.convolve2d(spread[i], w[o, i]) for i in range(2))  # (7, 9): transposed convolution
        expected[o] = scipy.signal.convolve2d(np.pad(full, 1), 4 * np.outer(taps, taps), mode="valid")

    actual = modulated_conv2d(
        *(torch.from_numpy(value) for value in (x, weight, style)), up_taps=torch.from_numpy(taps), backend=backend
    )

    np.testing.assert_allclose(actual[0].numpy(), expected, **TOLERANCE)


def test_warp_equals_bilinear_interpolation_by_hand():
    """Every output pixel: where its centre falls in the input, mirrored at the border, and its four neighbours."""
    rng = np.random.default_rng(3)
    x, matrix = rng.normal(size=(1, 1, 4, 5)), np.array([[[0.9, 0.3, 0.25], [-0.2, 1.1, -0.1]]])
    height, width = 4, 5

    def mirrored(value: float, size: int) -> float:
        value = abs(value + 0.5) % (2 * size)  # distance from the left edge, periodic with 2 * size
        return min(max((2 * size - value if value > size else value) - 0.5, 0), size - 1)

    expected = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            u, v = matrix[0] @ [(2 * j + 1) / width - 1, (2 * i + 1) / height - 1, 1]
            column, row = mirrored(((u + 1) * width - 1) / 2, width), mirrored(((v + 1) * height - 1) / 2, height)
            r, c = int(row), int(column)
            dr, dc = row - r, column - c
            r1, c1 = min(r + 1, height - 1), min(c + 1, width - 1)
            image = x[0, 0]
            upper, lower = (image[at, c] * (1 - dc) + image[at, c1] * dc for at in (r, r1))
            expected[i, j] = upper * (1 - dr) + lower * dr

    actual = affine_warp(torch.from_numpy(x), torch.from_numpy(matrix))

    np.testing.assert_allclose(actual[0, 0].numpy(), expected, **TOLERANCE)
