# SPDX-License-Identifier: Apache-2.0
"""What speed rests on, as counts that no busy machine can change: operations and memory of an inversion step."""

from __future__ import annotations

import sys

import pytest

from benchmarks.counts import forward_gflop, inversion_step_gflop
from benchmarks.memory import peak_growth_bytes
from benchmarks.programs import GROUPED, OURS

PROGRAMS = [OURS, GROUPED]


def test_an_inversion_step_takes_two_thirds_of_the_operations_of_the_grouped_formulation() -> None:
    gflop = inversion_step_gflop(64, PROGRAMS)

    assert gflop[OURS] <= 0.70 * gflop[GROUPED]
    assert gflop[GROUPED] == pytest.approx(104.2, rel=0.01)  # counted before on the official program


def test_rendering_takes_as_many_operations_as_in_the_grouped_formulation() -> None:
    gflop = forward_gflop(64, PROGRAMS)

    assert gflop[OURS] == pytest.approx(gflop[GROUPED], rel=0.01)
    assert gflop[OURS] == pytest.approx(32.3, rel=0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
def test_an_inversion_step_takes_little_of_the_memory_of_the_grouped_formulation() -> None:
    channels = [128, 128, 128, 128, 128, 64]
    growth = {name: peak_growth_bytes("inversion", name, size=128, batch=2, channels=channels) for name in PROGRAMS}

    assert growth[GROUPED] > 100 * 2**20
    assert growth[OURS] <= 0.6 * growth[GROUPED]
