# SPDX-License-Identifier: Apache-2.0
"""Cohorts whose processes are killed without a word: is every case there, once, and the same as from a quiet run?

    python -m benchmarks.cohort_kills dask --cases 200 --bad 5 --every 10
    python -m benchmarks.cohort_kills serial --cases 300 --kills 100

``dask``: two workers of this machine; again and again one that is at work is killed. ``serial``: `semigan cohort run`
itself, a random time after it took its first cases, and then begun again. The last line is what came out, as JSON. Exit
code 1: something was lost, doubled or different.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.forked import cpu_seconds, start_fork
from monai_semigan.atomic import is_abandoned
from monai_semigan.bundles import bundle_root
from monai_semigan.cohort.manifest import Manifest
from monai_semigan.cohort.naming import MANIFEST_NAME
from monai_semigan.errors import SemiGanError

__all__ = ["kill_runs", "kill_workers", "outcome_of", "start", "wait", "write_images"]

BUNDLE = "lung_cxr_segmentation"

SIZE_PX = 64


def write_images(folder: Path, count: int, *, bad: int = 0) -> Path:
    """Write small X-rays made of the bundle's samples, each a little different; the last ``bad`` are no images."""
    folder.mkdir(parents=True)
    samples = sorted((bundle_root(BUNDLE) / "samples" / "images").iterdir())
    for at in range(count):
        path = folder / f"x{at:04d}.png"
        image = Image.open(samples[at % len(samples)]).convert("L").resize((SIZE_PX, SIZE_PX))
        image.point([min(255, value + at % 23) for value in range(256)]).save(path)
        if at >= count - bad:
            whole = path.read_bytes()
            path.write_bytes((b"no image", b"", whole[: len(whole) // 2], b"GIF89a", whole[:8] + b"?" * 99)[at % 5])
    return folder


def start(images: Path, output: Path, *words: object, bundle: object = BUNDLE) -> subprocess.Popen[str]:
    """Start ``semigan cohort run`` with one thread and the encoder alone."""
    command = [sys.executable, "-P", "-m", "monai_semigan.cli.main", "cohort", "run", str(images), "-b", str(bundle)]
    command += ["-o", str(output), "--device", "cpu", "--steps", "0", "--json", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True)


def wait(process: subprocess.Popen[str]) -> str:
    """Return what a run said when it has ended by itself, its exit code 0 or 3."""
    said, _ = process.communicate()
    if process.returncode not in (0, 3):
        raise SystemExit(f"the run ended with {process.returncode}: {said[-2000:]}")
    return said


def kill_workers(
    process: subprocess.Popen[str], output: Path, *, every_s: float, rng: random.Random, most: int = 1_000_000
) -> int:
    """Kill a worker that has taken cases each time that many seconds have passed, while the run lasts; count them."""
    killed = 0
    while process.poll() is None and killed < most:
        time.sleep(rng.uniform(0.9, 1.1) * every_s)
        at_work = _at_work(output) - {process.pid}
        if at_work and process.poll() is None:
            with suppress(ProcessLookupError):  # it ended just now
                os.kill(rng.choice(sorted(at_work)), signal.SIGKILL)
                killed += 1
    return killed


def kill_runs(
    images: Path, output: Path, *, kills: int, rng: random.Random, longest_s: float, bundle: object = BUNDLE
) -> list[tuple[int, int]]:
    """Begin a run that many times and kill it at a random moment of its work; return what was done, and in work, then.

    Moments are in the run's own CPU seconds from when it has taken its first cases, whatever else the machine does. A
    run is a fork of this process, which has imported all that it needs: there is nothing to lose in an import.
    """
    for name in ("monai_semigan.cli.cohort", "monai_semigan.cohort.running"):
        import_module(name)
    words = ["cohort", "run", images, "-b", bundle, "-o", output, "--device", "cpu", "--steps", 0, "--batch-size", 1]
    found = []
    for _ in range(kills):
        child = start_fork(words)
        begun_s, limit_s = None, rng.uniform(0, longest_s)
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if begun_s is None and _in_work(output, child):
                begun_s = cpu_seconds(child)
            if begun_s is not None and cpu_seconds(child) >= begun_s + limit_s:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                break
            time.sleep(0.005)
        found.append((_counts(output).get("done", 0), _in_work(output, child)))
    return found


def _in_work(output: Path, pid: int) -> int:
    """Count the cases that the manifest says a process has, without a lock that would be in its way."""
    with suppress(sqlite3.Error):  # not there yet
        base = sqlite3.connect(f"file:{output / MANIFEST_NAME}?mode=ro", uri=True)
        try:
            (found,) = base.execute("SELECT count(*) FROM cases WHERE state = 'running' AND pid = ?", (pid,)).fetchone()
        finally:
            base.close()
        return int(found)
    return 0


def outcome_of(output: Path, quiet: Path) -> dict[str, Any]:
    """Compare a cohort with one that nothing happened to: what is lost, doubled, different or left over."""
    with Manifest(output) as manifest:
        rows = {row.case: row for row in manifest.rows()}
    ours, theirs = _labels(output), _labels(quiet)
    reported = Counter(case["case"] for case in json.loads((output / "report.json").read_text())["cases"])
    done = {case for case, row in rows.items() if row.state == "done"}
    return {
        "states": dict(Counter(row.state for row in rows.values())),
        "reasons": sum(bool(row.reason) for row in rows.values()),
        "lost": sorted((theirs.keys() - ours.keys()) | (done ^ ours.keys())),
        "doubled": sorted(case for case, count in reported.items() if count != 1),
        "different": sorted(case for case in ours.keys() & theirs.keys() if ours[case] != theirs[case]),
        "unreported": sorted(done ^ reported.keys()),
        "begun_again": sum(row.attempts > 1 for row in rows.values()),
        "most_attempts": max(row.attempts for row in rows.values()),
        "left_over": sorted(path.name for path in output.iterdir() if path.name.startswith(".")),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cohort_kills", description=__doc__)
    parser.add_argument("engine", choices=["dask", "serial"])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--bad", type=int, default=5)
    parser.add_argument("--every", type=float, default=10, help="Seconds between two kills of dask's workers.")
    parser.add_argument("--kills", type=int, default=100, help="Of serial runs.")
    parser.add_argument("--longest", type=float, default=0.3, help="CPU-s that a serial run works at most.")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        images = write_images(Path(folder, "images"), asked.cases, bad=asked.bad)
        output, quiet = Path(folder, "out"), Path(folder, "quiet")
        wait(start(images, quiet, *(() if asked.engine == "dask" else ("--batch-size", 1))))
        began = time.monotonic()
        found: dict[str, Any] = {"engine": asked.engine, "cases": asked.cases, "bad": asked.bad}
        if asked.engine == "dask":
            process = start(images, output, "--engine", "dask", "--workers", 2)
            found["kills"] = kill_workers(process, output, every_s=asked.every, rng=rng)
            wait(process)
        else:
            after = kill_runs(images, output, kills=asked.kills, rng=rng, longest_s=asked.longest)
            found |= {"kills": len(after), "kills_in_work": sum(in_work > 0 for _, in_work in after)}
            found["done_after"] = [done for done, _ in after]
            wait(start(images, output, "--batch-size", 1))
        found |= {"seconds": round(time.monotonic() - began, 1), **outcome_of(output, quiet)}
    print(json.dumps(found))
    wrong = [name for name in ("lost", "doubled", "different", "unreported", "left_over") if found[name]]
    is_short = found["states"].get("done") != asked.cases - asked.bad or found["reasons"] != asked.bad
    raise SystemExit(1 if wrong or is_short else 0)


def _labels(output: Path) -> dict[str, str]:
    found = [path for path in output.glob("*/label.png") if not path.parent.name.startswith(".")]
    return {path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def _counts(output: Path) -> dict[str, int]:
    if not (output / MANIFEST_NAME).is_file():
        return {}
    with Manifest(output) as manifest:
        return dict(manifest.counts())


def _at_work(output: Path) -> set[int]:
    try:
        with Manifest(output) as manifest:
            return {row["pid"] for row in manifest.running() if not is_abandoned(row["owner"])}
    except SemiGanError:  # not there yet
        return set()


if __name__ == "__main__":
    main()
