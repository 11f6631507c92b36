# SPDX-License-Identifier: Apache-2.0
"""Bias, leaky ReLU and gain in one kernel: an epilogue without filter, demodulation and noise."""

from __future__ import annotations

from torch import Tensor

from monai_semigan.errors import ShapeError
from monai_semigan.ops.triton.operands import check_activation, check_operands
from monai_semigan.ops.triton.styled_epilogue import NO_FILTER, run

__all__ = ["bias_act"]


def bias_act(x: Tensor, bias: Tensor | None, slope: float, gain: float) -> Tensor:
    """Add a per-channel bias, apply leaky ReLU, scale.

    Args:
        x: ``(N, C)`` or ``(N, C, H, W)``, any strides.
        bias: ``(C,)``, or None for none.
        slope: Slope below zero, >= 0; 1 makes the activation linear.
        gain: Factor of the result, > 0.

    Returns:
        The shape, dtype and memory format of ``x``.

    Raises:
        ShapeError: ``x`` has another number of axes, or ``bias`` does not have one entry per channel.
        ConfigError: The slope or the gain is out of range.
        BackendError: Devices differ, or a dtype is not floating.
    """
    if x.ndim not in (2, 4):
        raise ShapeError(f"`x` must have shape (N, C) or (N, C, H, W), got {tuple(x.shape)}.")
    if bias is not None and bias.shape != x.shape[1:2]:
        raise ShapeError(f"`bias` must have shape ({x.shape[1]},), got {tuple(bias.shape)}.")
    check_activation(slope, gain)
    check_operands(x, bias=bias)
    maps = x if x.ndim == 4 else x[:, :, None, None]
    height, width = maps.shape[2:]
    y = run(maps, (None, None, bias), (height, width), NO_FILTER, slope, gain)
    return y.reshape(x.shape)
