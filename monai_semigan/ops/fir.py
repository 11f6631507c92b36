# SPDX-License-Identifier: Apache-2.0
"""The FIR filter of StyleGAN2 and the paddings that keep its resampling centred.

StyleGAN2 (Karras et al. 2020, appendix B) low-passes every change of resolution with the binomial taps [1, 3, 3, 1].
The paddings below place output pixel centres where bilinear resampling puts them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["BINOMIAL_TAPS", "downsample_padding", "normalized_taps", "upsample_padding"]

BINOMIAL_TAPS = (1.0, 3.0, 3.0, 1.0)
"""Filter taps before normalization (StyleGAN2, configuration E and F)."""


def normalized_taps(taps: Sequence[float] = BINOMIAL_TAPS) -> Tensor:
    """Scale taps to sum 1, ``(T,)`` float32."""
    values = torch.tensor(taps, dtype=torch.float32)
    return values / values.sum()


def upsample_padding(num_taps: int, factor: int = 2) -> tuple[int, int]:
    """Padding ``(before, after)`` for `upfirdn2d` with ``up=factor``: ``(H) -> (H * factor)``, in upsampled pixels."""
    excess = num_taps - factor
    return (excess + 1) // 2 + factor - 1, excess // 2


def downsample_padding(num_taps: int, factor: int = 2, *, kernel_size: int = 1) -> tuple[int, int]:
    """Padding ``(before, after)`` for the low-pass before a convolution of ``kernel_size`` with ``stride=factor``.

    The filtered map is then as large as the strided convolution needs to return ``H / factor``.
    """
    excess = num_taps - factor + kernel_size - 1
    return (excess + 1) // 2, excess // 2
