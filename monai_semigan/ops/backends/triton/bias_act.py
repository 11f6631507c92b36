# SPDX-License-Identifier: Apache-2.0
"""Bias, leaky ReLU and gain in one kernel: an epilogue without filter, demodulation and noise."""

from __future__ import annotations

from torch import Tensor

from monai_semigan.ops.backends.triton.styled_epilogue import NO_FILTER, run

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
    """
    maps = x if x.ndim == 4 else x[:, :, None, None]
    height, width = maps.shape[2:]
    y = run(maps, (None, None, bias), (height, width), NO_FILTER, slope, gain)
    return y.reshape(x.shape)
