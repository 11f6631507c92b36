# SPDX-License-Identifier: Apache-2.0
"""Write result files whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from monai_semigan.atomic import replacing
from monai_semigan.errors import OutputError
from monai_semigan.types import PathLike

__all__ = ["make_folder", "write_bytes", "write_json", "write_text"]


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


def write_bytes(path: PathLike, content: bytes) -> None:
    """Write a whole file or nothing.

    Raises:
        OutputError: The file cannot be written; nothing of it is left.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: PathLike, content: str) -> None:
    """Write UTF-8 text as `write_bytes` does."""
    write_bytes(path, content.encode())


def write_json(path: PathLike, content: Any) -> None:
    """Write indented JSON as `write_bytes` does; NaN and infinity are refused."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
