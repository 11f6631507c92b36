# SPDX-License-Identifier: Apache-2.0
"""What this machine can do at most: matrix products and copies, measured in the run whose results they bound."""

from __future__ import annotations

import torch

from benchmarks.measure import compare

__all__ = ["machine_limits"]

GEMM_SIDE = 2048
COPY_BYTES = 256 * 2**20


def machine_limits(*, repeats: int = 5) -> dict[str, float]:
    """Return ``gemm_float32`` and ``gemm_bfloat16`` in GFLOP per CPU second, ``copy`` in GB per CPU second.

    A copied byte is counted once, though it is read and written. CPU seconds: of one core, whatever the threads.
    """
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(GEMM_SIDE, GEMM_SIDE, generator=generator) for _ in range(2))
    half_a, half_b = a.bfloat16(), b.bfloat16()
    source = torch.zeros(COPY_BYTES // 4)
    target = torch.empty_like(source)
    runs = {
        "gemm_float32": lambda: a @ b,
        "gemm_bfloat16": lambda: half_a @ half_b,
        "copy": lambda: target.copy_(source),
    }
    work = {"gemm_float32": 2e-9 * GEMM_SIDE**3, "gemm_bfloat16": 2e-9 * GEMM_SIDE**3, "copy": 1e-9 * COPY_BYTES}
    timings = compare(runs, repeats=repeats)
    return {name: work[name] / timing.low_cpu_s for name, timing in timings.items()}
