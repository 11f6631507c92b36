"""Dask's workers are killed while they work: every case is there, once, and as a quiet run makes it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks import cohort_kills

pytestmark = pytest.mark.e2e


def test_killed_workers_lose_nothing(tmp_path: Path) -> None:
    images = cohort_kills.write_images(tmp_path / "images", 40, bad=5)
    cohort_kills.wait(cohort_kills.start(images, tmp_path / "quiet"))

    process = cohort_kills.start(images, tmp_path / "out", "--engine", "dask", "--batch-size", 4)
    kills = cohort_kills.kill_workers(process, tmp_path / "out", every_s=0.5, rng=random.Random(3), most=4)
    events = [json.loads(line) for line in cohort_kills.wait(process).splitlines()]

    found = cohort_kills.outcome_of(tmp_path / "out", tmp_path / "quiet")
    assert kills >= 2 and found["begun_again"], found
    assert found["states"] == {"done": 35, "refused": 5} and found["reasons"] == 5
    assert all(not found[name] for name in ("lost", "doubled", "different", "unreported", "left_over")), found
    assert sorted(event["case"] for event in events[:-1]) == [f"x{at:04d}" for at in range(40)], "each told once"
    assert events[-1]["event"] == "end" and events[-1]["counts"]["done"] == 35
