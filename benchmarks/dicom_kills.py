# SPDX-License-Identifier: Apache-2.0
"""A listener that is killed at any moment: after it, everything that was acknowledged must be on the disk, whole.

    python -m benchmarks.dicom_kills --kills 100

The process has the listener and the store of `semigan dicom serve` and nothing else, so that it starts quickly;
`serve_kills` kills the whole.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.dicom_kills_sender import begin, start_sender
from monai_semigan.io.dicom.file import header_of
from monai_semigan.pacs.store import MARK, InstanceStore, short_name

PROGRAM = """
import sys, threading
from pathlib import Path
from monai_semigan.pacs.listener import Limits, Listener
from monai_semigan.pacs.peer import Access
from monai_semigan.pacs.store import InstanceStore
with Listener(InstanceStore(Path(sys.argv[1])), Access(), port=int(sys.argv[2]), limits=Limits(max_rate=10**6)) as made:
    print("ready", flush=True)
    threading.Event().wait()
"""


def main() -> int:
    """Kill and compare; the exit code says whether all was there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--port", type=int, default=11197)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, acknowledged = random.Random(arguments.seed), set[str]()
    with TemporaryDirectory(prefix="semigan-kills-") as name:
        folder = Path(name)
        for kill in range(arguments.kills):
            words = [sys.executable, "-P", "-c", PROGRAM, str(folder), str(arguments.port)]
            process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "ready"
            sender = start_sender(arguments.port, f"kill {kill}", "slices")
            begin(sender)
            time.sleep(rng.uniform(0, 1.5))
            process.kill()
            process.wait()
            acknowledged |= set(sender.communicate()[0].split())
        marked = [path for path in folder.iterdir() if any(path.glob("*.dcm")) and not (path / MARK).exists()]
        store = InstanceStore(folder)
        files = {path.stem: path for path in folder.rglob("*.dcm")}
        lost = [uid for uid in acknowledged if short_name(uid) not in files]
        for path in files.values():
            header_of(path.read_bytes())
        left = list(folder.rglob("*.tmp"))
        print(
            f"{arguments.kills} kills, {len(acknowledged)} instances acknowledged, {len(lost)} lost, {len(files)} on "
            f"the disk, all whole; {len(left)} temporary files left, {len(marked)} series without a mark, "
            f"{store.num_arriving} to be entered"
        )
        return 1 if lost or left or marked or not acknowledged else 0


if __name__ == "__main__":
    sys.exit(main())
