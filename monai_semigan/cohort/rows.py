# SPDX-License-Identifier: Apache-2.0
"""The rows of a manifest: what a case is of, how far it is, and which of them are meant."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from monai_semigan.errors import ConfigError
from monai_semigan.files import escaped, few

__all__ = ["STATES", "CaseRow", "Part", "State", "Unit", "Where", "share_of"]

State = Literal["waiting", "running", "done", "refused", "failed"]
"""``refused``: the input cannot be used as it is; ``failed``: something else went wrong, which may go right again."""

STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One image or study to segment. Paths and patients are in no ``repr``, so that no log or error can show them.

    Attributes:
        case: Name of the case, and of its folder.
        path: File or folder.
        part: Which volume of ``path``; empty for its only one.
        source: What a volume is called in its ``case.json``; empty for the name of its file or folder.
        patient: Whose it is; empty if unknown.
        reference: Label map to score against.
        groups: Values of further columns, by header.
    """

    case: str
    path: Path = field(repr=False)
    part: str = field(default="", repr=False)
    source: str = field(default="", repr=False)
    patient: str = field(default="", repr=False)
    reference: Path | None = field(default=None, repr=False)
    groups: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class CaseRow(Unit):
    """A unit in the manifest.

    Attributes:
        state: How far it is.
        owner: `atomic.owner_name` of the process that works on it; empty if none does.
        since: When that process began with it, seconds since 1970; 0 if none does.
        reason: Why it is refused or failed.
        attempts: How often it was begun, without those times when it was given back.
        seconds: Time that it took.
        digest: SHA-256 of its source.
        expected_dice: The lowest of its classes.
        warnings: Number of them.
        dice: Against the reference, mean of the classes.
    """

    state: State = "waiting"
    owner: str = ""
    since: float = 0.0
    reason: str = ""
    attempts: int = 0
    seconds: float | None = None
    digest: str = ""
    expected_dice: float | None = None
    warnings: int = 0
    dice: float | None = None


def share_of(case: str) -> int:
    """Return a number that a case is dealt out by: the same on every machine, and evenly spread."""
    return int(hashlib.sha256(case.encode(errors="surrogateescape")).hexdigest()[:15], 16)  # SQLite has 63 bits


@dataclass(frozen=True)
class Part:
    """One of several equal shares of the rows.

    Attributes:
        index: Which, from 0 on.
        count: Of how many.

    Raises:
        ConfigError: There is no such part.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"`num_parts` must be >= 1, got {self.count}.")
        if not 0 <= self.index < self.count:
            raise ConfigError(f"`part_id` must be 0 to {self.count - 1} for {self.count} parts, got {self.index}.")

    def holds(self, case: str) -> bool:
        """Whether a case is in it."""
        return share_of(case) % self.count == self.index


@dataclass(frozen=True)
class Where:
    """Rows of certain values, ``column=value``: of several columns all must fit, of one column's values any.

    Attributes:
        wanted: Values by column: ``status``, ``case``, ``patient``, or a further column of the table of cases.
    """

    wanted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Where:
        """Read ``column=value`` texts.

        Raises:
            ConfigError: One is something else, or no status.
        """
        wanted: dict[str, tuple[str, ...]] = {}
        for text in texts:
            column, mark, value = text.partition("=")
            column, value = column.strip().casefold(), value.strip()
            if not mark or not column:
                raise ConfigError(f"`where` must be column=value, got {escaped(text)}. Try status=failed.")
            if column == "status" and value not in STATES:
                raise ConfigError(f"`status` must be one of {', '.join(STATES)}, got {escaped(value)}.")
            wanted[column] = (*wanted.get(column, ()), value)
        return cls(wanted)

    def __bool__(self) -> bool:
        return bool(self.wanted)

    def require_known(self, columns: Collection[str]) -> None:
        """Refuse columns that no row has.

        Raises:
            ConfigError: There is one.
        """
        known = {"status", "case", "patient", *columns}
        unknown = self.wanted.keys() - known
        if unknown:
            raise ConfigError(f"`where` must name columns of {few(sorted(known))}, got {few(sorted(unknown))}.")

    def fits(self, row: CaseRow) -> bool:
        """Whether a row is meant."""
        own = {"status": row.state, "case": row.case, "patient": row.patient}
        return all({**row.groups, **own}.get(column, "") in values for column, values in self.wanted.items())
