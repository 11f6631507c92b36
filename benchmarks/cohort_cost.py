# SPDX-License-Identifier: Apache-2.0
"""What a cohort costs beside the segmentation itself, and how long a long manifest takes.

    python -m benchmarks.cohort_cost [cases|manifest|worker|workers] --cases 200 --repeats 3

``cases``: CPU seconds per case of ``semigan cohort run`` and ``semigan segment``, in turns, processes of their own, the
encoder alone. ``manifest``: wall seconds of status and resume with 10,000 rows. ``worker``: CPU seconds until a Dask
worker has its model. ``workers``: wall seconds of one and two Dask workers, and how busy the machine was beside.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cohort_kills import BUNDLE, write_images
from monai_semigan.cohort.manifest import Manifest
from monai_semigan.cohort.rows import Unit
from monai_semigan.cohort.running import cohort_status

__all__ = ["case_costs", "manifest_seconds", "worker_start", "workers_seconds"]

START = """
import resource, sys
from distributed import Worker
import monai_semigan.cohort.dask_worker
from pathlib import Path
from monai_semigan.cohort.working import Work
from monai_semigan.workflows.segment_options import SegmentOptions
Work(folder=Path(), bundle=sys.argv[1], options=SegmentOptions(device="cpu")).segmenter()
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime)
"""


def case_costs(folder: Path, *, cases: int, repeats: int) -> dict[str, Any]:
    """Measure CPU seconds per case, from start to report, medians."""
    images = write_images(folder / "images", cases)
    found: dict[str, list[float]] = {"segment": [], "cohort run": []}
    for turn in range(repeats):
        for command, values in found.items():
            words = (*command.split(), images, "-b", BUNDLE, "-o", folder / f"{command.split()[0]}{turn}")
            values.append(_cpu_seconds(*words, "--steps", "0") / cases)
    medians = {words: statistics.median(values) for words, values in found.items()}
    return {"cpu_s_per_case": found, "medians": medians, "ratio": medians["cohort run"] / medians["segment"]}


def manifest_seconds(folder: Path, *, rows: int) -> dict[str, float]:
    """Measure status, and what a resumed run does before its first case: all but one row are done, with folders."""
    with Manifest(folder, create=True) as manifest:
        manifest.add([Unit(case=f"case{at:06d}", path=folder.parent / f"{at}.png") for at in range(rows)])
        manifest._base.execute("UPDATE cases SET state = 'done', seconds = 1 WHERE id > 1")
    for at in range(1, rows):
        (folder / f"case{at:06d}").mkdir()
        (folder / f"case{at:06d}" / "case.json").write_text("{}")
    began, used = time.perf_counter(), time.process_time()
    cohort_status(folder)
    status, status_cpu = time.perf_counter() - began, time.process_time() - used
    began, used = time.perf_counter(), time.process_time()
    with Manifest(folder) as manifest:
        manifest.repair()
        manifest.add([Unit(case=f"case{at:06d}", path=folder.parent / f"{at}.png") for at in range(rows)])
        manifest.rows()
        manifest.names("done")
        assert len(manifest.claim(4)) == 1
    resume, resume_cpu = time.perf_counter() - began, time.process_time() - used
    cpu = {"status_cpu_s": status_cpu, "resume_cpu_s": resume_cpu}
    return {"rows": rows, "status_s": status, "resume_s": resume, **cpu}


def worker_start(*, repeats: int) -> dict[str, Any]:
    """Measure CPU seconds of a worker that imports all and loads the model, as one of another machine does."""
    command = [sys.executable, "-P", "-c", START, BUNDLE]
    found = [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(repeats)]
    return {"cpu_s": found, "median": statistics.median(found)}


def workers_seconds(folder: Path, *, cases: int) -> dict[str, Any]:
    """Measure wall seconds of cases, first to last, with one and two workers."""
    images = write_images(folder / "images", cases)
    found: dict[str, Any] = {"load_before": os.getloadavg()[0]}
    for count in (1, 2):
        words = ("cohort", "run", images, "-b", BUNDLE, "-o", folder / f"out{count}", "--steps", "0", "--device", "cpu")
        process = _start(*words, "--workers", count, "--json")
        times = [time.perf_counter() for line in process.stdout or () if '"case"' in line]
        process.wait()
        found[f"workers_{count}_s"] = times[-1] - times[0]
    return found | {"ratio": found["workers_1_s"] / found["workers_2_s"], "load_after": os.getloadavg()[0]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cohort_cost", description=__doc__)
    parser.add_argument("what", choices=["cases", "manifest", "worker", "workers"])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        measures = {
            "cases": lambda: case_costs(Path(name), cases=asked.cases, repeats=asked.repeats),
            "manifest": lambda: manifest_seconds(Path(name), rows=asked.rows),
            "worker": lambda: worker_start(repeats=asked.repeats),
            "workers": lambda: workers_seconds(Path(name), cases=asked.cases),
        }
        print(json.dumps(measures[asked.what]()))


def _start(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "monai_semigan.cli.main", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True)


def _cpu_seconds(*words: object) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = _start(*words)
    process.communicate()
    if process.returncode:
        raise SystemExit(f"the command ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
