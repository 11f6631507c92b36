# SPDX-License-Identifier: Apache-2.0
"""Read files that others wrote within bounds; write results whole or not at all, under names that all systems take."""

from __future__ import annotations

import errno
import json
import os
import platform
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from monai_semigan.atomic import replacing, replacing_folder
from monai_semigan.errors import InputError, OutputError, SemiGanError, TrainingError
from monai_semigan.types import PathLike

__all__ = [
    "RESERVED_NAMES",
    "RunLock",
    "escaped",
    "few",
    "make_folder",
    "open_regular",
    "parse_json",
    "read_json",
    "read_regular",
    "replacing_results",
    "safe_name",
    "write_bytes",
    "write_json",
    "write_text",
]

LOCK_NAME = ".run.lock"

RESERVED_NAMES = frozenset(
    {"CON", "PRN", "AUX", "NUL", *(f"{port}{at}" for port in ("COM", "LPT") for at in range(10))}
)
"""Windows opens devices by these names."""

RESULT_FILES = frozenset({"report.json", "report.html", "result.json", "summary.json", "cases.csv", "patients.csv"})
"""Files beside the folders of cases, which cannot be named so."""

MAX_NAME_LENGTH = 80

MAX_NAME_BYTES = 160
"""File systems take 255; endings and numbers come to it."""

SHOWN = 200
"""Characters of a foreign name that an error quotes; paths may be long."""

NAMED = 3
"""Items named in an error; the rest is counted."""


def escaped(name: object) -> str:
    """Return a name from foreign data on one printable line: a terminal must not obey it."""
    text = str(name)
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:SHOWN])
    return shown if len(text) <= SHOWN else shown + "..."


def few(items: Iterable[object]) -> str:
    """Name the first items of foreign data, as `escaped` does, and count the rest."""
    names = [escaped(item) for item in items]
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def open_regular(path: PathLike, *, error: type[SemiGanError] = InputError) -> BinaryIO:
    """Open a regular file, or a link to one, for reading: no device, pipe, socket or folder, which could block or act.

    Raises:
        SemiGanError: As ``error``: it is missing, something else, or cannot be read.
    """
    name = escaped(path)
    try:
        is_regular = stat.S_ISREG(Path(path).stat().st_mode)  # asked first: opening a device can act
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        stream = os.fdopen(os.open(path, flags), "rb") if is_regular else None
    except (OSError, ValueError) as cause:  # ValueError: a null byte in the path
        reason = getattr(cause, "strerror", None) or "it has an odd name"
        raise error(f"`{name}` must be a file that can be read: {reason}.") from cause
    if stream is None or not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):  # exchanged since
        if stream is not None:
            stream.close()
        raise error(f"`{name}` must be a regular file, but is none.")
    return stream


def read_regular(path: PathLike, max_bytes: int, *, error: type[SemiGanError] = InputError) -> bytes:
    """Read a whole regular file of at most ``max_bytes``.

    Raises:
        SemiGanError: As ``error``: it is missing, no regular file, larger, or cannot be read.
    """
    with open_regular(path, error=error) as stream:
        try:
            content = stream.read(max_bytes + 1) if os.fstat(stream.fileno()).st_size <= max_bytes else None
        except OSError as cause:
            raise error(f"`{escaped(path)}` must be a file that can be read: {cause.strerror}.") from cause
    if content is None or len(content) > max_bytes:
        raise error(f"`{escaped(path)}` must be at most {max_bytes} bytes, but is larger.")
    return content


def read_json(path: PathLike, max_bytes: int, *, error: type[SemiGanError] = InputError) -> Any:
    """Read UTF-8 JSON as `read_regular` does; NaN and infinity, which are no JSON, are refused.

    Raises:
        SemiGanError: As ``error``: as `read_regular`, or it is no JSON.
    """
    return parse_json(read_regular(path, max_bytes, error=error), path, error=error)


