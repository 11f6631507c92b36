# SPDX-License-Identifier: Apache-2.0
"""Results on their way back: tried again with growing pauses until the peer has them, or refuses for good."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from monai_semigan.errors import PeerError, SemiGanError
from monai_semigan.pacs.ledger import Delivery, Ledger
from monai_semigan.pacs.peer import Peer
from monai_semigan.workflows.finished_cases import read_record

__all__ = ["DICOM_SUFFIX", "Sender", "pause_s"]

logger = logging.getLogger(__name__)

DICOM_SUFFIX = ".dcm"
"""Of the files of a case that are sent."""

FIRST_PAUSE_S = 5.0

LONGEST_PAUSE_S = 900.0

TICK_S = 0.5


def pause_s(attempts: int) -> float:
    """How long to wait after so many tries that failed."""
    return float(min(FIRST_PAUSE_S * 2 ** min(attempts, 20), LONGEST_PAUSE_S))


class Sender:
    """A thread that sends what is due, one case after the other.

    Args:
        folder: Of the node, with the ledger.
        results: Folder of the lanes.
        peers: By name.
    """

    def __init__(self, folder: Path, results: Path, peers: Mapping[str, Peer]) -> None:
        self.folder, self.results, self.peers = folder, results, peers
        self.counts: Counter[str] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dicom-sender", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End after the delivery that is under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    @property
    def is_alive(self) -> bool:
        """Whether it works."""
        return self._thread.is_alive()

    def send_due(self, ledger: Ledger) -> int:
        """Try everything that is due once; return how many cases were sent."""
        sent, down = 0, set()
        for delivery in ledger.deliveries(due=time.time()):
            peer = self.peers.get(delivery.peer)
            if peer is None or delivery.peer in down or self._stop.is_set():  # of an earlier start: it stays visible
                continue
            try:
                files = self._files(delivery)
                if files:  # an empty label may have none
                    peer.send(files)
            except SemiGanError as error:
                is_final = (isinstance(error, PeerError) and error.is_final) or not isinstance(error, PeerError)
                if not is_final:
                    down.add(delivery.peer)  # the others would wait for the same time-out
                self._postpone(ledger, delivery, error, is_final=is_final)
            except Exception as error:  # nothing in one result may end the others' way
                logger.debug("An unexpected error ended a delivery.", exc_info=error)
                self._postpone(ledger, delivery, SemiGanError(f"not expected ({type(error).__name__})"), is_final=False)
            else:
                ledger.note(delivery, "sent")
                self.counts["sent"] += 1
                sent += 1
        return sent

    def _postpone(self, ledger: Ledger, delivery: Delivery, error: Exception, *, is_final: bool) -> None:
        wait = pause_s(delivery.attempts)
        again = "It is not tried again" if is_final else f"It is tried again in {wait:.0f} s"
        logger.warning("A result of case %s was not delivered: %s %s.", delivery.case, error, again)
        self.counts["failed" if is_final else "postponed"] += 1
        ledger.note(delivery, "failed" if is_final else "waiting", due=time.time() + wait, reason=str(error))

    def _files(self, delivery: Delivery) -> list[Path]:
        folder = self.results / delivery.lane / delivery.case
        record = read_record(folder)
        names = [] if record is None else sorted(name for name in record.files if name.endswith(DICOM_SUFFIX))
        return [folder / name for name in names]

    def _run(self) -> None:
        with Ledger(self.folder) as ledger:
            while not self._stop.wait(TICK_S):
                try:
                    self.send_due(ledger)
                except Exception as error:  # noqa: PERF203  (a full disk passes)
                    logger.warning("Deliveries pause: %s", type(error).__name__)
                    self._stop.wait(FIRST_PAUSE_S)
