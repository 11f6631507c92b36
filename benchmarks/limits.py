# SPDX-License-Identifier: Apache-2.0
"""What this machine can do at most, measured in the run whose results it bounds: products, convolutions, copies."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from benchmarks.measure import compare

__all__ = ["machine_limits"]

GEMM_SIDE = 1536
CONV_CHANNELS, CONV_SIDE, CONV_BATCH = 512, 32, 4
COPY_BYTES = 128 * 2**20


def machine_limits(*, repeats: int = 10) -> dict[str, float]:
    """Return ``gemm_*`` and ``conv_*`` for float32 and bfloat16 in GFLOP per CPU second, ``copy`` in GB per CPU second.

    The convolution is the generator's heaviest kind, 3x3 on 512 channels in channels_last: on processors for which the
    matrix library was not made it is faster than a product. A copied byte is counted once, though it is read and
    written. CPU seconds: of one core, whatever the threads. The best of many short runs: on a shared machine most of
    them share their core's units with a neighbour.
    """
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(GEMM_SIDE, GEMM_SIDE, generator=generator) for _ in range(2))
    x = torch.randn(CONV_BATCH, CONV_CHANNELS, CONV_SIDE, CONV_SIDE, generator=generator)
    weight = torch.randn(CONV_CHANNELS, CONV_CHANNELS, 3, 3, generator=generator)
    x, weight = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (x, weight))
    source = torch.zeros(COPY_BYTES // 4)
    target = torch.empty_like(source)
    runs, work = {"copy": lambda: target.copy_(source)}, {"copy": 1e-9 * COPY_BYTES}
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        operands = tuple(tensor.to(dtype) for tensor in (a, b, x, weight))
        runs[f"gemm_{name}"] = lambda given=operands: given[0] @ given[1]
        runs[f"conv_{name}"] = lambda given=operands: F.conv2d(given[2], given[3], padding=1)
        work[f"gemm_{name}"] = 2e-9 * GEMM_SIDE**3
        work[f"conv_{name}"] = 2e-9 * 9 * CONV_BATCH * CONV_SIDE**2 * CONV_CHANNELS**2
    timings = compare(runs, repeats=repeats)
    return {name: work[name] / timing.low_cpu_s for name, timing in timings.items()}
