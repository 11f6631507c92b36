# SPDX-License-Identifier: Apache-2.0
r"""Convolution whose input channels are scaled per sample (StyleGAN2, Karras et al. 2020, equations 1 to 3).

With style ``s``, weight ``w`` and the equalized-learning-rate constant :math:`c = 1 / \sqrt{I k^2}`:

.. math::
    w'_{noikl} = c\, s_{ni}\, w_{oikl}, \qquad
    w''_{noikl} = w'_{noikl} / \sqrt{\textstyle\sum_{ikl} w'^2_{noikl} + 10^{-8}}

The ``reference`` backend builds these per-sample weights. The ``torch`` backend scales activations instead: scaling the
input channels before one shared convolution, and the output channels after it, is the same function, needs no
per-sample weight, and its style gradient needs no weight-gradient convolution.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_semigan.errors import ConfigError, check_shape
from monai_semigan.ops.backend import Backend, resolve_backend
from monai_semigan.ops.upfirdn2d import upfirdn2d

__all__ = ["DEMODULATION_EPSILON", "modulated_conv2d"]

DEMODULATION_EPSILON = 1e-8
"""Keeps the demodulation finite (StyleGAN2, equation 3)."""


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    *,
    demodulate: bool = True,
    up_taps: Tensor | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """Convolve with style-scaled, optionally demodulated weights; optionally upsample by 2.

    Args:
        x: Feature maps, ``(N, I, H, W)``; float32, float64 or bfloat16. Style and demodulation are computed in the
            dtype of ``style``, which should be at least float32.
        weight: ``(O, I, k, k)`` with odd ``k``, of unit variance: the constant ``c`` above is applied here.
        style: ``(N, I)`` factors of the input channels.
        demodulate: Normalize each output channel (equation 3).
        up_taps: FIR taps ``(T,)`` that sum to 1: upsample by 2 with a transposed convolution followed by this filter.
        backend: ``reference`` or ``torch``; ``auto`` chooses.

    Returns:
        ``(N, O, H, W)``, or ``(N, O, 2H, 2W)`` with ``up_taps``; dtype of ``x``.

    Raises:
        ShapeError: Channels or batch sizes do not agree.
        ConfigError: ``k`` is even, or upsampling is asked for with ``k`` other than 3.
    """
    size = check_shape("x", x.shape, "N I H W")
    kernel = check_shape("weight", weight.shape, f"O {size['I']} K K")["K"]
    check_shape("style", style.shape, f"{size['N']} {size['I']}")
    if kernel % 2 == 0 or (up_taps is not None and kernel != 3):
        raise ConfigError(f"`weight` must have an odd size (3 with upsampling), got {kernel} x {kernel}.")
    style = style * (1 / math.sqrt(size["I"] * kernel**2))
    run = _per_sample_weights if resolve_backend(backend) == "reference" else _scaled_activations
    return run(x, weight, style, demodulate, up_taps)


def _per_sample_weights(x: Tensor, weight: Tensor, style: Tensor, demodulate: bool, up_taps: Tensor | None) -> Tensor:
    weights = weight[None] * style[:, None, :, None, None]  # (N, O, I, k, k)
    if demodulate:
        energy = weights.square().sum(dim=(2, 3, 4), keepdim=True)
        weights = weights * torch.rsqrt(energy + DEMODULATION_EPSILON)
    outputs = [
        _convolve(sample[None], w, up_taps, "reference") for sample, w in zip(x, weights.to(x.dtype), strict=True)
    ]
    return torch.cat(outputs)


def _scaled_activations(x: Tensor, weight: Tensor, style: Tensor, demodulate: bool, up_taps: Tensor | None) -> Tensor:
    y = _convolve(x * style.to(x.dtype)[:, :, None, None], weight.to(x.dtype), up_taps, "torch")
    if demodulate:
        energy = style.square() @ weight.square().sum(dim=(2, 3)).T.to(style.dtype)  # (N, O)
        y = y * torch.rsqrt(energy + DEMODULATION_EPSILON).to(y.dtype)[:, :, None, None]
    return y


def _convolve(x: Tensor, weight: Tensor, up_taps: Tensor | None, backend: Backend) -> Tensor:
    if up_taps is None:
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # (N, O, 2H + 1, 2W + 1)
    # The taps sum to 1 and the zeros between samples are three quarters of the map: gain 4 keeps the mean.
    excess = len(up_taps) - 2
    return upfirdn2d(y, up_taps, padding=((excess + 1) // 2, excess // 2), gain=4.0, backend=backend)
