"""``semigan module`` ended at any moment: the output is whole, or says that it is not."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import phantoms
import pydicom
import pytest

pytestmark = pytest.mark.e2e

NUM_KILLS = 3


@pytest.fixture
def words(volume_bundle: Path, tmp_path: Path) -> list[str]:
    """A command of some seconds: two series with their results."""
    for at, modality in enumerate(("CT", "MR")):
        phantoms.write_series(tmp_path / "in" / modality, phantoms.phantom(seed=at), modality)
    settings = {"bundle": str(volume_bundle), "steps": 2, "device": "cpu", "dicom": {"empty": "write"}}
    (tmp_path / "in" / "task.json").write_text(json.dumps({"process": {"settings": settings}}))
    (tmp_path / "out").mkdir()
    return [sys.executable, "-m", "monai_semigan.cli.main", "module"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    folders = {"MERCURE_IN_DIR": str(tmp_path / "in"), "MERCURE_OUT_DIR": str(tmp_path / "out")}
    return os.environ | folders | {"OMP_NUM_THREADS": "1"}


def shown(output: Path) -> set[str]:
    return {path.name for path in output.iterdir() if not path.name.startswith(".")}


def require_whole(output: Path) -> None:
    """``result.json`` is there with both results, each readable."""
    assert json.loads((output / "result.json").read_text())["status"] == "done"
    segs = [pydicom.dcmread(path) for path in output.glob("*.dcm")]
    assert len(segs) == 2 and all(seg.Modality == "SEG" and seg.PixelData for seg in segs)


def started(words: list[str], environment: dict[str, str], place: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words, env=environment, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_a_task_that_was_killed_is_done_by_the_next(words, environment, tmp_path):
    rng, output = random.Random(3), tmp_path / "out"
    began = time.monotonic()
    whole = started(words, environment | {"MERCURE_OUT_DIR": str(tmp_path / "first")}, tmp_path)
    said, _ = whole.communicate()
    assert whole.returncode == 0, said
    took_s = time.monotonic() - began

    for _ in range(NUM_KILLS):
        process = started(words, environment, tmp_path)
        time.sleep(took_s * rng.uniform(0.4, 1.05))
        process.kill()
        process.communicate()
        if "result.json" in shown(output):
            break
    if "result.json" not in shown(output):
        process = started(words, environment, tmp_path)
        said, _ = process.communicate()
        assert process.returncode == 0, said

    require_whole(output)
    assert len(shown(output)) == 3 and not [path for path in output.iterdir() if path.name.startswith(".semigan")]


def test_a_task_that_is_stopped_leaves_nothing(words, environment, tmp_path):
    process, output = started(words, environment, tmp_path), tmp_path / "out"
    while not list(output.glob(".module*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)  # as docker stop does
    said, _ = process.communicate()

    if process.returncode != 0:  # else it was quicker
        assert process.returncode == 143 and said.strip() == "terminated"
        assert list(output.iterdir()) == []
