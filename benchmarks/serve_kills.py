# SPDX-License-Identifier: Apache-2.0
"""`semigan dicom serve` that is killed at any moment while it receives, segments and sends.

    python -m benchmarks.serve_kills --kills 100

Radiographs come in, each a study of its own; results go to an archive. Afterwards every instance that was acknowledged
must be there, with one case, and the archive must have one segmentation of each study. The last line is what came out,
as JSON; the exit code says whether it held. The listener and its store alone are killed by `dicom_kills`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.dicom_kills_sender import begin, start_sender
from benchmarks.forked import start_fork
from monai_semigan.cohort.manifest import Manifest
from monai_semigan.cohort.naming import MANIFEST_NAME
from monai_semigan.io.dicom.file import header_of
from monai_semigan.pacs.lanes import lane_folders
from monai_semigan.pacs.status import node_status
from monai_semigan.pacs.store import short_name

__all__ = ["main", "outcome_of"]

BUNDLE = "lung_cxr_segmentation"

WRONG = "lost", "cases_doubled", "studies_without_result", "studies_with_several", "results_of_nothing", "left_over"
"""Counts that must be 0."""

LAST_S = 900.0
"""How long the last start may take to end all that is left."""


def serve(folder: Path, port: int, archive: int) -> tuple[int, int]:
    """Start the node in a fork and wait until it listens; return its process, and where it writes to."""
    words: list[object] = [
        "dicom",
        "serve",
        "--port",
        port,
        "-b",
        BUNDLE,
        "-o",
        folder / "node",
        "--quiet-seconds",
        0.5,
    ]
    words += ["--to", f"ARCHIVE@127.0.0.1:{archive}", "--format", "dicom-seg"]
    words += ["--empty-seg", "write", "--unlike-seg", "write"]  # whatever the label is, it must come
    words += ["--device", "cpu", "--steps", 0, "--max-rate", 100_000]
    reads, writes = os.pipe()
    process = start_fork(words, stderr=writes)
    os.close(writes)
    said = b""
    while b"listens" not in said:
        more = os.read(reads, 4096)
        if not more:
            raise SystemExit(f"the node ended: {said.decode(errors='replace')}")
        said += more
    return process, reads


def kill_while_it_works(
    folder: Path, ports: tuple[int, int], *, kills: int, longest_s: float, seed: int
) -> dict[str, Any]:
    """Start, send to and kill the node that many times; return what was acknowledged, and what the kills hit."""
    rng, acknowledged, hits = random.Random(seed), set[str](), Counter[str]()
    for kill in range(kills):
        sender = start_sender(ports[0], f"kill {kill}", "radiographs")
        process, said = serve(folder, *ports)
        begin(sender)
        time.sleep(rng.uniform(0, longest_s))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        rest = os.read(said, 65536)
        os.close(said)
        before = len(acknowledged)
        acknowledged |= set(sender.communicate()[0].split())
        hits["bundle_loaded"] += b"ready" in rest
        hits["cases_in_work"] += _in_work(folder / "node") > 0
        hits["instances_came"] += len(acknowledged) > before
    return {"kills": kills, "acknowledged": acknowledged, "hits": dict(hits)}


def finish(folder: Path, ports: tuple[int, int]) -> int:
    """Start the node once more, wait until all is delivered, and end it; return its exit code."""
    process, said = serve(folder, *ports)
    until = time.monotonic() + LAST_S
    while time.monotonic() < until and not _is_over(node_status(folder / "node")):
        time.sleep(1)
    os.kill(process, signal.SIGTERM)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.close(said)
    return code


def outcome_of(folder: Path, acknowledged: set[str]) -> dict[str, Any]:
    """Compare what was acknowledged with what the node and the archive have: what is lost, doubled or left over."""
    node = folder / "node"
    files = {path.stem: path for path in (node / "received").rglob("*.dcm")}
    studies = {str(header_of(path.read_bytes()).StudyInstanceUID) for path in files.values()}
    sent: dict[str, set[str]] = {}
    for line in (folder / "archive").read_text().splitlines():
        study, instance = line.split()
        sent.setdefault(study, set()).add(instance)
    cases: list[Path] = []
    states: Counter[str] = Counter()
    most = 0
    for lane in lane_folders(node / "results"):
        with Manifest(lane) as manifest:
            rows = manifest.rows()
        cases += [row.path for row in rows]
        states.update(row.state for row in rows)
        most = max(most, *(row.attempts for row in rows))
        folders = [path for path in lane.iterdir() if (path / "case.json").is_file()]
        states["without_row"] += len({path.name for path in folders} - {row.case for row in rows})
    return {
        "received": len(files),
        "lost": sum(short_name(uid) not in files for uid in acknowledged),
        "cases": dict(+states),
        "most_attempts": most,
        "cases_doubled": len(cases) - len(set(cases)),
        "studies": len(studies),
        "studies_without_result": len(studies - sent.keys()),
        "studies_with_several": sum(len(instances) != 1 for instances in sent.values()),
        "results_of_nothing": len(sent.keys() - studies),
        "left_over": sum(1 for path in node.rglob("*") if path.suffix in (".tmp", ".old", ".claim")),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve_kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--longest", type=float, default=4.0, help="Seconds from listening to a kill, at most.")
    parser.add_argument("--ports", type=int, nargs=2, default=(11195, 11196), help="Of the node and of the archive.")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    for name in ("cli.dicom", "pacs.listener", "pacs.serving", "pacs.dimse", "cohort.working"):
        import_module(f"monai_semigan.{name}")  # what a fork needs not import again
    ports, began = tuple(asked.ports), time.monotonic()
    with TemporaryDirectory(prefix="semigan-kills-") as name:
        folder = Path(name)
        words = [sys.executable, "-m", "benchmarks.serve_kills_archive", str(ports[1]), str(folder / "archive")]
        archive = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        try:
            assert archive.stdout is not None
            assert archive.stdout.readline().strip() == "ready"
            found = kill_while_it_works(folder, ports, kills=asked.kills, longest_s=asked.longest, seed=asked.seed)
            acknowledged = found.pop("acknowledged")
            code = finish(folder, ports)
        finally:
            archive.kill()
            archive.wait()
        found |= {"acknowledged": len(acknowledged), "exit_code": code, **outcome_of(folder, acknowledged)}
    found["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(found))
    is_whole = set(found["cases"]) == {"done"} and found["cases"]["done"] == found["studies"] == found["received"]
    wrong = (
        "lost",
        "cases_doubled",
        "studies_without_result",
        "studies_with_several",
        "results_of_nothing",
        "left_over",
    )
    return 0 if acknowledged and is_whole and not code and not any(found[name] for name in wrong) else 1


def _is_over(status: dict[str, Any]) -> bool:
    """Whether all that came in was segmented and sent."""
    counts = Counter[str]()
    for lane in status["lanes"].values():
        counts.update(lane["counts"])
    is_idle = not status["series"]["arriving"] and not counts["waiting"] and not counts["running"]
    return is_idle and status["deliveries"]["counts"] == {"sent": counts["done"]}


def _in_work(node: Path) -> int:
    """Count the cases that a killed node had in work."""
    found = 0
    for path in (node / "results").glob(f"*/{MANIFEST_NAME}"):
        with suppress(sqlite3.Error):
            base = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            found += base.execute("SELECT count(*) FROM cases WHERE state = 'running'").fetchone()[0]
            base.close()
    return found


if __name__ == "__main__":
    sys.exit(main())
