# SPDX-License-Identifier: Apache-2.0
"""A node at work: what came in is entered into the queue, segmented, sent, and deleted in the end. One loop.

Each step can be repeated: an instance, case or delivery that a crash caught half way is found at the next start by what
is on the disk, and ends once. The order is what keeps this true: a row says so after the disk does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from monai_semigan.cohort.manifest import Manifest
from monai_semigan.cohort.working import CaseEvent
from monai_semigan.errors import OutputError, SemiGanError
from monai_semigan.files import RunLock, make_folder
from monai_semigan.io.dicom.series import find_series
from monai_semigan.io.folder import files_in
from monai_semigan.pacs.delivery import Sender
from monai_semigan.pacs.lanes import Lane, lane_folders, series_of
from monai_semigan.pacs.ledger import Delivery, Ledger
from monai_semigan.pacs.peer import Peer
from monai_semigan.pacs.routes import Route, choose_route
from monai_semigan.pacs.store import InstanceStore
from monai_semigan.types import PathLike
from monai_semigan.workflows.case_faults import reason_of
from monai_semigan.workflows.segment_options import SegmentOptions

__all__ = ["RECEIVED", "RESULTS", "Node", "NodeOptions"]

logger = logging.getLogger(__name__)

RECEIVED, RESULTS = "received", "results"

TICK_S = 0.5

PAUSE_S = 5.0
"""After an error that may pass."""

HOUSEKEEPING_S = 60.0
"""Between two looks at what can be deleted, and how much the disk holds."""


@dataclass(frozen=True, kw_only=True)
class NodeOptions:
    """How a node works.

    Attributes:
        quiet_s: A series is complete when no instance came for so long, seconds.
        keep_h: Images and results are deleted so long after the results were delivered, hours.
        max_disk: Bytes that the node's folder may hold; None for the disk's.
        segment: What is asked for.
    """

    quiet_s: float = 30.0
    keep_h: float = 24.0
    max_disk: int | None = None
    segment: SegmentOptions = field(default_factory=SegmentOptions)


class Node:
    """A folder in which series become results.

    .. code-block:: python

        with Node("node", routes, [peer], NodeOptions()) as node, Listener(node.store, access, port=11112):
            node.load()
            node.run(threading.Event())

    Args:
        folder: Of everything that is kept.
        routes: Which bundle takes which series.
        peers: Where results go; without one they stay.
        options: How.

    Raises:
        TrainingError: Another process works in the folder.
        OutputError: It cannot be written.
    """

    def __init__(
        self, folder: PathLike, routes: Sequence[Route], peers: Sequence[Peer], options: NodeOptions | None = None
    ) -> None:
        self.folder, self.routes, self.options = make_folder(folder).resolve(), routes, options or NodeOptions()
        self.peers = {peer.name: peer for peer in peers}
        self._open = ExitStack()
        try:
            self.folder.chmod(0o700)
            self._open.enter_context(RunLock(self.folder))
            self.store = InstanceStore(self.folder / RECEIVED, max_bytes=self.options.max_disk, measured=self.folder)
            self.ledger = self._open.enter_context(Ledger(self.folder, create=True))
        except BaseException:
            self._open.close()
            raise
        self.lanes: list[Lane] = []
        self.sender = Sender(self.folder, self.folder / RESULTS, self.peers)
        self._numbers: dict[str, float] = {}
        self._cleaned: float | None = None

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def close(self) -> None:
        """End deliveries and let go of the folder."""
        self.sender.close()
        self._open.close()

    def load(self) -> None:
        """Load the bundles, and find what an earlier process left.

        Raises:
            BundleError: A bundle cannot be used.
        """
        for route in self.routes:
            lane = Lane(make_folder(self.folder / RESULTS), route, self.options.segment, self._ended)
            self._open.callback(lane.close)
            self.lanes.append(lane)
        self._take_over()
        self.ledger.retry()
        self.sender.start()

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop."""
        while not stop.is_set():
            try:
                self.step()
            except SemiGanError as error:  # a full disk passes; whatever was half done is done again
                logger.warning("The node pauses: %s", error)
                stop.wait(PAUSE_S)
            stop.wait(TICK_S)

    def step(self) -> None:
        """Enter what is complete, segment it, hand results to the sender, and delete what is over."""
        self.enter()
        for lane in self.lanes:
            lane.work()
        self.deliver()
        if self._cleaned is None or time.monotonic() - self._cleaned > HOUSEKEEPING_S:
            self.clean()
        self._count()

    def enter(self) -> None:
        """Enter the series that are complete into the queue."""
        waiting = self.store.complete(self.options.quiet_s)
        while waiting:
            try:
                self._enter(waiting[0])
            except BaseException:
                for series in waiting:
                    self.store.arrive(series)
                raise
            self.store.settle(waiting.pop(0))

    def deliver(self) -> None:
        """Let the sender send what is done."""
        for lane in self.lanes:
            self.ledger.deliver(lane.name, lane.manifest.names("done"), list(self.peers))

    def clean(self) -> None:
        """Delete what was delivered long enough ago, and what nobody took."""
        self._cleaned = time.monotonic()
        before = time.time() - self.options.keep_h * 3600
        lanes, deliveries = {lane.name: lane for lane in self.lanes}, self._deliveries()
        for series, (state, name, _, since) in self.ledger.series().items():
            lane = lanes.get(name) if state == "queued" else None
            if since > before or (state == "queued" and (lane is None or not self.peers)):
                continue
            rows = [] if lane is None else lane.rows(self.store.folder / series)
            if not all(_is_over(row.state, deliveries.get((name, row.case), ()), before) for row in rows):
                continue
            if self.store.remove(series):
                if lane is not None:
                    cases = [row.case for row in rows]
                    self.ledger.recall(name, cases)
                    lane.remove(cases)
                self.ledger.forget(series)
        self.store.measure()

    @property
    def numbers(self) -> Mapping[str, float]:
        """Counts for a monitor, as of the last step and the moment."""
        live = {
            "instances_received_total": float(self.store.num_kept),
            "series_arriving": float(self.store.num_arriving),
            "disk_bytes": float(self.store.used),
            **{f"deliveries_{name}_total": float(self.sender.counts[name]) for name in ("sent", "postponed", "failed")},
        }
        return {**self._numbers, **live}

    @property
    def is_well(self) -> bool:
        """Whether there is room, and the sender works once the bundles are loaded."""
        return not self.store.is_full and (not self.lanes or self.sender.is_alive)

    def _enter(self, series: str) -> None:
        folder = self.store.folder / series
        try:
            found = find_series(files_in(folder)) if folder.is_dir() else []
            at, reason = choose_route(self.routes, [one.info for one in found])
            if at is None:
                self.ledger.enter(series, "left", reason=reason)
                return
            lane = self.lanes[at]
            units = lane.units(folder)
        except OutputError:  # a full disk passes
            raise
        except Exception as error:  # a series whose headers end in what they like must not hold up the others
            self.ledger.enter(series, "refused", reason=reason_of(error))
            return
        lane.manifest.add(units, may_rename=True)
        self.ledger.recall(lane.name, [row.case for row in lane.rows(folder)])
        lane.manifest.renew(units)
        self.ledger.enter(series, "queued", lane=lane.name)

    def _ended(self, event: CaseEvent) -> None:
        """Between two cases: send what is done, and enter what is complete."""
        if event.state != "done":
            logger.warning("Case %s is %s: %s", event.case, event.state, event.reason)
        self.deliver()
        self.enter()
        self._count()

    def _take_over(self) -> None:
        """Enter again what waits where no route leads any more, and what no row knows."""
        current = {lane.name for lane in self.lanes}
        for folder in lane_folders(self.folder / RESULTS):
            if folder.name in current:
                continue
            with Manifest(folder) as manifest:
                manifest.repair()
                left = [row for row in manifest.rows() if row.state in ("waiting", "running")]
                for series in {series_of(row, self.store.folder) for row in left} - {""}:
                    self.store.arrive(series)
                manifest.remove(row.case for row in left)
                self.ledger.deliver(folder.name, manifest.names("done"), list(self.peers))
        known = self.ledger.series()
        for path in self.store.series():
            if path.name not in known:
                self.store.arrive(path.name)

    def _deliveries(self) -> dict[tuple[str, str], list[Delivery]]:
        found: dict[tuple[str, str], list[Delivery]] = {}
        for delivery in self.ledger.deliveries():
            found.setdefault((delivery.lane, delivery.case), []).append(delivery)
        return found

    def _count(self) -> None:
        numbers: Counter[str] = Counter()
        for lane in self.lanes:
            numbers.update({f"cases_{state}": count for state, count in lane.manifest.counts().items()})
        states = Counter(delivery.state for delivery in self.ledger.deliveries())
        numbers.update({f"deliveries_{state}": states[state] for state in ("waiting", "sent", "failed")})
        self._numbers = {name: float(value) for name, value in numbers.items()}


def _is_over(state: str, deliveries: Sequence[Delivery], before: float) -> bool:
    """Whether nothing more will be done for a case."""
    if state in ("refused", "failed"):
        return True
    is_sent = bool(deliveries) and all(one.state == "sent" and one.since < before for one in deliveries)
    return state == "done" and is_sent
