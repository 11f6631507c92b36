# SPDX-License-Identifier: Apache-2.0
"""Add a bias and apply a leaky ReLU with gain: ``gain * leaky_relu(x + bias, slope)``."""

from __future__ import annotations

import math

from torch import Tensor

from monai_semigan.errors import ShapeError
from monai_semigan.ops.backend import Backend, kernel, resolve_backend
from monai_semigan.ops.operands import check_activation, check_operands

__all__ = ["ACTIVATION_GAIN", "LEAKY_SLOPE", "bias_act"]

LEAKY_SLOPE = 0.2
"""Slope of the leaky ReLU below zero (StyleGAN2 throughout)."""

ACTIVATION_GAIN = math.sqrt(2.0)
"""Keeps the variance of a unit normal through the activation (He et al. 2015; StyleGAN2 appendix B)."""


def bias_act(
    x: Tensor,
    bias: Tensor | None,
    *,
    slope: float = LEAKY_SLOPE,
    gain: float = ACTIVATION_GAIN,
    backend: Backend = "auto",
) -> Tensor:
    """Add a per-channel bias, apply leaky ReLU, scale.

    Args:
        x: ``(N, C)`` or ``(N, C, H, W)``, any floating dtype.
        bias: ``(C,)``, or None for none; computed with in the dtype of ``x``.
        slope: Slope below zero, >= 0; 1 makes the activation linear.
        gain: Factor of the result, > 0.
        backend: Who computes; ``auto`` chooses.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        ShapeError: ``x`` has another number of axes, or ``bias`` not one entry per channel.
        ConfigError: ``slope`` or ``gain`` is out of range, an operand is not floating, or they are on two devices.
        BackendError: The named backend cannot run here.
    """
    if x.ndim not in {2, 4}:
        raise ShapeError(f"`x` must have shape (N, C) or (N, C, H, W), got {tuple(x.shape)}.")
    if bias is not None and bias.shape != x.shape[1:2]:
        raise ShapeError(f"`bias` must have shape ({x.shape[1]},), got {tuple(bias.shape)}.")
    check_activation(slope, gain)
    check_operands(x, bias=bias)
    y: Tensor = kernel(resolve_backend("bias_act", x, backend), "bias_act")(x, bias, slope, gain)
    return y
