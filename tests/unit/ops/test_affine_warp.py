# SPDX-License-Identifier: Apache-2.0
"""Affine warps: exact cases, two derivatives, the adjoint, errors."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from monai_semigan.errors import ShapeError
from monai_semigan.ops.affine_warp import affine_warp


def matrices(*rows: list[list[float]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


IDENTITY = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
OBLIQUE = [[0.8, -0.3, 0.1], [0.2, 1.1, -0.4]]


def test_the_identity_changes_nothing():
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64)

    torch.testing.assert_close(affine_warp(x, matrices(IDENTITY, IDENTITY)), x, atol=1e-12, rtol=0)


def test_a_shift_by_one_pixel_in_x_moves_columns():
    """2 / W in normalized coordinates is one pixel: output column j reads input column j + 1; the last is mirrored."""
    x = torch.arange(12, dtype=torch.float64).reshape(1, 1, 3, 4)

    y = affine_warp(x, matrices([[1, 0, 2 / 4], [0, 1, 0]]))

    torch.testing.assert_close(y[..., :3], x[..., 1:])
    torch.testing.assert_close(y[..., 3], x[..., 3])


def test_a_quarter_turn_moves_pixels_exactly():
    x = torch.arange(9, dtype=torch.float64).reshape(1, 1, 3, 3)

    y = affine_warp(x, matrices([[0, -1, 0], [1, 0, 0]]))

    torch.testing.assert_close(y, torch.rot90(x, 1, dims=(2, 3)), atol=1e-12, rtol=0)


def test_each_sample_follows_its_own_matrix():
    x = torch.randn(2, 1, 4, 4, dtype=torch.float64)

    together = affine_warp(x, matrices(IDENTITY, OBLIQUE))

    torch.testing.assert_close(together[0], x[0])
    torch.testing.assert_close(together[1:], affine_warp(x[1:], matrices(OBLIQUE)))


def test_it_equals_torch_grid_sampling():
    x, matrix = torch.randn(2, 3, 5, 6, dtype=torch.float64), matrices(IDENTITY, OBLIQUE)

    grid = F.affine_grid(matrix, [2, 3, 5, 6], align_corners=False)
    expected = F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)

    torch.testing.assert_close(affine_warp(x, matrix), expected)


def test_two_derivatives_with_respect_to_the_image():
    x = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    matrix = matrices(OBLIQUE, [[1.2, 0.1, 0.3], [0.0, 0.7, 0.2]])

    assert gradcheck(lambda x: affine_warp(x, matrix), x)
    assert gradgradcheck(lambda x: affine_warp(x, matrix), x)
    assert gradgradcheck(lambda x: affine_warp(x, matrix).square(), x)


def test_the_backward_pass_is_the_adjoint():
    """<A x, y> = <x, A^T y> for a linear map A."""
    x = torch.randn(1, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    y = torch.randn(1, 1, 5, 6, dtype=torch.float64)

    warped = affine_warp(x, matrices(OBLIQUE))
    (pulled,) = torch.autograd.grad(warped, x, y)

    assert math.isclose((warped * y).sum().item(), (x * pulled).sum().item(), rel_tol=1e-10)


def test_no_gradient_reaches_the_matrix():
    matrix = matrices(OBLIQUE).requires_grad_()
    x = torch.randn(1, 1, 3, 3, dtype=torch.float64, requires_grad=True)

    affine_warp(x, matrix).sum().backward()

    assert matrix.grad is None


def test_wrong_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"`x` must have shape \(N, C, H, W\)"):
        affine_warp(torch.zeros(3, 3), torch.zeros(1, 2, 3))
    with pytest.raises(ShapeError, match=r"`matrix` must have shape \(2, 2, 3\), got \(1, 2, 3\)"):
        affine_warp(torch.zeros(2, 1, 3, 3), torch.zeros(1, 2, 3))
