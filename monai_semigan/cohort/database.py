# SPDX-License-Identifier: Apache-2.0
"""A SQLite file of ours: its tables, who may read it, and what SQLite's errors mean."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, TypeVar

from monai_semigan.cohort.journal import journal_mode
from monai_semigan.errors import ConfigError, InputError, OutputError
from monai_semigan.files import escaped
from monai_semigan.types import PathLike

__all__ = ["Database", "Schema"]

Self = TypeVar("Self", bound="Database")

BUSY_S = 60.0
"""How long a process waits for another one's transaction, seconds; each takes milliseconds."""


@dataclass(frozen=True, kw_only=True)
class Schema:
    """What a file of ours holds, and what errors call it.

    Attributes:
        name: Of the file.
        application: Mark in SQLite's header.
        version: Of the tables.
        tables: Statements that make them, with ``;`` between.
        what: What the file is, such as ``the manifest of a cohort``.
        folder: What the folder around it is, such as ``the output folder of a cohort``.
        begin: Command that makes it.
        lost: What to do when it is damaged, after "Move it away".
    """

    name: str
    application: int
    version: int
    tables: str
    what: str
    folder: str
    begin: str
    lost: str


class Database:
    """An open file; a subclass says of which `Schema`, and what can be asked of it.

    Args:
        folder: Where the file lies.
        create: Make it where there is none.

    Raises:
        InputError: There is none, or the file is damaged or something else.
        ConfigError: It is of another version.
        OutputError: It cannot be written, or another process holds it for too long.
    """

    SCHEMA: ClassVar[Schema]

    def __init__(self, folder: PathLike, *, create: bool = False) -> None:
        self.folder = Path(folder)
        self.path = self.folder / self.SCHEMA.name
        if not create and not self.path.is_file():
            raise InputError(
                f"`{escaped(folder)}` must be {self.SCHEMA.folder}, but holds no {self.SCHEMA.name}. Begin with "
                f"`{self.SCHEMA.begin}`."
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
                for statement in self.SCHEMA.tables.split(";"):
                    self._base.execute(statement)
                self._base.execute(f"PRAGMA application_id = {self.SCHEMA.application}")
                self._base.execute(f"PRAGMA user_version = {self.SCHEMA.version}")

    def _require_ours(self) -> None:
        # Asked first: another process may make the tables right now, and the marks with them.
        is_empty = self._base.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        application, version = (
            self._base.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        if is_empty and not application and not version:
            return
        ours = self.SCHEMA
        if application != ours.application:
            raise InputError(f"`{ours.name}` must be {ours.what}, but is another database. Move it.")
        if version != ours.version:
            raise ConfigError(
                f"`{ours.name}` must be of version {ours.version}, got {version}. Use the release of monai_semigan "
                "that began it, or choose another output folder."
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
                f"`{self.SCHEMA.name}` must be a file that can be written ({name}). Free some space, or wait for the "
                "process that holds it."
            ) from None
        except sqlite3.DatabaseError:
            raise InputError(
                f"`{self.SCHEMA.name}` must be {self.SCHEMA.what}, but is damaged. Move it away{self.SCHEMA.lost}."
            ) from None
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(
                f"`{escaped(self.folder)}` must be a folder that can be written: {error.strerror}."
            ) from None


def _make_private(path: Path) -> None:
    """Create the file for its owner alone, and make one so that was copied with other rights.

    A file that is there is not opened: closing it would drop the locks of all this process' other connections to it
    (POSIX locks, sqlite.org/howtocorrupt.html 2.2), and another process would take away the log that they write to.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        if path.stat().st_mode & 0o077:
            with suppress(OSError):  # another one's, or not on every system
                path.chmod(0o600)
