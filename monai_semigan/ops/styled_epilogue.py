# SPDX-License-Identifier: Apache-2.0
r"""What follows the convolution in a layer of StyleGAN2: filter, demodulation, noise, bias, activation.

With the convolved map ``y``, its FIR-filtered form ``f * y`` after a transposed convolution, demodulation ``d``, noise
``n``, bias ``b``, leaky ReLU ``a`` and gain ``g`` (Karras et al. 2020, figure 2 and equation 3):

.. math::
    z_{nohw} = g\, a\big(d_{no} (f * y)_{nohw} + n_{nhw} + b_o\big)

One pass over memory holds all of it, if a kernel does it in one: on a GPU that takes about as long as the convolution.
"""

from __future__ import annotations

from torch import Tensor

from monai_semigan.errors import ConfigError, check_shape
from monai_semigan.ops.backend import Backend, kernel, resolve_backend
from monai_semigan.ops.bias_act import ACTIVATION_GAIN, LEAKY_SLOPE
from monai_semigan.ops.operands import check_activation, check_operands

__all__ = ["styled_epilogue"]


def styled_epilogue(
    x: Tensor,
    *,
    demodulation: Tensor | None = None,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    up_taps: Tensor | None = None,
    slope: float = LEAKY_SLOPE,
    gain: float = ACTIVATION_GAIN,
    backend: Backend = "auto",
) -> Tensor:
    """Filter, scale each channel, add noise and bias, apply leaky ReLU, scale.

    Args:
        x: Result of the convolution, ``(N, O, H, W)``, any floating dtype.
        demodulation: Factors of the channels, ``(N, O)``, or None for 1.
        noise: ``(N, 1, H', W')`` or ``(1, 1, H', W')``, already scaled by its strength, or None for none.
        bias: ``(O,)``, or None for none.
        up_taps: FIR taps ``(T,)``, T >= 2, that sum to 1, after a transposed convolution with stride 2; None for no
            filter. Not differentiated.
        slope: Slope of the activation below zero, >= 0; 1 makes it linear.
        gain: Factor of the result, > 0.
        backend: Who computes; ``auto`` chooses.

    Returns:
        ``(N, O, H', W')`` in the dtype of ``x``, with ``H' = H``, or ``H' = H - 1`` with ``up_taps``.

    Raises:
        ShapeError: The operands' shapes do not agree.
        ConfigError: The operands are not all floating and on one device, ``slope`` or ``gain`` is out of range, or
            taps or pixels are too few.
        BackendError: The named backend cannot run here.
    """
    n, o, h, w = check_shape("x", x.shape, "N O H W").values()
    if up_taps is not None:
        if check_shape("up_taps", up_taps.shape, "T")["T"] < 2 or min(h, w) < 2:
            raise ConfigError(
                f"`up_taps` must have 2 taps or more, and `x` 2 pixels per axis, got {len(up_taps)} and {h} x {w}."
            )
        up_taps = up_taps.detach().to(x.device)
        h, w = h - 1, w - 1
    if demodulation is not None:
        check_shape("demodulation", demodulation.shape, f"{n} {o}")
    if noise is not None:
        check_shape("noise", noise.shape, f"{1 if noise.shape[:1] == (1,) else n} 1 {h} {w}")
    if bias is not None:
        check_shape("bias", bias.shape, f"{o}")
    check_activation(slope, gain)
    check_operands(x, demodulation=demodulation, noise=noise, bias=bias, up_taps=up_taps)
    chosen = resolve_backend("styled_epilogue", x, backend)
    y: Tensor = kernel(chosen, "styled_epilogue")(x, demodulation, noise, bias, up_taps, slope, gain)
    return y
