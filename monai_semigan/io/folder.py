# SPDX-License-Identifier: Apache-2.0
"""The files in a folder, and their digest: the one walk that every reader uses."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from monai_semigan.errors import InputError

__all__ = ["digest_of_files", "files_in"]

CHUNK = 2**20
"""Bytes."""


def digest_of_files(paths: Iterable[Path]) -> str:
    """Compute the SHA-256 of the files' contents, in order.

    Raises:
        InputError: One cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for path in paths:
            with path.open("rb") as stream:
                while chunk := stream.read(CHUNK):
                    digest.update(chunk)
    except OSError as error:
        raise InputError(f"`{Path(error.filename or '').name}` must be readable: {error.strerror}.") from error
    return digest.hexdigest()


def files_in(path: Path, *, skip: Path | None = None) -> list[Path]:
    """List a file, or all files in a folder and its subfolders, in order; hidden ones left out.

    Subfolders that are links are followed, each folder once.

    Args:
        path: File or folder.
        skip: A subfolder that is left out, such as that of the results.

    Raises:
        InputError: It does not exist or cannot be read.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"`{path}` must be a file or folder, but does not exist.")
    found: list[Path] = []
    walked = set() if skip is None else {skip.resolve()}

    def refuse(error: OSError) -> None:
        raise InputError(f"`{error.filename}` must be readable: {error.strerror}.") from error

    for folder, subfolders, names in os.walk(path, onerror=refuse, followlinks=True):
        real = Path(folder).resolve()
        if real in walked:
            subfolders.clear()
            continue
        walked.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith(".") and name != "__MACOSX")
        found += [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
    return [file for file in found if file.is_file()]
