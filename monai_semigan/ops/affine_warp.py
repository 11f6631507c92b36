# SPDX-License-Identifier: Apache-2.0
"""Affine resampling of images that can be differentiated any number of times with respect to the image.

Bilinear sampling at fixed places is a linear map A of the pixels. Its gradient is the adjoint A^T, whose gradient is A
again: two small autograd functions that point at each other. (PyTorch's own grid sampling has no second derivative,
which the R1 penalty on augmented images needs.)
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_semigan.errors import check_shape

__all__ = ["affine_warp"]


def affine_warp(x: Tensor, matrix: Tensor) -> Tensor:
    """Resample ``x`` bilinearly at affinely transformed places; beyond the border the image is mirrored.

    Args:
        x: ``(N, C, H, W)``, floating.
        matrix: ``(N, 2, 3)``, from output to input coordinates, both in [-1, 1] from edge to edge, ``(x, y, 1)`` order.
            Not differentiated.

    Returns:
        The shape and dtype of ``x``.
    """
    n, _, h, w = check_shape("x", x.shape, "N C H W").values()
    check_shape("matrix", matrix.shape, f"{n} 2 3")
    grid = F.affine_grid(matrix.detach().to(x.dtype), [n, 1, h, w], align_corners=False)
    warped: Tensor = _Warp.apply(x, grid)  # type: ignore[no-untyped-call]
    return warped


def _sample(x: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


class _Warp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        return _sample(x, grid)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return _WarpAdjoint.apply(grad, grid), None  # type: ignore[no-untyped-call]


class _WarpAdjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grad: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        with torch.enable_grad():
            x = torch.zeros_like(grad, requires_grad=True)  # the map is linear: its gradient is the same everywhere
            (pulled,) = torch.autograd.grad(_sample(x, grid), x, grad)
        return pulled

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return _Warp.apply(grad, grid), None  # type: ignore[no-untyped-call]
