# SPDX-License-Identifier: Apache-2.0
"""What is in a case's folder: of which input, and whether it is what would come out again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_semigan.errors import SemiGanError
from monai_semigan.networks.checkpoint_file import file_digest
from monai_semigan.segmentation.outputs import OUTPUTS
from monai_semigan.segmentation.record import CaseRecord
from monai_semigan.settings import read_settings
from monai_semigan.types import PathLike

__all__ = ["changed_keys", "holds_a_case", "location_digest", "read_record", "why_again"]


def read_record(case_folder: Path) -> CaseRecord | None:
    """Read a case's record back; None if there is none that is whole."""
    try:
        return read_settings(CaseRecord, json.loads((case_folder / "case.json").read_text()), "case.json")
    except (OSError, ValueError, SemiGanError):
        return None


def why_again(
    case_folder: Path, before: CaseRecord, *, digest: str | None, bundle_digest: str, request: Mapping[str, Any]
) -> str | None:
    """Return why a finished case must be made again; None if it is what would come out.

    Args:
        case_folder: Where its files are.
        before: Its ``case.json``.
        digest: SHA-256 of its source; None to take the source as unchanged.
        bundle_digest: Of the bundle.
        request: What is asked for, JSON types.
    """
    if digest is not None and before.source.sha256 != digest:
        return "its source has changed"
    if before.bundle.digest != bundle_digest:
        return "another bundle"
    if before.request != request:
        return f"other settings ({', '.join(changed_keys(before.request, request))})"
    damaged = [name for name, sha256 in before.files.items() if _digest(case_folder / name) != sha256]
    return f"{', '.join(damaged)} missing or changed" if damaged else None


def changed_keys(before: Mapping[str, Any], request: Mapping[str, Any]) -> list[str]:
    """Name what differs between two requests."""
    return sorted(key for key in request.keys() | before.keys() if request.get(key) != before.get(key))


def location_digest(path: PathLike, part: str = "") -> str:
    """SHA-256 over where an input is, so that a changed file is known as the same input, and its path is not told."""
    return hashlib.sha256(os.fsencode(Path(path).resolve()) + b"\0" + part.encode()).hexdigest()


def holds_a_case(folder: Path) -> bool:
    """Whether a folder holds files of a case alone, with a ``case.json``, whatever that says."""
    known = {name for output in OUTPUTS.values() for name in (output.file, *output.beside)} | {"case.json"}
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return "case.json" in found and found <= known


def _digest(path: Path) -> str | None:
    try:
        return file_digest(path)
    except (SemiGanError, OSError):
        return None