def parse_json(content: bytes, path: PathLike, *, error: type[SemiGanError] = InputError) -> Any:
    """Parse what was read of ``path`` as `read_json` does; raises as it does."""
    try:
        return json.loads(content.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as cause:
        line = f" (line {cause.lineno})" if isinstance(cause, json.JSONDecodeError) else ""
        raise error(f"`{escaped(path)}` must be JSON, but is not{line}.") from cause


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def make_folder(path: PathLike) -> Path:
    """Create a folder with its parents, and check that it can be written.

    Raises:
        OutputError: It cannot.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-test.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"`{folder}` must be a folder that can be written: {error.strerror}.") from error
    return folder


@contextmanager
def replacing_results(path: PathLike, marker: str) -> Iterator[Path]:
    """Yield a hidden folder to fill, as `replacing_folder` does; only a folder of earlier results is replaced.

    Args:
        path: The folder of the results.
        marker: A file that every such folder holds.

    Raises:
        OutputError: There are other things in the folder, or it cannot be written.
    """
    folder = Path(path)
    if folder.exists() and not (folder / marker).exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise OutputError(f"`{folder}` must be new, empty, or hold an earlier {marker}. Choose a folder of its own.")
    with replacing_folder(folder) as hidden:
        yield hidden


def write_bytes(path: PathLike, content: bytes) -> None:
    """Write a whole file or nothing.

    Raises:
        OutputError: The file cannot be written; nothing of it is left.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: PathLike, content: str) -> None:
    """Write UTF-8 text as `write_bytes` does; what a file name holds beside UTF-8 is escaped."""
    write_bytes(path, content.encode(errors="backslashreplace"))


def write_json(path: PathLike, content: Any) -> None:
    """Write indented JSON as `write_bytes` does; NaN and infinity are refused."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


class RunLock:
    """Only one process works in a folder: a second one is refused. The system lets go of it when its process ends.

    .. code-block:: python

        with RunLock("runs/gan"):
            ...

    Args:
        folder: An existing folder; the lock is its file ``.run.lock``, which says who holds it and stays there.
    """

    def __init__(self, folder: PathLike) -> None:
        self.folder = Path(folder)
        self._descriptor: int | None = None

    def take(self) -> RunLock:
        """Take the lock, until `release`.

        Raises:
            TrainingError: Another process has it.
            OutputError: The folder cannot be written.
        """
        path = self.folder / LOCK_NAME
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        except OSError as error:
            raise OutputError(f"`{self.folder}` must be a folder that can be written: {error.strerror}.") from error
        if not _locked(descriptor):
            holder = escaped(os.read(descriptor, SHOWN).decode(errors="replace").strip()) or "another process"
            os.close(descriptor)
            raise TrainingError(
                f"`{self.folder}` must be used by one run at a time, but {holder} works in it. Wait for its end, or "
                "choose another folder."
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode())
        self._descriptor = descriptor
        return self

    def release(self) -> None:
        """Let others work there; nothing to do the second time."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> RunLock:
        return self.take()

    def __exit__(self, *reason: object) -> None:
        self.release()


def _locked(descriptor: int) -> bool:
    """Take the system's lock of an open file; where there are no such locks, always."""
    try:
        import fcntl  # noqa: PLC0415  (not on every system)

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return True
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES)  # others: this file system has none
    return True


def safe_name(text: str) -> str:
    """Return a name that every file system takes as one folder: letters, digits, ``-``, ``_`` and inner dots."""
    text = unicodedata.normalize("NFC", text)
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in text)
    kept = (
        kept.strip("._ ")[:MAX_NAME_LENGTH].encode()[:MAX_NAME_BYTES].decode(errors="ignore").rstrip("._ ") or "volume"
    )
    is_taken = kept.split(".")[0].upper() in RESERVED_NAMES or kept.lower() in RESULT_FILES
    return f"{kept}_" if is_taken else kept
