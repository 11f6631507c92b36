# SPDX-License-Identifier: Apache-2.0
"""Write files whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from monai_semigan.errors import OutputError
from monai_semigan.types import PathLike

__all__ = ["replacing"]


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
