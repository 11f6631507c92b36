# SPDX-License-Identifier: Apache-2.0
"""The SQLite file of a manifest: its tables, who may read it, and what SQLite's errors mean."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from monai_semigan.cohort.journal import journal_mode
from monai_semigan.cohort.naming import MANIFEST_NAME
from monai_semigan.errors import ConfigError, InputError, OutputError
from monai_semigan.files import escaped
from monai_semigan.types import PathLike

__all__ = ["Database"]

Self = TypeVar("Self", bound="Database")

APPLICATION: Final = 0x53474348
"""Mark of our files in SQLite's header ("SGCH")."""

VERSION: Final = 1
"""Of the tables below."""

BUSY_S = 60.0
"""How long a process waits for another one's transaction, seconds; each takes milliseconds."""

TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE cases (
    id INTEGER PRIMARY KEY,
    case_name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    path BLOB NOT NULL,
    part TEXT NOT NULL,
    source TEXT NOT NULL,
    patient TEXT NOT NULL,
    reference BLOB,
    groups TEXT NOT NULL,
    share INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'refused', 'failed')),
    host TEXT NOT NULL DEFAULT '',
    pid INTEGER NOT NULL DEFAULT 0,
    owner TEXT NOT NULL DEFAULT '',
    since REAL NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0,
    seconds REAL,
    digest TEXT NOT NULL DEFAULT '',
    expected_dice REAL,
    warnings INTEGER NOT NULL DEFAULT 0,
    dice REAL,
    UNIQUE (path, part)
);
CREATE INDEX cases_by_state ON cases (state, attempts, id);
CREATE INDEX cases_by_owner ON cases (owner) WHERE owner != '';
"""


class Database:
    """An open manifest file; arguments and errors as of `manifest.Manifest`."""

    def __init__(self, folder: PathLike, *, create: bool = False) -> None:
        self.folder = Path(folder)
        self.path = self.folder / MANIFEST_NAME
        if not create and not self.path.is_file():
            raise InputError(
                f"`{escaped(folder)}` must be the output folder of a cohort, but holds no {MANIFEST_NAME}. Begin with "
                "`semigan cohort run`."
            )
        with self._faults():
            _make_private(self.path)
            self._base = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._base.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepare(self) -> None:
        with self._faults():
            self._require_ours()
            wanted = journal_mode(self.folder)
            for _ in range(int(BUSY_S / 0.1)):  # SQLite does not wait for this one itself
                try:
                    self._base.execute(f"PRAGMA journal_mode = {wanted}")
                    break
                except sqlite3.OperationalError:
                    time.sleep(0.1)
        with self._writing():
            if self._base.execute("PRAGMA user_version").fetchone() == (0,):
                for statement in TABLES.split(";"):
                    self._base.execute(statement)
                self._base.execute(f"PRAGMA application_id = {APPLICATION}")
                self._base.execute(f"PRAGMA user_version = {VERSION}")

    def _require_ours(self) -> None:
        # Asked first: another process may make the tables right now, and the marks with them.
        is_empty = self._base.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        application, version = (
            self._base.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        if is_empty and not application and not version:
            return
        if application != APPLICATION:
            raise InputError(f"`{MANIFEST_NAME}` must be the manifest of a cohort, but is another database. Move it.")
        if version != VERSION:
            raise ConfigError(
                f"`{MANIFEST_NAME}` must be of version {VERSION}, got {version}. Use the release of monai_semigan that "
                "began the cohort, or choose another output folder."
            )
        if self._base.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("quick_check")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._faults():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Say what SQLite's errors mean; its own words may quote values."""
        try:
            yield
        except sqlite3.OperationalError as error:
            name = getattr(error, "sqlite_errorname", "error")  # from Python 3.11 on
            raise OutputError(
                f"`{MANIFEST_NAME}` must be a file that can be written ({name}). Free some space, or wait for the "
                "process that holds it."
            ) from None
        except sqlite3.DatabaseError:
            raise InputError(
                f"`{MANIFEST_NAME}` must be the manifest of a cohort, but is damaged. Move it away and repeat "
                "`semigan cohort run`: finished cases are found again."
            ) from None
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(
                f"`{escaped(self.folder)}` must be a folder that can be written: {error.strerror}."
            ) from None


def _make_private(path: Path) -> None:
    """Create the file for its owner alone, and make one so that was copied with other rights."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        with suppress(OSError, AttributeError):  # another one's, or not on every system
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
