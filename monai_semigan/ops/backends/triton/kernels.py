# SPDX-License-Identifier: Apache-2.0
"""The kernel. Importing this imports Triton; nothing is compiled before the first launch.

Capitals are compile-time constants. Per axis, with input index i and output index o, the filter weighs an input by

    taps[o * DOWN + NUM_TAPS - 1 - BEFORE - i * UP]        (zero outside the taps),

which is the definition in `monai_semigan.ops.upfirdn2d` solved for the tap.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["resample_and_finish"]


@triton.jit
def _filtered_row(
    x, taps, ih, ow, first_column, real, in_h, in_w, x_h, x_w,
    NUM_TAPS: tl.constexpr, UP: tl.constexpr, DOWN: tl.constexpr, BEFORE: tl.constexpr,
    COLUMNS: tl.constexpr, PLANES: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Filter an input row along W: the sum over the taps that meet a sample and not an inserted zero."""
    row = tl.zeros([1, COLUMNS, PLANES], ACC)
    real = real & (ih >= 0) & (ih < in_h)
    for k in tl.static_range((NUM_TAPS + UP - 1) // UP if NUM_TAPS > 0 else 1):
        iw = first_column + k
        value = tl.load(x + ih * x_h + iw * x_w, mask=real & (iw >= 0) & (iw < in_w), other=0).to(ACC)
        if NUM_TAPS == 0:
            row = value
        elif UP == 1:
            row += value * tl.load(taps + (NUM_TAPS - 1 - k))
        else:
            tap = ow * DOWN + (NUM_TAPS - 1 - BEFORE) - iw * UP
            row += value * tl.load(taps + tap, mask=(tap >= 0) & (tap < NUM_TAPS), other=0)
    return row


@triton.jit
def _add_row(
    total, row, taps, j, r, NUM_TAPS: tl.constexpr, UP: tl.constexpr, DOWN: tl.constexpr, OFFSET: tl.constexpr
):  # fmt: skip
    """Filter along H: add an input row to the output rows of the tile that it reaches.

    Where ``r`` is a constant the compiler decides the comparisons, and what is left is one multiply-add per tap.
    """
    tap = j * DOWN + OFFSET - r * UP
    if NUM_TAPS == 0:
        total = tl.where(j == r, row, total)
    for t in tl.static_range(NUM_TAPS):
        total = tl.where(tap == t, total + row * tl.load(taps + t), total)
    return total


@triton.jit
def resample_and_finish(
    x, y, taps, demodulation, noise, bias, gate,
    channels, in_h, in_w, out_h, out_w,
    x_n, x_c, x_h, x_w, y_n, y_c, y_h, y_w, noise_n,
    tiles_c, tiles_w, tiles_h,
    NUM_TAPS: tl.constexpr, UP: tl.constexpr, DOWN: tl.constexpr, BEFORE: tl.constexpr,
    SLOPE: tl.constexpr, GAIN: tl.constexpr,
    ROWS: tl.constexpr, REAL_ROWS: tl.constexpr, COLUMNS: tl.constexpr, PLANES: tl.constexpr,
    FIRST_ROW: tl.constexpr, IN_ROWS: tl.constexpr, UNROLL: tl.constexpr, WIDE: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """``y = act(demodulation * upfirdn(x) + noise + bias)``; every part but the filter's loop can be left out (None).

    A program makes a tile of ``REAL_ROWS x COLUMNS`` pixels of ``PLANES`` channels of one sample. It reads each input
    row of the tile and its halo once, filters it along W, and adds it to the output rows that it reaches.

    Args:
        x, y: Input and output, with a stride per axis.
        taps: ``(NUM_TAPS,)`` in the accumulator's dtype. ``NUM_TAPS`` 0: no filter.
        demodulation: ``(N, C)``. noise: ``(N or 1, 1, H', W')``, ``noise_n`` 0 for one sample. bias: ``(C,)``.
        gate: With y's strides; its sign, in place of the result's own, chooses the slope.
        ROWS: ``REAL_ROWS`` rounded up to a power of two.
        FIRST_ROW, IN_ROWS: First input row that the first tile needs, and how many a tile needs.
        UNROLL: Unroll the loop over the input rows.
        WIDE: Index with 64 bits.
        ACC: Dtype of the sums.
    """
    tile = tl.program_id(0)
    if WIDE:
        tile = tile.to(tl.int64)  # every index below is computed from it
    c = (tile % tiles_c) * PLANES + tl.arange(0, PLANES)[None, None, :]
    tile = tile // tiles_c
    ow = (tile % tiles_w) * COLUMNS + tl.arange(0, COLUMNS)[None, :, None]
    tile = tile // tiles_w
    at_h = tile % tiles_h
    n = tile // tiles_h
    j = tl.arange(0, ROWS)[:, None, None]
    real = c < channels

    # Rounded up; integer division truncates, so that the numerator is kept positive.
    SHIFT: tl.constexpr = (BEFORE + UP - 1) // UP if BEFORE > 0 else 0
    first_column = (ow * DOWN + (UP * SHIFT - BEFORE + UP - 1)) // UP - SHIFT
    first_row = at_h * (REAL_ROWS * DOWN // UP) + FIRST_ROW + tl.arange(0, 1)[:, None, None]
    total = tl.zeros([ROWS, COLUMNS, PLANES], ACC)
    source = x + n * x_n + c * x_c
    if UNROLL:
        for r in tl.static_range(IN_ROWS):
            row = _filtered_row(source, taps, first_row + r, ow, first_column, real, in_h, in_w, x_h, x_w,
                                NUM_TAPS, UP, DOWN, BEFORE, COLUMNS, PLANES, ACC)  # fmt: skip
            total = _add_row(total, row, taps, j, r, NUM_TAPS, UP, DOWN, NUM_TAPS - 1 - BEFORE - FIRST_ROW * UP)
    else:
        for r in range(IN_ROWS):
            row = _filtered_row(source, taps, first_row + r, ow, first_column, real, in_h, in_w, x_h, x_w,
                                NUM_TAPS, UP, DOWN, BEFORE, COLUMNS, PLANES, ACC)  # fmt: skip
            total = _add_row(total, row, taps, j, r, NUM_TAPS, UP, DOWN, NUM_TAPS - 1 - BEFORE - FIRST_ROW * UP)

    oh = at_h * REAL_ROWS + j
    pixel_is_real = (j < REAL_ROWS) & (oh < out_h) & (ow < out_w)
    place = n * y_n + c * y_c + oh * y_h + ow * y_w
    if demodulation is not None:
        total *= tl.load(demodulation + n * channels + c, mask=real, other=0).to(ACC)
    if noise is not None:
        total += tl.load(noise + n * noise_n + oh * out_w + ow, mask=pixel_is_real, other=0).to(ACC)
    if bias is not None:
        total += tl.load(bias + c, mask=real, other=0).to(ACC)
    if SLOPE != 1:
        sign = total
        if gate is not None:
            sign = tl.load(gate + place, mask=pixel_is_real & real, other=0).to(ACC)
        total = tl.where(sign > 0, total, total * SLOPE)
    total *= GAIN
    tl.store(y + place, total.to(y.dtype.element_ty), mask=pixel_is_real & real)
