# SPDX-License-Identifier: Apache-2.0
"""Write files whole or not at all.

What is not whole yet has a hidden name that says whose it is: ``.NAME.PID-HOST.tmp``, where HOST is a short hash and,
where the system tells it, when the process began: numbers of processes come again, in a container at once. So a later
run can tell what a killed one left behind from what another one, here or on another machine, is still writing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from monai_semigan.errors import OutputError
from monai_semigan.types import PathLike

__all__ = [
    "is_abandoned",
    "is_elsewhere",
    "owner_name",
    "remove_stale",
    "replacing",
    "replacing_folder",
    "scratch_folder",
    "sync",
]

OWNER = r"(\d+)-([0-9a-f]{6})([0-9a-f]*)"
"""An `owner_name`: process, machine, and when the process began."""

STALE_NAME = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)-(?P<host>[0-9a-f]{6,22})\.(?P<kind>tmp|old)")


@contextlib.contextmanager
def replacing(path: PathLike, *, is_durable: bool = False) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` to write to; rename it when the block ends, remove it when it fails.

    Args:
        path: The file.
        is_durable: Return when the disk has it: it is there after a loss of power.

    Raises:
        OutputError: The operating system refused, for example for want of space.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{owner_name()}.tmp")
    try:
        yield temporary
        if is_durable:
            sync(temporary)
        temporary.replace(path)
        if is_durable:
            sync(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, OutputError):
            reason = error.strerror or str(error)
            raise OutputError(
                f"`{path}` could not be written: {reason}. Free some space or choose another folder."
            ) from error
        raise


def sync(path: PathLike) -> None:
    """Wait until the disk has a file's bytes, or a folder's names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing_folder(path: PathLike) -> Iterator[Path]:
    """Yield a new folder beside ``path`` to fill; it takes the place of ``path`` when the block ends.

    It is removed when the block fails. What was at ``path`` before stays until the new folder is complete.

    Raises:
        OutputError: The operating system refused, for example for want of space.
    """
    path = Path(path)
    temporary, old = (path.with_name(f".{path.name}.{owner_name()}.{kind}") for kind in ("tmp", "old"))
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and not path.exists():
            old.rename(path)
        if isinstance(error, OSError) and not isinstance(error, OutputError):
            reason = error.strerror or str(error)
            raise OutputError(
                f"`{path}` could not be written: {reason}. Free some space or choose another folder."
            ) from error
        raise


@contextlib.contextmanager
def scratch_folder(path: PathLike, name: str) -> Iterator[Path]:
    """Yield a new, hidden folder inside the folder ``path``; it is removed when the block ends."""
    with tempfile.TemporaryDirectory(prefix=f".{name}.", suffix=f".{owner_name()}.tmp", dir=path) as folder:
        yield Path(folder)


def remove_stale(folder: PathLike) -> None:
    """Remove what runs of this machine that are gone left unfinished directly inside ``folder``.

    A result that was just being replaced is put back. Other hidden entries, and those of other machines, stay.
    """
    for path in sorted(Path(folder).iterdir()):
        found = STALE_NAME.fullmatch(path.name)
        if found is None or not is_abandoned(f"{found['pid']}-{found['host']}"):
            continue
        target = path.with_name(found["name"])
        with contextlib.suppress(OSError):
            if found["kind"] == "old" and not target.exists():
                path.rename(target)
            elif path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def owner_name() -> str:
    """Return what tells this process from all others, here and on other machines."""
    return f"{os.getpid()}-{_host()}{_began(os.getpid())}"


def is_abandoned(owner: str) -> bool:
    """Whether an `owner_name` is of a process of this machine that runs no more."""
    found = re.fullmatch(OWNER, owner)
    if found is None or found[2] != _host():
        return False
    pid, began = int(found[1]), found[3]
    return not _is_running(pid) or (began != "" and _began(pid) not in ("", began))


def is_elsewhere(owner: str) -> bool:
    """Whether an `owner_name` is of another machine, of whose processes nothing can be asked."""
    found = re.fullmatch(OWNER, owner)
    return found is not None and found[2] != _host()


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:6]


def _began(pid: int) -> str:
    """When a process began, in the system's own count, hexadecimal; nothing where the system does not tell."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]  # a name may hold anything
        return format(int(after_name.split()[19]), "x")
    except (OSError, ValueError, IndexError):
        return ""


def _is_running(pid: int) -> bool:
    """Whether a process of this machine has the number; where that cannot be asked without harm, True."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)  # signal 0 only asks
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
