# SPDX-License-Identifier: Apache-2.0
"""Time variants of one task in turns, so that a machine's other work falls on all of them alike.

Process CPU seconds are what ratios are built from: on a shared machine wall time measures the neighbours too.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Row", "Timing", "compare"]


@dataclass(frozen=True)
class Timing:
    """Median seconds of one variant, with the smallest and largest CPU seconds."""

    cpu_s: float
    wall_s: float
    low_cpu_s: float
    high_cpu_s: float
    repeats: int


@dataclass(frozen=True)
class Row:
    """One measured line.

    Attributes:
        task: What was done.
        size_px: Side of the image; 0 where there is none.
        batch: Images at once; 0 where that has no meaning.
        values: By variant; the unit is in ``unit``.
        unit: ``CPU-s``, ``GiB``, ``GFLOP`` or ``s``.
        ratios: By variant, how many times better than the base; empty if there is nothing to compare with.
        details: Timings, limits, notes.
    """

    task: str
    size_px: int
    batch: int
    values: dict[str, float]
    unit: str
    ratios: dict[str, float]
    details: dict[str, Any]

    @classmethod
    def of(
        cls, task: str, size_px: int, batch: int, values: Mapping[str, float], *, unit: str, base: str, **details: Any
    ) -> Row:
        """Build a row; every variant's ratio is the base's value over its own."""
        ratios = {name: values[base] / value for name, value in values.items() if base in values and name != base}
        return cls(task, size_px, batch, dict(values), unit, ratios, details)

    @classmethod
    def of_timings(
        cls, task: str, size_px: int, batch: int, timings: Mapping[str, Timing], *, base: str, **details: Any
    ) -> Row:
        """Build a row of CPU seconds."""
        values = {name: timing.cpu_s for name, timing in timings.items()}
        kept = {name: vars(timing) for name, timing in timings.items()}
        return cls.of(task, size_px, batch, values, unit="CPU-s", base=base, timings=kept, **details)


def compare(variants: Mapping[str, Callable[[], object]], *, repeats: int, warm_up: bool = True) -> dict[str, Timing]:
    """Run every variant once to warm up, then all of them in turns."""
    if warm_up:
        for run in variants.values():
            run()
    cpu: dict[str, list[float]] = {name: [] for name in variants}
    wall: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(repeats):
        for name, run in variants.items():
            started, started_cpu = time.perf_counter(), time.process_time()
            run()
            cpu[name].append(time.process_time() - started_cpu)
            wall[name].append(time.perf_counter() - started)
    return {
        name: Timing(
            statistics.median(cpu[name]), statistics.median(wall[name]), min(cpu[name]), max(cpu[name]), repeats
        )
        for name in variants
    }
