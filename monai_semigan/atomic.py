# SPDX-License-Identifier: Apache-2.0
"""Write files whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from monai_semigan.errors import OutputError
from monai_semigan.types import PathLike

__all__ = ["replacing", "replacing_folder"]


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` to write to; rename it when the block ends, remove it when it fails.

    Raises:
        OutputError: The operating system refused, for example for want of space.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, OutputError):
            reason = error.strerror or str(error)
            raise OutputError(
                f"`{path}` could not be written: {reason}. Free some space or choose another folder."
            ) from error
        raise


@contextlib.contextmanager
def replacing_folder(path: PathLike) -> Iterator[Path]:
    """Yield a new folder beside ``path`` to fill; it takes the place of ``path`` when the block ends.

    It is removed when the block fails. What was at ``path`` before stays until the new folder is complete.

    Raises:
        OutputError: The operating system refused, for example for want of space.
    """
    path = Path(path)
    temporary, old = (path.with_name(f".{path.name}.{os.getpid()}.{kind}") for kind in ("tmp", "old"))
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
