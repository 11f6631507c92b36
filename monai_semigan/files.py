# SPDX-License-Identifier: Apache-2.0
"""Write result files whole or not at all, under names that every file system takes."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path
from typing import Any

from monai_semigan.atomic import replacing
from monai_semigan.errors import OutputError
from monai_semigan.types import PathLike

__all__ = ["RESERVED_NAMES", "make_folder", "safe_name", "write_bytes", "write_json", "write_text"]

RESERVED_NAMES = frozenset(
    {"CON", "PRN", "AUX", "NUL", *(f"{port}{at}" for port in ("COM", "LPT") for at in range(10))}
)
"""Windows opens devices by these names."""

RESULT_FILES = frozenset({"report.json", "report.html", "summary.json", "cases.csv", "patients.csv"})
"""Files beside the folders of cases, which cannot be named so."""

MAX_NAME_LENGTH = 80

MAX_NAME_BYTES = 160
"""File systems take 255; endings and numbers come to it."""


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
    """Write UTF-8 text as `write_bytes` does; what a file name holds beside UTF-8 is escaped."""
    write_bytes(path, content.encode(errors="backslashreplace"))


def write_json(path: PathLike, content: Any) -> None:
    """Write indented JSON as `write_bytes` does; NaN and infinity are refused."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def safe_name(text: str) -> str:
    """Return a name that every file system takes as one folder: letters, digits, ``-``, ``_`` and inner dots."""
    text = unicodedata.normalize("NFC", text)
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in text)
    kept = (
        kept.strip("._ ")[:MAX_NAME_LENGTH].encode()[:MAX_NAME_BYTES].decode(errors="ignore").rstrip("._ ") or "volume"
    )
    is_taken = kept.split(".")[0].upper() in RESERVED_NAMES or kept.lower() in RESULT_FILES
    return f"{kept}_" if is_taken else kept
