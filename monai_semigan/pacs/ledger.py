# SPDX-License-Identifier: Apache-2.0
"""How far each received series and each delivery is, in one SQLite file beside the images."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from monai_semigan.cohort.database import Database, Schema

__all__ = ["Delivery", "Ledger", "SeriesState"]

SeriesState = Literal["queued", "left", "refused"]
"""``queued``: its cases are in a manifest; ``left``: no rule takes it; ``refused``: nothing in it can be segmented."""

TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE series (
    name TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('queued', 'left', 'refused')),
    lane TEXT NOT NULL,
    reason TEXT NOT NULL,
    since REAL NOT NULL
);
CREATE TABLE deliveries (
    lane TEXT NOT NULL,
    case_name TEXT NOT NULL,
    peer TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL DEFAULT 0,
    since REAL NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (lane, case_name, peer)
);
CREATE TABLE transfers (
    peer TEXT NOT NULL,
    item TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('done', 'failed')),
    reason TEXT NOT NULL,
    PRIMARY KEY (peer, item)
);
"""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The results of a case on their way to a peer.

    Attributes:
        lane: Name of the cohort's folder.
        case: Name of the case.
        peer: Where to.
        state: ``waiting``, ``sent`` or ``failed``.
        attempts: How often it was tried.
        due: When it is tried again, seconds since 1970.
        since: When it came to this state.
        reason: Why it was not sent.
    """

    lane: str
    case: str
    peer: str
    state: Literal["waiting", "sent", "failed"]
    attempts: int
    due: float
    since: float
    reason: str


class Ledger(Database):
    """The file ``pacs.sqlite`` of a folder; every thread opens its own. Arguments and errors as of `Database`."""

    SCHEMA = Schema(
        name="pacs.sqlite",
        application=0x53475043,  # "SGPC"
        version=1,
        tables=TABLES,
        what="the ledger of a DICOM node",
        folder="the folder of `semigan dicom serve`, `watch` or `pull`",
        begin="semigan dicom serve",
        lost=": received images and results are found again, and delivered again",
    )

    # Series

    def enter(self, series: str, state: SeriesState, *, lane: str = "", reason: str = "") -> None:
        """Write down what became of a series."""
        with self._writing():
            self._base.execute(
                "INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?, ?)", (series, state, lane, reason, time.time())
            )

    def series(self) -> dict[str, tuple[SeriesState, str, str, float]]:
        """Return state, lane, reason and time of each series."""
        with self._faults():
            found = self._base.execute("SELECT name, state, lane, reason, since FROM series").fetchall()
        return {name: values for name, *values in found}

    def forget(self, series: str) -> None:
        """Forget a series that was deleted."""
        with self._writing():
            self._base.execute("DELETE FROM series WHERE name = ?", (series,))

    # Deliveries

    def deliver(self, lane: str, cases: Iterable[str], peers: Sequence[str]) -> None:
        """Let results be sent; those that are known stay as they are."""
        with self._writing():
            self._base.executemany(
                "INSERT OR IGNORE INTO deliveries (lane, case_name, peer, since) VALUES (?, ?, ?, ?)",
                [(lane, case, peer, time.time()) for case in cases for peer in peers],
            )

    def recall(self, lane: str, cases: Iterable[str]) -> None:
        """Forget the deliveries of cases, which are made again or deleted."""
        with self._writing():
            self._base.executemany(
                "DELETE FROM deliveries WHERE lane = ? AND case_name = ?", [(lane, case) for case in cases]
            )

    def deliveries(self, *, due: float | None = None) -> list[Delivery]:
        """List all deliveries; or those that wait and are due at a time, the longest waiting first."""
        where = "" if due is None else "WHERE state = 'waiting' AND due <= ?"
        with self._faults():
            found = self._base.execute(
                "SELECT lane, case_name, peer, state, attempts, due, since, reason FROM deliveries "
                f"{where} ORDER BY due, since",
                () if due is None else (due,),
            ).fetchall()
        names = ("lane", "case", "peer", "state", "attempts", "due", "since", "reason")
        return [Delivery(**dict(zip(names, values, strict=True))) for values in found]

    def note(self, delivery: Delivery, state: str, *, due: float = 0, reason: str = "") -> None:
        """Write down how a try to send ended; nothing if the delivery was recalled or begun anew meanwhile."""
        with self._writing():
            self._base.execute(
                "UPDATE deliveries SET state = ?, attempts = attempts + 1, due = ?, reason = ?, since = ? "
                "WHERE lane = ? AND case_name = ? AND peer = ? AND since = ?",
                (state, due, reason, time.time(), delivery.lane, delivery.case, delivery.peer, delivery.since),
            )

    def retry(self) -> int:
        """Let failed deliveries wait again, and those that wait be due; return how many."""
        with self._writing():
            before = self._base.total_changes
            self._base.execute("UPDATE deliveries SET state = 'waiting', due = 0 WHERE state != 'sent'")
            return self._base.total_changes - before

    # Single transfers, and how far others' lists were read

    def transfer(self, peer: str, item: str, state: str, reason: str = "") -> None:
        """Write down how the transfer of a study or file ended."""
        with self._writing():
            self._base.execute("INSERT OR REPLACE INTO transfers VALUES (?, ?, ?, ?)", (peer, item, state, reason))

    def transferred(self, peer: str) -> set[str]:
        """Return the studies or files that were transferred."""
        with self._faults():
            found = self._base.execute("SELECT item FROM transfers WHERE peer = ? AND state = 'done'", (peer,))
            return {item for (item,) in found.fetchall()}

    def fact(self, name: str) -> str | None:
        """Return what was remembered under a name."""
        with self._faults():
            found: tuple[Any, ...] | None = self._base.execute(
                "SELECT value FROM facts WHERE name = ?", (name,)
            ).fetchone()
        return None if found is None else str(found[0])

    def remember(self, name: str, value: str) -> None:
        """Remember a value under a name."""
        with self._writing():
            self._base.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))
