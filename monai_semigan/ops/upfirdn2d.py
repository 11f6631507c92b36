# SPDX-License-Identifier: Apache-2.0
"""Pad, upsample, filter and downsample feature maps in one operation.

Definition, along each spatial axis: (1) put ``up - 1`` zeros behind every sample; (2) pad with zeros, or crop where the
padding is negative; (3) convolve with the taps; (4) keep every ``down``-th sample; multiply the result by ``gain``.
With taps that sum to 1 and ``gain = up ** 2`` the mean is kept. The operation is linear in ``x``, hence differentiable
to any order. (Multirate filtering: Oppenheim and Schafer, Discrete-Time Signal Processing, section 4.6.)
"""

from __future__ import annotations

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
    y: Tensor = kernel(chosen, "upfirdn2d")(x, taps, up, down, padding, gain)
    return y
