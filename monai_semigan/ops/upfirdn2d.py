# SPDX-License-Identifier: Apache-2.0
"""Pad, upsample, filter and downsample feature maps in one operation.

Definition, along each spatial axis: (1) put ``up - 1`` zeros behind every sample; (2) pad with zeros, or crop where the
padding is negative; (3) convolve with the taps; (4) keep every ``down``-th sample; multiply the result by ``gain``.
With taps that sum to 1 and ``gain = up ** 2`` the mean is kept. The operation is linear in ``x``, hence differentiable
to any order. (Multirate filtering: Oppenheim and Schafer, Discrete-Time Signal Processing, section 4.6.)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_semigan.errors import ConfigError, check_shape
from monai_semigan.ops.backend import Backend, kernel, resolve_backend
from monai_semigan.ops.operands import check_operands

__all__ = ["upfirdn2d"]


def upfirdn2d(
    x: Tensor,
    taps: Tensor,
    *,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int] = (0, 0),
    gain: float = 1.0,
    backend: Backend = "auto",
) -> Tensor:
    """Resample ``x`` by ``up / down`` through a separable FIR filter.

    Args:
        x: Feature maps, ``(N, C, H, W)``, any floating dtype.
        taps: Filter taps, ``(T,)``, applied along H and W. Not differentiated; moved to the device of ``x``.
        up: Integer upsampling factor, >= 1.
        down: Integer downsampling factor, >= 1.
        padding: ``(before, after)`` on both axes, in upsampled pixels; negative values crop.
        gain: Factor of the whole operation.
        backend: Who computes; ``auto`` chooses.

    Returns:
        ``(N, C, H', W')`` with ``H' = (H * up + sum(padding) - T) // down + 1``; dtype of ``x``.

    Raises:
        ShapeError: ``x`` or ``taps`` has another number of axes.
        ConfigError: A factor is below 1, the padded input is shorter than the filter, or an operand is not
            floating.
        BackendError: The named backend cannot run here.
    """
    size = check_shape("x", x.shape, "N C H W")
    num_taps = check_shape("taps", taps.shape, "T")["T"]
    if up < 1 or down < 1:
        raise ConfigError(f"`up` and `down` must be >= 1, got up={up}, down={down}.")
    if min(size["H"], size["W"]) * up + sum(padding) < num_taps:
        raise ConfigError(
            f"`x` must have at least {num_taps} pixels per axis after padding {padding}, got {tuple(x.shape[2:])}."
        )
    taps = taps.detach().to(device=x.device)
    check_operands(x, taps=taps)
    chosen = resolve_backend("upfirdn2d", x, backend)
    if chosen in {"triton", "stylegan"}:
        return kernel(chosen, "upfirdn2d")(x, taps, up, down, padding, gain)
    taps = taps.to(x.dtype)
    if chosen == "reference":
        y = _reference_1d(x.mT, taps, up, down, padding).mT  # along H
        return _reference_1d(y, taps, up, down, padding) * gain  # along W
    return _depthwise(x, taps, up, down, padding, gain)


def _reference_1d(x: Tensor, taps: Tensor, up: int, down: int, padding: tuple[int, int]) -> Tensor:
    *lead, length = x.shape
    upsampled = x.new_zeros(*lead, length, up)
    upsampled[..., 0] = x
    padded = F.pad(upsampled.reshape(*lead, length * up), padding)
    window = padded.unfold(-1, len(taps), 1)  # (..., out, T)
    return (window * taps.flip(0)).sum(-1)[..., ::down]


def _depthwise(x: Tensor, taps: Tensor, up: int, down: int, padding: tuple[int, int], gain: float) -> Tensor:
    """Depthwise convolutions: on a CPU in channels_last this is the fastest form by a factor of 2."""
    if x.dtype == torch.bfloat16 and down > 1:
        # The backward pass of strided depthwise bfloat16 convolutions is 5 to 10 times slower on CPUs than float32.
        return _depthwise(x.float(), taps.float(), up, down, padding, gain).to(x.dtype)
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
