"""The node and a cohort's process are killed while they work: what was acknowledged is there, and each case once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from orthanc_server import free_ports

pytestmark = pytest.mark.e2e


def outcome(*words: object) -> dict:
    """Run a benchmark in a process of its own, as it forks; its exit code says whether all held."""
    command = [sys.executable, "-m", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    folder = Path(__file__).parents[2]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_a_killed_node_loses_nothing_and_ends_each_study_once() -> None:
    pytest.importorskip("pynetdicom")

    found = outcome("benchmarks.serve_kills", "--kills", 6, "--ports", *free_ports(2))

    assert found["hits"]["cases_in_work"] >= 2 and found["acknowledged"] > 6, found
    assert found["cases"] == {"done": found["studies"]}


def test_a_killed_cohort_run_is_killed_in_work() -> None:
    found = outcome("benchmarks.cohort_kills", "serial", "--cases", 30, "--bad", 0, "--kills", 5)

    assert found["kills_in_work"] >= 4 and found["states"] == {"done": 30}, found
