# SPDX-License-Identifier: Apache-2.0
"""Sends images until the listener is gone, and prints each UID when it was acknowledged: see the kills of DICOM."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from pydicom.dataset import Dataset

from benchmarks.dicom_peers import CR, CT, associated, ct_slice, radiograph, status_of

BURST, PAUSE_S = 6, 0.7
"""Radiographs that come at once, and the pause after them, seconds: each is a case to segment."""


def images(kind: str, name: str) -> Iterator[Dataset]:
    """Yield what is sent: ``slices`` of one series without a pause, or ``radiographs``, a study each, in bursts."""
    for number in range(100_000):
        if kind == "slices":
            yield ct_slice(name, number)
        else:
            yield radiograph(f"{name} {number}")
            if number % BURST == BURST - 1:
                time.sleep(PAUSE_S)


def start_sender(port: int, name: str, kind: str) -> subprocess.Popen[str]:
    """Start a sender that waits for `begin`."""
    words = [sys.executable, "-m", "benchmarks.dicom_kills_sender", str(port), name, kind]
    sender = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert sender.stdout is not None
    sender.stdout.readline()
    return sender


def begin(sender: subprocess.Popen[str]) -> None:
    """Let it send."""
    assert sender.stdin is not None
    sender.stdin.write("\n")
    sender.stdin.flush()


def main() -> None:
    """Send to the port given first, images named by the second argument and of the kind of the third.

    Says when it could begin, and begins when a line comes in.
    """
    print(flush=True)
    sys.stdin.readline()
    association = associated(int(sys.argv[1]), classes=(CT, CR))
    association.dimse_timeout = 2
    for made in images(sys.argv[3], sys.argv[2]):
        try:
            if not association.is_established or status_of(association.send_c_store(made)) != 0:
                break
        except (RuntimeError, ValueError, AttributeError):
            break
        print(made.SOPInstanceUID, flush=True)
    association.abort()


if __name__ == "__main__":
    main()
