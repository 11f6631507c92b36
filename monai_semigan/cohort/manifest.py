# SPDX-License-Identifier: Apache-2.0
"""One SQLite file that several processes take their cases from, and write down how each ended.

A case is done when its folder was renamed into place and its row says so, in this order. Opening a manifest to work
on it repairs what a crash left in between: a row in work whose process is gone waits again, or is done if its folder
is whole; a row that is done without a folder waits again.

Paths and patients are in this file alone, which nobody but its owner may read.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from monai_semigan.atomic import is_abandoned, is_elsewhere, owner_name
from monai_semigan.cohort.facts import CohortFacts, home_of, moved_path
from monai_semigan.cohort.naming import named_apart
from monai_semigan.cohort.rows import CaseRow, Part, State, Unit, Where, share_of
from monai_semigan.cohort.stored_rows import COLUMNS, encoded, row_of, values_of
from monai_semigan.errors import InputError
from monai_semigan.segmentation.record import CaseRecord
from monai_semigan.types import PathLike
from monai_semigan.workflows.claims import ELSEWHERE_H
from monai_semigan.workflows.finished_cases import location_digest, read_record, why_again

__all__ = ["Manifest"]

MORE_LOSSES = 5
"""A case that was lost so much more often than any that came to an end has failed: it is what ends the processes.

