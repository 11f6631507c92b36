# SPDX-License-Identifier: Apache-2.0
"""Lay an operation out in tiles and launch the kernel."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Finish", "Resampling", "accumulator", "is_wide", "launch"]

TILE = 1024
"""Pixels times channels of a row of a tile: 8 per thread, 16 bytes in 16 bits, the widest load there is."""

TILE_ROWS = 8
"""Output rows of a tile. More re-read less of the halo and need more registers."""

TILE_PLANES = 64
"""Channels of a tile in channels_last: 128 bytes in 16 bits, one cache line. The rest of the tile are columns."""

MAX_UNROLLED = 128
"""Rows times taps up to which the loop over the rows is unrolled; beyond it compiling takes too long."""

INDEX_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class Resampling:
    """The filter: ``taps (T,)`` or None for none; ``before`` in upsampled pixels, negative crops."""

    taps: Tensor | None
    up: int = 1
    down: int = 1
    before: int = 0


@dataclass(frozen=True)
class Finish:
    """What follows the filter. Every tensor may be None; shapes as in `kernels.resample_and_finish`."""

    demodulation: Tensor | None = None
    noise: Tensor | None = None
    bias: Tensor | None = None
    gate: Tensor | None = None
    slope: float = 1.0
    gain: float = 1.0


def accumulator(x: Tensor) -> torch.dtype:
    """The dtype of the sums: float32, and float64 for float64."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def is_wide(*tensors: Tensor) -> bool:
    """Whether an offset in any of the tensors does not fit into 32 bits."""
    return any(
        sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True)) >= INDEX_LIMIT
        for x in tensors
    )


def launch(
    x: Tensor, size: tuple[int, int], resampling: Resampling, finish: Finish, *, wide: bool | None = None
) -> Tensor:
    """Run the kernel.

    Args:
        x: ``(N, C, H, W)``, any strides.
        size: Height and width of the result.
        resampling: The filter.
        finish: What follows it.
        wide: Index with 64 bits; None does so where it is needed.

    Returns:
        ``(N, C, *size)`` in the dtype and the memory format of ``x``; with a gate in the strides of the gate.
    """
    n, channels = x.shape[:2]
    planes_are_inner = channels > 1 and x.stride(1) == 1 and x.stride(3) != 1
    if finish.gate is not None:
        y = torch.empty_strided(finish.gate.shape, finish.gate.stride(), dtype=x.dtype, device=x.device)
        planes_are_inner = channels > 1 and y.stride(1) == 1 and y.stride(3) != 1
    else:
        layout = torch.channels_last if planes_are_inner else torch.contiguous_format
        y = torch.empty((n, channels, *size), dtype=x.dtype, device=x.device, memory_format=layout)
    if y.numel() == 0:
        return y
    noise = None if finish.noise is None else finish.noise.contiguous()
    arguments = {
        "x": x,
        "y": y,
        "taps": resampling.taps,
        "demodulation": None if finish.demodulation is None else finish.demodulation.contiguous(),
        "noise": noise,
        "bias": None if finish.bias is None else finish.bias.contiguous(),
        "gate": finish.gate,
        **dict(zip(("channels", "in_h", "in_w", "out_h", "out_w"), (channels, *x.shape[2:], *size), strict=True)),
        **dict(zip(("x_n", "x_c", "x_h", "x_w"), x.stride(), strict=True)),
        **dict(zip(("y_n", "y_c", "y_h", "y_w"), y.stride(), strict=True)),
        "noise_n": 0 if noise is None or len(noise) == 1 else noise.stride(0),
    }
    tile = tile_of(resampling, channels, size, planes_are_inner=planes_are_inner)
    tiles = {
        "tiles_c": -(-channels // tile["PLANES"]),
        "tiles_w": -(-size[1] // tile["COLUMNS"]),
        "tiles_h": -(-size[0] // tile["REAL_ROWS"]),
    }
    constants = {
        "SLOPE": float(finish.slope),
        "GAIN": float(finish.gain),
        "WIDE": is_wide(x, y) if wide is None else wide,
    }
    _run(x, n * math.prod(tiles.values()), {**arguments, **tiles, **tile, **constants})
    return y


def _run(x: Tensor, programs: int, arguments: dict[str, Any]) -> None:
    import triton.language as tl  # noqa: PLC0415  (optional)

    from monai_semigan.ops.backends.triton.kernels import resample_and_finish  # noqa: PLC0415  (imports triton)

    arguments["ACC"] = tl.float64 if x.dtype == torch.float64 else tl.float32
    with torch.cuda.device(x.device) if x.is_cuda else nullcontext():
        resample_and_finish[programs,](**arguments, num_warps=4, enable_fp_fusion=True)


def tile_of(
    resampling: Resampling, channels: int, size: tuple[int, int], *, planes_are_inner: bool
) -> dict[str, int | bool]:
    """Choose the kernel's compile-time sizes."""
    taps = 0 if resampling.taps is None else len(resampling.taps)
    up, down, before = resampling.up, resampling.down, resampling.before
    height, width = size
    if planes_are_inner:
        planes = min(_power_of_two(channels), TILE_PLANES)
        columns = min(_power_of_two(width), max(TILE // planes, 1))
    else:
        columns = min(_power_of_two(width), TILE)
        planes = min(_power_of_two(channels), max(TILE // columns, 1))
    period = up // math.gcd(up, down)  # after so many rows the phase of the filter repeats
    rows = _power_of_two(max(min(TILE_ROWS // down, height), period))
    real_rows = rows // period * period
    first_row = -(before // up)
    last_row = ((real_rows - 1) * down + max(taps, 1) - 1 - before) // up
    in_rows = last_row - first_row + 1
    return {
        "NUM_TAPS": taps,
        "UP": up,
        "DOWN": down,
        "BEFORE": before,
        "ROWS": rows,
        "REAL_ROWS": real_rows,
        "COLUMNS": columns,
        "PLANES": planes,
        "FIRST_ROW": first_row,
        "IN_ROWS": in_rows,
        "UNROLL": in_rows * max(taps, 1) <= MAX_UNROLLED,
    }


def _power_of_two(value: int) -> int:
    return 1 << max(value - 1, 0).bit_length()
