# SPDX-License-Identifier: Apache-2.0
"""A listener under load: many instances from four peers, one slow, one that breaks off, one that lies about lengths.

    python -m benchmarks.dicom_soak --instances 10000

Runs `semigan dicom serve` with rules that take nothing, so that it is the listener that is measured. Prints what was
acknowledged and lost (must be 0), the resident memory of the process after a tenth and at the end (within 10 %), and
its open files before and after.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.dicom_peers import abort_midway, ct_slice, lie, send_all, send_file
from monai_semigan.pacs.store import short_name

PER_SERIES = 100

RULES = {"rules": [{"bundle": "lung_cxr_segmentation", "modality": ["CR"], "min_slices": 90000}]}


def serve(folder: Path, port: int) -> subprocess.Popen[str]:
    """Start the node and wait until it is ready."""
    rules = folder / "rules.json"
    rules.write_text(json.dumps(RULES))
    words = ["dicom", "serve", "--port", str(port), "--rules", str(rules), "-o", str(folder / "node")]
    words += [
        "--metrics-port",
        str(port + 1),
        "--quiet-seconds",
        "2",
        "--max-rate",
        "100000",
        "--max-associations",
        "32",
        "--device",
        "cpu",
    ]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "monai_semigan.cli.main", *words], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.strip() == "ready":
            break
    threading.Thread(target=process.stderr.read, daemon=True).start()
    return process


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * 4096 / 2**20


def open_files(pid: int) -> int:
    """Number of a process' open files."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def peer(kind: str, port: int, count: int, scratch: Path) -> list[str]:
    """Send a peer's share in its manner; return what was acknowledged. A process of its own for each."""
    acknowledged: list[str] = []
    for at in range(0, count, PER_SERIES):
        series = f"{kind} {at}"
        slices = [ct_slice(series, number) for number in range(min(PER_SERIES, count - at))]
        acknowledged += send_all(port, slices, pause_s=0.002 if kind == "slow" else 0.0)
        if kind == "aborting":
            for number in range(3):
                abort_midway(port, ct_slice(series + " lost", number, side=256))
        if kind == "lying":
            lie(port, 2**32 - 1)
            lie(port, 2**31, after_request=False)
            slices[0].save_as(scratch / "whole.dcm", enforce_file_format=True)
            content = (scratch / "whole.dcm").read_bytes()
            (scratch / "cut.dcm").write_bytes(content[: len(content) // 2])
            assert send_file(port, scratch / "cut.dcm") != 0, "half an instance was acknowledged"
    return acknowledged


def main() -> int:
    """Run the soak; the exit code says whether it held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--port", type=int, default=11198)
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="semigan-soak-") as name:
        folder = Path(name)
        process = serve(folder, arguments.port)
        try:
            begun, files_before, received = time.monotonic(), open_files(process.pid), folder / "node" / "received"
            share, early, samples = arguments.instances // 4, 0.0, list[float]()
            with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
                kinds = ("quick", "slow", "aborting", "lying")
                sent = [pool.submit(peer, kind, arguments.port, share, folder) for kind in kinds]
                while not all(one.done() for one in sent):
                    time.sleep(1)
                    samples.append(resident_mib(process.pid))
                    if not early and sum(1 for _ in received.rglob("*.dcm")) >= arguments.instances // 10:
                        early = samples[-1]
                by_kind = {kind: one.result() for kind, one in zip(kinds, sent, strict=True)}
            acknowledged = [uid for found in by_kind.values() for uid in found]
            seconds = time.monotonic() - begun
            time.sleep(5)
            with urllib.request.urlopen(f"http://127.0.0.1:{arguments.port + 1}/metrics", timeout=10) as answer:
                lines = [
                    line for line in answer.read().decode().splitlines() if "_listener_" in line and line[0] != "#"
                ]
            late, files_after = resident_mib(process.pid), open_files(process.pid)
        finally:
            process.terminate()
            code = process.wait(timeout=60)
        kept = {path.stem for path in (folder / "node" / "received").rglob("*.dcm")}
        lost = sum(short_name(uid) not in kept for uid in acknowledged)
        report = {
            "acknowledged": {kind: len(found) for kind, found in by_kind.items()},
            "lost": lost,
            "listener": {line.split()[0].split("_listener_")[1]: int(float(line.split()[1])) for line in lines},
            "seconds": round(seconds, 1),
            "per_second": round(len(acknowledged) / seconds, 1),
            "resident_mib_early": round(early, 1),
            "resident_mib_highest": round(max(samples), 1),
            "resident_mib_late": round(late, 1),
            "open_files": [files_before, files_after],
            "exit_code": code,
        }
        print(json.dumps(report, indent=2))
        is_flat = late <= 1.1 * early
        return 0 if not lost and len(acknowledged) == 4 * share and is_flat and files_after <= files_before else 1


if __name__ == "__main__":
    sys.exit(main())
