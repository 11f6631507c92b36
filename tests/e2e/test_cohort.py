"""``semigan cohort`` as a user runs it, and killed as a cluster does."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from segment_run import label_digests

from monai_semigan import SegmenterOptions, SegmentOptions, segment_files
from monai_semigan.cli.main import cli
from monai_semigan.cohort.manifest import Manifest
from monai_semigan.cohort.naming import MANIFEST_NAME

pytestmark = pytest.mark.e2e

NUM_KILLS = 6


def run(*arguments: object):
    return CliRunner().invoke(cli, ["cohort", *map(str, arguments)], standalone_mode=False)


@pytest.fixture
def images(tmp_path: Path, make_xray: Callable) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for at in range(12):
        Image.fromarray(make_xray(40 + at, 50, seed=at)[0]).save(folder / f"x{at:02d}.png")
    return folder


def started(*arguments: object) -> subprocess.Popen:
    words = [sys.executable, "-m", "monai_semigan.cli.main", "cohort", *map(str, arguments)]
    # A job in the background of a script is born deaf to Ctrl-C, and so are its children.
    heard = f"import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv({words[0]!r}, {words!r})"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", heard], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True
    )


def ended(output: Path) -> int:
    """How many cases have ended so far, as another process sees it."""
    try:
        base = sqlite3.connect(f"file:{output / MANIFEST_NAME}?mode=ro", uri=True)
        try:
            (found,) = base.execute("SELECT count(*) FROM cases WHERE state = 'done' OR owner != ''").fetchone()
        finally:
            base.close()
    except sqlite3.Error:  # not there yet
        return 0
    return found


def test_killed_at_any_moment_every_case_is_there_once(images: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    output, rng = tmp_path / "out", random.Random(7)
    arguments = ["run", images, "-b", tiny_bundle, "-o", output, "--device", "cpu", "--batch-size", 1, "--steps", 20]
    states = []
    for _ in range(NUM_KILLS):
        process = started(*arguments)
        before, deadline = ended(output), time.monotonic() + 120
        while ended(output) <= before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        process.communicate()
        with Manifest(output) as manifest:
            states.append(tuple(manifest.counts().values()))

    last = started(*arguments, "--json")
    said, _ = last.communicate(timeout=300)

    assert last.returncode == 0, said
    with Manifest(output) as manifest:
        rows = manifest.rows()
    assert [(row.case, row.state) for row in rows] == [(f"x{at:02d}", "done") for at in range(12)]
    assert any(row.attempts > 1 for row in rows), "some were lost in work"
    options = SegmentOptions(segmenter=SegmenterOptions(steps=20, batch_size=1), device="cpu")
    segment_files(images, bundle=tiny_bundle, output=tmp_path / "single", options=options)
    assert label_digests(output) == label_digests(tmp_path / "single")
    report = json.loads((output / "report.json").read_text())
    assert [case["case"] for case in report["cases"]] == [f"x{at:02d}" for at in range(12)]
    for row in rows:
        record = json.loads((output / row.case / "case.json").read_text())
        assert row.digest == record["source"]["sha256"] == hashlib.sha256(row.path.read_bytes()).hexdigest()
    left = [path.name for path in output.iterdir() if path.name.startswith(".")]
    assert left == [], states


def test_two_processes_share_the_work_and_one_reports_over_all(images: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    arguments = ["run", images, "-b", tiny_bundle, "-o", output, "--device", "cpu", "--batch-size", 1, "--steps", 60]

    processes = [started(*arguments, "--json") for _ in range(2)]
    said = [process.communicate(timeout=300)[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0], said
    events = [[json.loads(line) for line in text.splitlines()] for text in said]
    cases = [[event["case"] for event in found if event["event"] == "case"] for found in events]
    assert sorted(cases[0] + cases[1]) == [f"x{at:02d}" for at in range(12)], "each once"
    assert any(found[-1]["report"] for found in events)
    assert len(json.loads((output / "report.json").read_text())["cases"]) == 12


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_gives_the_cases_back(number, images: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    process = started("run", images, "-b", tiny_bundle, "-o", output, "--device", "cpu", "--steps", 2000)
    deadline = time.monotonic() + 120
    while ended(output) == 0 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    said, _ = process.communicate(timeout=120)

    assert process.returncode in (130, 143), said
    with Manifest(output) as manifest:
        assert manifest.counts() == {"waiting": 12, "running": 0, "done": 0, "refused": 0, "failed": 0}


def test_a_cohort_from_run_to_report(images: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    (images / "x03.png").write_bytes(b"no image")
    output = tmp_path / "out"
    common = ["-b", tiny_bundle, "-o", output, "--device", "cpu", "--steps", 0]

    result = run("run", images, *common, "--json")

    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.return_value == 3
    assert [event["event"] for event in events] == ["case"] * 12 + ["end"]
    assert events[-1]["counts"] == {"waiting": 0, "running": 0, "done": 11, "refused": 1, "failed": 0}
    assert events[-2]["counts"]["waiting"] == 0
    status = json.loads(run("status", output, "--json").stdout)
    assert status["counts"] == events[-1]["counts"] and status["workers"] == []
    assert "refused" in run("status", output).stdout
    assert run("report", output).return_value == 3 and (output / "report.html").is_file()
    assert "1 cases wait again" in run("retry", output, "--where", "status=refused").stdout
    Image.open(images / "x04.png").save(images / "x03.png")
    assert run("run", *common, "--where", "case=x03").return_value == 0


def test_a_dry_run_shows_parts_and_a_job(images: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    output = tmp_path / "out folder"

    result = run("run", images, "-b", tiny_bundle, "-o", output, "--num-parts", 3, "--steps=0", "--dry-run")

    assert result.exception is None and not output.exists()
    assert "12 cases wait in all" in result.stdout and "#SBATCH --array=0-2" in result.stdout
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("semigan ")]
    assert line.endswith("--steps=0 --engine shard --num-parts 3")
    assert f"'{output}'" in line and "--dry-run" not in line


def test_a_job_of_an_array_knows_its_part(images: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch) -> None:
    common = ["run", images, "-b", tiny_bundle, "-o", tmp_path / "out", "--device", "cpu", "--steps", 0, "--json"]
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "1")
    done = []
    for task in ("1", "2"):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
        events = [json.loads(line) for line in run(*common, "--engine", "shard").stdout.splitlines()]
        done.append([event["case"] for event in events if event["event"] == "case"])

    assert sorted(done[0] + done[1]) == [f"x{at:02d}" for at in range(12)] and done[0] and done[1]
    monkeypatch.delenv("SLURM_ARRAY_TASK_COUNT")
    assert "pass --num-parts" in str(run(*common, "--engine", "shard").exception)
    assert "of --engine shard" in str(run(*common, "--engine", "serial", "--num-parts", "2").exception)
