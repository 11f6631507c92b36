# SPDX-License-Identifier: Apache-2.0
"""The instances that came in, one folder per series: each whole and on the disk before its sender is told so.

``received/SERIES/INSTANCE.dcm``, both named by a short hash of their UID, so that no name identifies a patient, and the
same instance sent again takes its own place. A hidden mark in a series' folder says that it is still coming in, or was
not entered into the queue yet; it is there after a crash too.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from monai_semigan.atomic import remove_stale, replacing, sync
from monai_semigan.errors import InputError, OutputError
from monai_semigan.files import make_folder
from monai_semigan.io.dicom.file import header_of
from monai_semigan.io.dicom.values import ElementValues
from monai_semigan.types import PathLike

__all__ = ["InstanceStore", "Kept", "MismatchError", "StoreFullError", "short_name"]

MARK = ".arriving"

RESERVE_BYTES = 2**26
"""Of the disk that instances leave free, for results and the ledger."""

DIGITS = 20
"""Hexadecimal digits of a UID's hash: 80 bits, enough that no two of a hospital meet."""


class MismatchError(InputError):
    """An instance is not what its sender said."""


class StoreFullError(OutputError):
    """There is no room for another instance."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """An instance that is on the disk.

    Attributes:
        series: Name of its series' folder.
        path: Its file.
        sop_class: SOPClassUID.
    """

    series: str
    path: Path
    sop_class: str


@dataclass
class _Arrival:
    """A series that comes in: when the last instance was there, and how many are being written."""

    last: float
    writing: int = 0


class InstanceStore:
    """The folder of received instances; any number of threads may use it.

    Args:
        folder: Made if need be.
        max_bytes: Of everything in ``measured``; None for no limit but the disk's.
        measured: Folder whose size counts; None for ``folder``.
        clock: Seconds, rising.
    """

    def __init__(
        self,
        folder: PathLike,
        *,
        max_bytes: int | None = None,
        measured: PathLike | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.max_bytes = make_folder(folder), max_bytes
        self.measured, self.clock = Path(measured or folder), clock
        self.num_kept = self.used = 0
        self._arriving: dict[str, _Arrival] = {}
        self._lock = threading.Lock()
        for path in self.series():
            remove_stale(path)
            if (path / MARK).exists():
                self._arriving[path.name] = _Arrival(self.clock())
        self.measure()

    def series(self) -> list[Path]:
        """List the folders of series."""
        return sorted(path for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith("."))

    @property
    def num_arriving(self) -> int:
        """Series that are not complete yet."""
        return len(self._arriving)

    def keep(self, content: bytes, *, sop_class: str | None = None, sop_instance: str | None = None) -> Kept:
        """Write an instance; when this returns the disk has it.

        Args:
            content: A whole DICOM file.
            sop_class: What its sender says that it is; None if nothing was said.
            sop_instance: The same of its SOPInstanceUID.

        Raises:
            InputError: It is no image, or is not whole.
            MismatchError: It is not what its sender says.
            StoreFullError: There is no room.
        """
        values = ElementValues(header_of(content))
        found = {name: values.text(name) for name in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")}
        if not all(found.values()) or not values.integer("Rows") or not values.integer("Columns"):
            raise InputError("An instance must say its series, its UID and its size in pixels.")
        if sop_class not in (None, found["SOPClassUID"]) or sop_instance not in (None, found["SOPInstanceUID"]):
            raise MismatchError("An instance must be of the class and UID that it was announced with.")
        self._require_room(len(content))
        key = short_name(found["SeriesInstanceUID"])
        path = self.folder / key / f"{short_name(found['SOPInstanceUID'])}.dcm"
        self._begin(key)
        try:
            before = path.stat().st_size if path.exists() else 0
            with replacing(path, is_durable=True) as temporary:
                temporary.write_bytes(content)
        except OutputError as error:
            raise StoreFullError(str(error)) from error
        finally:
            self._end(key)
        with self._lock:
            self.used += len(content) - before
            self.num_kept += 1
        return Kept(series=key, path=path, sop_class=found["SOPClassUID"])

    def arrive(self, series: str) -> None:
        """Take a series as one that has just come in, to be entered into the queue again."""
        self._begin(series)
        self._end(series)

    def complete(self, quiet_s: float) -> list[str]:
        """Return the series without a new instance for so long. Each is returned once, until another one comes."""
        now, found = self.clock(), []
        with self._lock:
            for key, arrival in list(self._arriving.items()):
                if not arrival.writing and now - arrival.last >= quiet_s:
                    del self._arriving[key]
                    found.append(key)
        return found

    def settle(self, series: str) -> None:
        """Say that a series is in the queue, unless instances came meanwhile."""
        with self._lock:
            if series not in self._arriving:
                (self.folder / series / MARK).unlink(missing_ok=True)

    def remove(self, series: str) -> bool:
        """Delete a series; False if it is coming in again."""
        with self._lock:
            if series in self._arriving:
                return False
            hidden = self.folder / f".{series}.removed"
            with contextlib.suppress(FileNotFoundError):
                (self.folder / series).rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)
        return True

    def measure(self) -> int:
        """Count the bytes on the disk anew, and return them."""
        for path in self.folder.glob(".*.removed"):  # left by a crash
            shutil.rmtree(path, ignore_errors=True)
        self.used = _size(self.measured)
        return self.used

    @property
    def is_full(self) -> bool:
        """Whether not even a small instance fits."""
        try:
            self._require_room(0)
        except StoreFullError:
            return True
        return False

    def _require_room(self, num_bytes: int) -> None:
        if self.max_bytes is not None and self.used + num_bytes > self.max_bytes:
            raise StoreFullError(
                f"`max_disk` must leave room for another instance, but {self.used} of {self.max_bytes} bytes are used. "
                "Wait until results are delivered, or allow more."
            )
        if shutil.disk_usage(self.folder).free < num_bytes + RESERVE_BYTES:
            raise StoreFullError("The disk must have room for another instance, but is full. Free some space.")

    def _begin(self, key: str) -> None:
        folder = self.folder / key
        with self._lock:
            arrival = self._arriving.get(key)
            if arrival is None:
                try:
                    is_new = not folder.exists()
                    folder.mkdir(exist_ok=True)
                    (folder / MARK).touch()
                    sync(folder)
                    if is_new:
                        sync(self.folder)
                except OSError as error:
                    raise StoreFullError(f"A series must find room on the disk, but: {error.strerror}.") from error
                arrival = self._arriving[key] = _Arrival(self.clock())
            arrival.writing += 1

    def _end(self, key: str) -> None:
        with self._lock:
            self._arriving[key].writing -= 1
            self._arriving[key].last = self.clock()


def short_name(uid: str) -> str:
    """Return a name for a UID that tells it from others and nothing else."""
    return hashlib.sha256(uid.encode()).hexdigest()[:DIGITS]


def _size(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(root) / name).stat().st_size
    return total
