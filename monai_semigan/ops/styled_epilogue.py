# SPDX-License-Identifier: Apache-2.0
r"""What follows the convolution in a layer of StyleGAN2: filter, demodulation, noise, bias, activation.

With the convolved map ``y``, its FIR-filtered form ``f * y`` after a transposed convolution, demodulation ``d``, noise
``n``, bias ``b``, leaky ReLU ``a`` and gain ``g`` (Karras et al. 2020, figure 2 and equation 3):

.. math::
    z_{nohw} = g\, a\big(d_{no} (f * y)_{nohw} + n_{nhw} + b_o\big)

One pass over memory holds all of it, if a kernel does it in one: on a GPU that takes about as long as the convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_semigan.errors import ConfigError, check_shape
from monai_semigan.ops.backend import Backend, Chosen, kernel, resolve_backend
from monai_semigan.ops.bias_act import ACTIVATION_GAIN, LEAKY_SLOPE, bias_act
from monai_semigan.ops.operands import check_activation, check_operands
from monai_semigan.ops.upfirdn2d import upfirdn2d

__all__ = ["UP_GAIN", "epilogue_padding", "styled_epilogue"]

UP_GAIN = 4.0
"""The taps sum to 1 and the zeros between samples are three quarters of the upsampled map: this keeps the mean."""


def epilogue_padding(num_taps: int) -> tuple[int, int]:
    """Padding of the filter, ``(before, after)``: a transposed convolution's ``2H + 1`` pixels become ``2H``."""
    excess = num_taps - 2
    return (excess + 1) // 2, excess // 2


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
    if chosen == "triton":
        return kernel(chosen, "styled_epilogue")(x, demodulation, noise, bias, up_taps, slope, gain)
    if up_taps is not None:
        x = upfirdn2d(x, up_taps, padding=epilogue_padding(len(up_taps)), gain=UP_GAIN, backend=chosen)
    if chosen == "torch":
        return _in_few_passes(x, demodulation, noise, bias, slope, gain)
    return _pass_by_pass(x, demodulation, noise, bias, slope, gain, chosen)


def _pass_by_pass(
    x: Tensor,
    demodulation: Tensor | None,
    noise: Tensor | None,
    bias: Tensor | None,
    slope: float,
    gain: float,
    backend: Chosen,
) -> Tensor:
    if demodulation is not None:
        x = x * demodulation.to(x.dtype)[:, :, None, None]
    if noise is not None:
        x = x + noise.to(x.dtype)
    if bias is None and slope == gain == 1:
        return x
    return bias_act(x, bias, slope=slope, gain=gain, backend=backend)


def _in_few_passes(
    x: Tensor, demodulation: Tensor | None, noise: Tensor | None, bias: Tensor | None, slope: float, gain: float
) -> Tensor:
    """Work in place after the first pass: fresh memory for a large map costs a CPU many times what the pass does.

    The gain goes into the operands, which leaky ReLU allows: it is positively homogeneous.
    """
    shift = None if bias is None else (bias * gain).to(x.dtype).reshape(1, -1, 1, 1)
    if demodulation is not None:
        factor = (demodulation * gain).to(x.dtype)[:, :, None, None]
        y = x * factor if shift is None else torch.addcmul(shift, x, factor)
    elif shift is not None:
        y = torch.add(shift, x, alpha=gain)
    elif gain == slope == 1 and noise is None:
        return x
    else:
        y = x * gain
    if noise is not None:
        y = y.add_((noise * gain).to(y.dtype))
    return y if slope == 1 else F.leaky_relu_(y, slope)
