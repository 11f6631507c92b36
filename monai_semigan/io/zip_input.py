# SPDX-License-Identifier: Apache-2.0
"""Unpack a zip of volumes from anywhere: nothing outside the folder, nothing larger than meant, nothing half-done."""

from __future__ import annotations

import errno
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from monai_semigan.errors import InputError, OutputError
from monai_semigan.files import RESERVED_NAMES
from monai_semigan.types import PathLike

__all__ = ["MAX_FILES", "MAX_TOTAL_BYTES", "unpack_zip"]

MAX_FILES = 50_000
"""Five volumes of the largest kind."""

MAX_TOTAL_BYTES = 20 * 2**30
"""Of all files unpacked."""

MAX_RATIO = 200
"""Unpacked to packed bytes of the whole: images shrink 2 to 20 times, label maps 100 times, bombs 1,000 and more."""

RATIO_MATTERS_BYTES = 100 * 2**20
"""Below this no ratio does harm."""

CHUNK_BYTES = 2**20

DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
"""Of the folder for the contents; other errors of reading and seeking come from what the zip says."""

MAX_NAME_BYTES = 255
"""Of one folder or file, in usual file systems."""


def unpack_zip(path: PathLike, folder: PathLike) -> Path:
    """Unpack a zip into a new folder inside ``folder`` and return that; on any failure nothing of it is left.

    Args:
        path: The zip.
        folder: An existing folder, usually a temporary one.

    Raises:
        InputError: It is damaged, encrypted or too large; it holds links, doubles or names that lead elsewhere.
        OutputError: It does not fit onto the disk.
    """
    path = Path(path)
    target = Path(tempfile.mkdtemp(prefix="zip_", dir=folder))
    try:
        with zipfile.ZipFile(path) as archive:
            _unpack(path, archive, target)
    except BaseException as error:
        shutil.rmtree(target, ignore_errors=True)
        if isinstance(error, (InputError, OutputError)):
            raise
        if isinstance(error, OSError) and error.errno in DISK_FAULTS:
            raise OutputError(f"`{path.name}` could not be unpacked: {error.strerror}.") from error
        if isinstance(error, Exception):  # zipfile raises what it likes, down to struct.error
            raise InputError(
                f"`{path.name}` must be a complete zip, but is damaged ({type(error).__name__}). Copy it again."
            ) from error
        raise
    return target


def _unpack(path: Path, archive: zipfile.ZipFile, target: Path) -> None:
    members = [member for member in archive.infolist() if not member.is_dir()]
    _check_total(path, members, target)
    places: dict[str, tuple[zipfile.ZipInfo, Path]] = {}
    for member in members:
        place = target.joinpath(*_safe_parts(path.name, member))
        if str(place).casefold() in places:
            raise InputError(f"`{path.name}` must hold each name once, but `{place.name}` comes twice.")
        places[str(place).casefold()] = member, place
    left = MAX_TOTAL_BYTES
    for member, place in places.values():
        place.parent.mkdir(parents=True, exist_ok=True)
        left -= _write(path.name, archive, member, place, limit=min(left, member.file_size))


def _check_total(path: Path, members: list[zipfile.ZipInfo], target: Path) -> None:
    total = sum(member.file_size for member in members)
    if len(members) > MAX_FILES:
        raise InputError(f"`{path.name}` must hold at most {MAX_FILES:,} files, got {len(members):,}.")
    if total > MAX_TOTAL_BYTES:
        raise InputError(
            f"`{path.name}` must unpack to at most {MAX_TOTAL_BYTES // 2**30} GiB, got {total / 2**30:.1f} GiB."
        )
    ratio = total / max(path.stat().st_size, 1)
    if total > RATIO_MATTERS_BYTES and ratio > MAX_RATIO:
        raise InputError(f"`{path.name}` must hold images, but grows {ratio:.0f} times when unpacked, as zip bombs do.")
    free = shutil.disk_usage(target).free
    if total > free:
        raise OutputError(
            f"`{path.name}` unpacks to {total / 2**30:.1f} GiB, but only {free / 2**30:.1f} GiB are free in the folder "
            "for temporary files."
        )


def _safe_parts(name: str, member: zipfile.ZipInfo) -> tuple[str, ...]:
    """Return the folders and the file name below the target."""
    inside = member.filename.replace("\\", "/")
    parts = PurePosixPath(inside).parts
    is_outside = inside.startswith("/") or ".." in parts or any(":" in part for part in parts[:1])
    is_device = any(part.split(".")[0].strip().upper() in RESERVED_NAMES for part in parts)
    if (
        is_outside
        or is_device
        or not parts
        or "\0" in member.orig_filename
        or any(len(p.encode(errors="replace")) > MAX_NAME_BYTES for p in parts)
    ):
        raise InputError(f"`{name}` must hold names inside its own folder, got {member.filename[:80]!r}.")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise InputError(f"`{name}` must hold plain files, but {member.filename[:80]!r} is a link or device.")
    if member.flag_bits & 1:
        raise InputError(f"`{name}` must not be encrypted. Unpack it yourself and give the folder.")
    return parts


def _write(name: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: Path, *, limit: int) -> int:
    """Write one file; more bytes than its entry declares are refused while they come."""
    written = 0
    with archive.open(member) as packed, place.open("xb") as stream:
        while chunk := packed.read(CHUNK_BYTES):
            written += len(chunk)
            if written > limit:
                raise InputError(f"`{name}` must hold what it declares, but {member.filename[:80]!r} is larger.")
            stream.write(chunk)
    return written
