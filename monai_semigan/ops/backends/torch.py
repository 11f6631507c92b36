# SPDX-License-Identifier: Apache-2.0
"""PyTorch's own functions in as few passes as they allow: fast on any device, and can be exported."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_semigan.ops.backend import register_backend
from monai_semigan.ops.backends.composed import UP_GAIN, epilogue_padding

__all__ = ["bias_act", "styled_epilogue", "upfirdn2d"]


def upfirdn2d(x: Tensor, taps: Tensor, up: int, down: int, padding: tuple[int, int], gain: float) -> Tensor:
    """Resample by depthwise convolutions: on a CPU in channels_last this is the fastest form by a factor of 2."""
    if x.dtype == torch.bfloat16 and down > 1:
        # The backward pass of strided depthwise bfloat16 convolutions is 5 to 10 times slower on CPUs than float32.
        return upfirdn2d(x.float(), taps.to(x.dtype).float(), up, down, padding, gain).to(x.dtype)
    taps = taps.to(x.dtype)
    before, after = padding
    if up > 1:
        # A transposed convolution never touches the zeros. It returns every overlap; the padding crops it.
        x = F.conv_transpose2d(x, _kernel(taps, x.shape[1], gain), stride=up, groups=x.shape[1])
        before, after = before - len(taps) + 1, after + up - len(taps)
        x = F.pad(x, (before, after, before, after))
        return x[:, :, ::down, ::down]
    conv_padding = 0
    if before == after and before >= 0:
        conv_padding = before
    else:
        x = F.pad(x, (before, after, before, after))
    kernel = _kernel(taps.flip(0), x.shape[1], gain)
    return F.conv2d(x, kernel, stride=down, padding=conv_padding, groups=x.shape[1])


def _kernel(taps: Tensor, channels: int, gain: float) -> Tensor:
    return (taps[:, None] * taps[None, :] * gain).expand(channels, 1, -1, -1)  # (C, 1, T, T)


def bias_act(x: Tensor, bias: Tensor | None, slope: float, gain: float) -> Tensor:
    """Put both factors into one pass: leaky ReLU is positively homogeneous, so the gain can be applied before it."""
    if bias is None:
        scaled = x * gain
    else:
        bias = bias.to(x.dtype).reshape(1, -1, *[1] * (x.ndim - 2))
        scaled = torch.add(bias * gain, x, alpha=gain)
    return scaled if slope == 1 else F.leaky_relu_(scaled, slope)


def styled_epilogue(
    x: Tensor,
    demodulation: Tensor | None,
    noise: Tensor | None,
    bias: Tensor | None,
    up_taps: Tensor | None,
    slope: float,
    gain: float,
) -> Tensor:
    """Work in place after the first pass: fresh memory for a large map costs a CPU many times what the pass does.

    The gain goes into the operands, as in `bias_act`.
    """
    if up_taps is not None:
        x = upfirdn2d(x, up_taps, 1, 1, epilogue_padding(len(up_taps)), UP_GAIN)
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


register_backend("torch", kernels={"bias_act": bias_act, "styled_epilogue": styled_epilogue, "upfirdn2d": upfirdn2d})
