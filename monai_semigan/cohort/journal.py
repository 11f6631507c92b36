# SPDX-License-Identifier: Apache-2.0
"""How SQLite must keep its journal where a manifest lies."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Literal

__all__ = ["journal_mode"]

NETWORK = frozenset(
    ["nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "afs", "9p"]
)
"""File systems that several machines share, as Linux calls them."""

MOUNTS = Path("/proc/self/mounts")


def journal_mode(folder: Path, *, mounts: Path = MOUNTS) -> Literal["wal", "delete"]:
    """Choose the write-ahead log, under which readers never wait; not where several machines share the folder.

    The log needs memory that all its processes share (sqlite.org/wal.html), which those of several machines do not
    have: there the older rollback journal is used, with the locks of the file system.

    Args:
        folder: Where the file lies.
        mounts: The system's list of mounted file systems; without one, all count as local.
    """
    kind, length = "", -1
    with contextlib.suppress(OSError):
        place = folder.resolve()
        for line in mounts.read_text(errors="replace").splitlines():
            _, point, name, *_ = [*line.split(), "", "", ""]
            mounted = Path(point.encode("latin-1", "replace").decode("unicode_escape"))
            if place.is_relative_to(mounted) and len(mounted.parts) >= length:
                kind, length = name, len(mounted.parts)
    return "delete" if kind in NETWORK or kind.startswith("fuse.") else "wal"
