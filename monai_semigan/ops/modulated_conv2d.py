# SPDX-License-Identifier: Apache-2.0
r"""Convolution whose input channels are scaled per sample (StyleGAN2, Karras et al. 2020, equations 1 to 3).

With style ``s``, weight ``w`` and the equalized-learning-rate constant :math:`c = 1 / \sqrt{I k^2}`:

.. math::
    w'_{noikl} = c\, s_{ni}\, w_{oikl}, \qquad
    w''_{noikl} = w'_{noikl} / \sqrt{\textstyle\sum_{ikl} w'^2_{noikl} + 10^{-8}}

The ``reference`` backend builds these per-sample weights. The ``torch`` backend scales activations instead: scaling the
input channels before one shared convolution, and the output channels after it, is the same function, needs no
per-sample weight, and its style gradient needs no weight-gradient convolution. The other backends do as `torch` does,
with their own kernels for what follows the convolution.
"""

from __future__ import annotations

import math

from torch import Tensor

from monai_semigan.errors import ConfigError, check_shape
from monai_semigan.ops.backend import Backend, kernel, resolve_backend
from monai_semigan.ops.operands import check_operands
from monai_semigan.ops.styled_epilogue import styled_epilogue

__all__ = ["modulated_conv2d", "styled_conv2d"]


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
        backend: Who computes; ``auto`` chooses.

    Returns:
        ``(N, O, H, W)``, or ``(N, O, 2H, 2W)`` with ``up_taps``; dtype of ``x``.

    Raises:
        ShapeError: Channels or batch sizes do not agree.
        ConfigError: ``k`` is even, or upsampling is asked for with ``k`` other than 3, or the operands are not all
            floating and on one device.
        BackendError: The named backend cannot run here.
    """
    chosen = _check(x, weight, style, up_taps, backend)
    y, demodulation = _convolve(x, weight, style, demodulate, up_taps is not None, chosen)
    return styled_epilogue(y, demodulation=demodulation, up_taps=up_taps, slope=1.0, gain=1.0, backend=chosen)


def styled_conv2d(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    *,
    noise: Tensor | None,
    bias: Tensor,
    up_taps: Tensor | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """Compute a whole layer: demodulated `modulated_conv2d`, plus noise, plus bias, leaky ReLU with gain.

    What follows the convolution is one op, `styled_epilogue`, whose ``noise`` and ``bias`` these are; the other
    arguments, shapes and errors are those of `modulated_conv2d`.
    """
    chosen = _check(x, weight, style, up_taps, backend)
    y, demodulation = _convolve(x, weight, style, True, up_taps is not None, chosen)
    return styled_epilogue(y, demodulation=demodulation, noise=noise, bias=bias, up_taps=up_taps, backend=chosen)


def _check(x: Tensor, weight: Tensor, style: Tensor, up_taps: Tensor | None, backend: Backend) -> str:
    size = check_shape("x", x.shape, "N I H W")
    size_k = check_shape("weight", weight.shape, f"O {size['I']} K K")["K"]
    check_shape("style", style.shape, f"{size['N']} {size['I']}")
    if size_k % 2 == 0 or (up_taps is not None and size_k != 3):
        raise ConfigError(f"`weight` must have an odd size (3 with upsampling), got {size_k} x {size_k}.")
    check_operands(x, weight=weight, style=style)
    return resolve_backend("modulated_conv2d", x, backend)


def _convolve(
    x: Tensor, weight: Tensor, style: Tensor, demodulate: bool, up: bool, backend: str
) -> tuple[Tensor, Tensor | None]:
    """Return the convolution and what is left to scale it by, ``(N, O)`` or None."""
    style = style * (1 / math.sqrt(weight[0].numel()))  # the equalized learning rate
    y, demodulation = kernel(backend, "modulated_conv2d")(x, weight, style, demodulate, up)
    return y, demodulation