What ends them whatever they do, such as kills from outside, also hits cases that are finished later. How often these
were lost is how often a case may be that has nothing to do with it; a case that is at fault never comes to an end, so
that several of them do not speak for each other.
"""

FREED = "owner = '', host = '', pid = 0, since = 0"


class Manifest(CohortFacts):
    """The manifest of a cohort's folder.

    .. code-block:: python

        with Manifest("out") as manifest:
            manifest.counts()

    Args:
        folder: The cohort's output folder.
        create: Make the manifest where there is none.

    Raises:
        InputError: There is none, or the file is damaged or something else.
        ConfigError: It is of another version.
        OutputError: It cannot be written, or another process holds it for too long.
    """

    def __init__(self, folder: PathLike, *, create: bool = False) -> None:
        super().__init__(folder, create=create)
        self.owner, self._choice = owner_name(), ""

    # Rows

    def rows(self, where: Where | None = None) -> list[CaseRow]:
        """List the rows in the order in which they came, or those that are meant."""
        found = self._rows()
        if not where:
            return found
        where.require_known({column for row in found for column in row.groups})
        return [row for row in found if where.fits(row)]

    def names(self, state: State) -> list[str]:
        """List the cases of a state."""
        with self._faults():
            return [case for (case,) in self._base.execute("SELECT case_name FROM cases WHERE state = ?", (state,))]

    def ended(self) -> list[CaseRow]:
        """List the rows of cases that are done, refused or failed."""
        return self._rows("WHERE state IN ('done', 'refused', 'failed')")

    def num_waiting(self) -> int:
        """Count the rows that could be claimed."""
        with self._faults():
            (found,) = self._base.execute(
                f"SELECT count(*) FROM cases WHERE state = 'waiting' {self._choice}"
            ).fetchone()
        return int(found)

    def _rows(self, condition: str = "") -> list[CaseRow]:
        with self._faults():
            found = self._base.execute(f"SELECT {COLUMNS} FROM cases {condition} ORDER BY id").fetchall()
        return [row_of(values) for values in found]

    def counts(self) -> dict[State, int]:
        """Count the rows by state."""
        with self._faults():
            found = dict(self._base.execute("SELECT state, count(*) FROM cases GROUP BY state").fetchall())
        return {state: found.get(state, 0) for state in ("waiting", "running", "done", "refused", "failed")}

    def running(self) -> list[dict[str, Any]]:
        """List the processes at work: ``owner``, ``host``, ``pid``, number of ``cases``, and ``since`` when."""
        names = ("owner", "host", "pid", "cases", "since")
        with self._faults():
            found = self._base.execute(
                "SELECT owner, host, pid, count(*), min(since) FROM cases WHERE state = 'running' GROUP BY owner"
            ).fetchall()
        return [dict(zip(names, values, strict=True)) for values in found]

    def mean_seconds(self) -> float | None:
        """Return how long a case took on average; None before the first is done."""
        with self._faults():
            (found,) = self._base.execute("SELECT avg(seconds) FROM cases WHERE state = 'done'").fetchone()
        return None if found is None else float(found)

    def add(self, units: Iterable[Unit], *, may_rename: bool = False) -> int:
        """Add rows; one of the same path and part that is there keeps its name and state, and takes the other values.

        Args:
            units: What was found.
            may_rename: Where a name is taken, add a number to it.

        Returns:
            How many are new.

        Raises:
            InputError: A name is taken by another path, and must not be changed.
        """
        with self._writing():
            known = {
                (path, part): case
                for case, path, part in self._base.execute("SELECT case_name, path, part FROM cases").fetchall()
            }
            old: list[tuple[Any, ...]] = []
            new: list[tuple[Any, ...]] = []
            taken = {(Path(os.fsdecode(path)), part): case for (path, part), case in known.items()}
            for unit in named_apart(units, taken, may_rename=may_rename):
                key = (os.fsencode(unit.path), unit.part)
                (old if key in known else new).append((*values_of(unit), *key))
            self._base.executemany(
                "UPDATE cases SET patient = ?, reference = ?, groups = ? WHERE path = ? AND part = ?",
                [values[2:] for values in old if values[2:5] != ("", None, "{}")],
            )
            before = self._base.total_changes
            try:
                self._base.executemany(
                    "INSERT INTO cases (case_name, source, patient, reference, groups, path, part, share) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [(*values, share_of(values[0])) for values in new],
                )
            except sqlite3.IntegrityError as error:
                raise InputError("`case` must be of one input each, but a name is there for another one.") from error
            return self._base.total_changes - before

    def choose(self, cases: Iterable[str]) -> None:
        """From now on, claim none but these."""
        with self._faults():
            self._base.execute("CREATE TEMP TABLE IF NOT EXISTS chosen (case_name TEXT PRIMARY KEY)")
            self._base.execute("DELETE FROM chosen")
            self._base.executemany("INSERT INTO chosen VALUES (?)", [(case,) for case in cases])
        self._choice = "AND case_name IN (SELECT case_name FROM chosen)"

    def retry(self, rows: Iterable[CaseRow]) -> int:
        """Let refused and failed rows wait again, as if they had never been begun; return how many."""
        with self._writing():
            before = self._base.total_changes
            self._base.executemany(
                "UPDATE cases SET state = 'waiting', reason = '', attempts = 0 "
                "WHERE case_name = ? AND state IN ('refused', 'failed')",
                [(row.case,) for row in rows],
            )
            return self._base.total_changes - before

    def renew(self, units: Iterable[Unit]) -> None:
        """Let rows wait again however they ended, as their inputs came anew; what is unchanged is not made again."""
        with self._writing():
            self._base.executemany(
                "UPDATE cases SET state = 'waiting', reason = '', attempts = 0 "
                "WHERE path = ? AND part = ? AND state != 'running'",
                [(os.fsencode(unit.path), unit.part) for unit in units],
            )

    def remove(self, cases: Iterable[str]) -> None:
        """Forget rows that no process works on."""
        with self._writing():
            self._base.executemany(
                "DELETE FROM cases WHERE case_name = ? AND state != 'running'", [(case,) for case in cases]
            )

    # Work

    def claim(self, count: int, part: Part = Part()) -> list[CaseRow]:  # noqa: B008  (frozen)
        """Take waiting rows, which no other process gets then. One that was lost before is taken late, and alone.

        Args:
            count: At most as many.
            part: From this share of the rows.
        """
        with self._writing():
            found = self._base.execute(
                f"SELECT {COLUMNS} FROM cases WHERE state = 'waiting' AND share % ? = ? {self._choice} "
                "ORDER BY attempts, id LIMIT ?",
                (part.count, part.index, count),
            ).fetchall()
            rows = [row_of(values) for values in found]
            rows = [row for row in rows if row.attempts == 0] or rows[:1]
            mine = (self.owner, platform.node(), os.getpid(), time.time())
            self._base.executemany(
                "UPDATE cases SET state = 'running', owner = ?, host = ?, pid = ?, since = ?, attempts = attempts + 1 "
                "WHERE case_name = ?",
                [(*mine, row.case) for row in rows],
            )
        return rows

    def finish(self, case: str, record: CaseRecord) -> None:
        """Say that a case's folder is in place."""
        with self._writing():
            self._finish(case, record)

    def end(self, case: str, state: State, reason: str) -> None:
        """Say that a case was refused, or failed, and why."""
        with self._writing():
            self._base.execute(
                f"UPDATE cases SET state = ?, reason = ?, {FREED} WHERE case_name = ? AND owner = ?",
                (state, reason, case, self.owner),
            )

    def give_back(self, owners: Collection[str] = ()) -> None:
        """Let the rows wait again that this process, or others that it ended, have begun and not ended."""
        with self._writing():
            self._base.executemany(
                f"UPDATE cases SET state = 'waiting', attempts = max(attempts - 1, 0), {FREED} WHERE owner = ?",
                [(owner,) for owner in owners or (self.owner,)],
            )

    def score(self, dice: Mapping[str, float]) -> None:
        """Write down the Dice of cases, in place of all that was known before."""
        with self._writing():
            self._base.execute("UPDATE cases SET dice = NULL WHERE dice IS NOT NULL")
            self._base.executemany(
                "UPDATE cases SET dice = ? WHERE case_name = ?", [(value, case) for case, value in dice.items()]
            )

    # Repair

    def repair(self, *, lost: Collection[str] = ()) -> None:
        """Make rows and folders agree again after a crash; and where the folder was moved, find moved inputs.

        Args:
            lost: Processes that are known to be gone, also those of other machines.
        """
        self._follow()
        facts = self.facts
        running = self._rows("WHERE state = 'running'")
        left = [(row, self._whole(row, facts)) for row in running if row.owner in lost or _is_lost(row)]
        gone = [case for case in self.names("done") if not (self.folder / case / "case.json").is_file()]
        with self._writing():
            survived = self._most_survived()
            for row, record in left:
                self._base.execute(
                    f"UPDATE cases SET state = 'waiting', {FREED} WHERE case_name = ? AND owner = ?",
                    (row.case, row.owner),
                )
                if self._base.execute("SELECT changes()").fetchone() == (0,):  # repaired by another process
                    continue
                if record is not None:
                    self._finish(row.case, record)
                elif row.attempts >= survived + MORE_LOSSES:
                    reason = (
                        f"The process ended {row.attempts} times while it worked on this case, and at most {survived} "
                        "times on one that was finished. Free memory, retry."
                    )
                    self._base.execute(
                        "UPDATE cases SET state = 'failed', reason = ? WHERE case_name = ?", (reason, row.case)
                    )
            self._base.executemany(
                "UPDATE cases SET state = 'waiting', attempts = 0 WHERE case_name = ? AND state = 'done'",
                [(case,) for case in gone],
            )

    def _whole(self, row: CaseRow, facts: Mapping[str, Any]) -> CaseRecord | None:
        """Return the record of a case whose folder is complete, and of this input, bundle and request."""
        record = read_record(self.folder / row.case)
        if record is None or "bundle" not in facts:
            return None
        known = {"bundle_digest": facts["bundle"]["digest"], "request": facts["request"]}
        is_same = record.source.location_sha256 == location_digest(row.path, row.part)
        is_same = is_same and why_again(self.folder / row.case, record, digest=None, **known) is None
        return record if is_same else None

    def _most_survived(self) -> int:
        """Return how often a case was lost at most that came to an end nevertheless."""
        (most,) = self._base.execute("SELECT max(attempts) FROM cases WHERE state IN ('done', 'refused')").fetchone()
        return max(int(most or 0) - 1, 0)  # the last time it was not lost

    def _finish(self, case: str, record: CaseRecord) -> None:
        self._base.execute(
            f"UPDATE cases SET state = 'done', reason = '', {FREED}, seconds = ?, digest = ?, expected_dice = ?, "
            "warnings = ? WHERE case_name = ?",
            (
                sum(record.seconds.values()),
                record.source.sha256,
                record.lowest_expected_dice,
                len(record.warnings),
                case,
            ),
        )

    def _follow(self) -> None:
        """Where this folder was moved with its inputs, find these from it."""
        before, now = self.facts.get("home"), home_of(self.folder)
        if before is None or before == now:
            return
        moved = []
        for row in self.rows():
            path, reference = moved_path(row.path, before, now), row.reference
            moved.append((os.fsencode(path), encoded(reference and moved_path(reference, before, now)), row.case))
        with self._writing():
            self._base.executemany("UPDATE OR IGNORE cases SET path = ?, reference = ? WHERE case_name = ?", moved)
            self._base.execute("UPDATE facts SET value = ? WHERE name = 'home'", (json.dumps(now),))


def _is_lost(row: CaseRow) -> bool:
    is_old = is_elsewhere(row.owner) and time.time() - row.since > ELSEWHERE_H * 3600
    return is_abandoned(row.owner) or is_old
