# SPDX-License-Identifier: Apache-2.0
"""No bundle, data list or snapshot opens the network, runs code, exhausts the machine or ends in a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("hostile_bundles.py")
LEAST = {"files": 45, "configs": 60, "weights": 16, "metadata": 30, "data_lists": 30, "training": 30, "snapshots": 20}
"""Groups and how many hostile ones each has at least: over 150."""


@pytest.mark.parametrize("group", LEAST)
def test_nothing_happens(group: str, tiny_bundle: Path, datalist: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    places = {"HOSTILE_BUNDLE": tiny_bundle, "HOSTILE_LIST": datalist, "HOSTILE_RUN": tmp_path / "run"}
    environment = os.environ | {name: str(place) for name, place in places.items()} | {"OMP_NUM_THREADS": "1"}

    result = subprocess.run(
        [sys.executable, "-P", str(PROGRAM), group, str(tmp_path / "work")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    *found, last = result.stdout.splitlines() or [result.stderr]
    assert found == [] and last.startswith("count ") and int(last[6:]) >= LEAST[group], result.stdout + result.stderr
