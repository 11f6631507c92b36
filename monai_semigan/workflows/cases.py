# SPDX-License-Identifier: Apache-2.0
"""The cases of a segmentation on disk: their names, which are finished, and that each is there whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from monai_semigan.atomic import replacing_folder
from monai_semigan.errors import GeometryError, InputError
from monai_semigan.report.files import write_bytes, write_json
from monai_semigan.report.segmentation_report import FailureReport
from monai_semigan.types import Progress

__all__ = ["CASE_SCHEMA", "CaseInput", "CaseQueue", "write_case"]

CASE_SCHEMA = "semigan-case-1"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class CaseInput(Generic[T]):
    """One input before it is read.

    Attributes:
        source: What the report calls it: a file's or folder's name, never a patient's.
        stem: What its case is called, if that name is free.
        digest: Compute the SHA-256 of its content.
        read: Called with the case's name and the digest; returns the case.
    """

    source: str
    stem: str
    digest: Callable[[], str]
    read: Callable[[str, str], T]


class CaseQueue(Generic[T]):
    """The inputs in order: which become cases, under which names, which are done already, which cannot be used.

    Args:
        folder: Where the cases' folders are.
        total: Number of inputs.
        overwrite: Segment finished cases again.
        progress: Called with the inputs done and their number.
    """

    def __init__(self, folder: Path, total: int, *, overwrite: bool, progress: Progress | None = None) -> None:
        self.folder, self.total, self.overwrite, self.progress = folder, total, overwrite, progress
        self.names: list[str] = []
        self.skipped: list[str] = []
        self.failures: list[FailureReport] = []
        self._done = 0

    def advance(self) -> None:
        """Count an input as done."""
        self._done += 1
        if self.progress is not None:
            self.progress(self._done, self.total)

    def fail(self, source: str, error: Exception) -> None:
        """Note why an input could not be used, and count it as done."""
        reason = str(error) or "The image must fit into memory. Downsample it first."
        self.failures.append(FailureReport(source=source, reason=reason))
        self.advance()

    def cases(self, inputs: Sequence[CaseInput[T]]) -> Iterator[T]:
        """Read the inputs that are not finished, one after the other."""
        for item in inputs:
            try:
                digest = item.digest()
                name, is_finished = self._name(item, digest)
                if is_finished and not self.overwrite:
                    self.names.append(name)
                    self.skipped.append(name)
                    self.advance()
                    continue
                case = item.read(name, digest)
            except (InputError, GeometryError, MemoryError) as error:
                self.fail(item.source, error)
                continue
            self.names.append(name)
            yield case

    def _name(self, item: CaseInput[T], digest: str) -> tuple[str, bool]:
        """Find the case's name: the stem, or the first ``stem-N`` that is free or holds this very input's result."""
        stem = item.stem.strip(". ") or "case"
        for number in range(1, self.total + 10_000):
            name = stem if number == 1 else f"{stem}-{number}"
            if name in self.names:
                continue
            target = self.folder / name
            if not target.exists():
                return name, False
            if _source_digest(target) == digest:
                return name, True
        raise InputError(f"`{item.source}` must find a free name in the output folder. Choose another folder.")


Writer = Callable[[Path], object]
"""Writes one file of a case, or decides not to."""


def write_case(target: Path, content: Mapping[str, bytes | dict[str, Any] | Writer]) -> None:
    """Fill a hidden folder, then rename it: a case is there whole or not at all.

    Args:
        target: The case's folder; an earlier one is replaced.
        content: By file name: bytes, a JSON object, or a function that writes the file it is given.

    Raises:
        OutputError: It cannot be written; nothing of it is left.
    """
    with replacing_folder(target) as folder:
        for name, value in content.items():
            if callable(value):
                value(folder / name)
            elif isinstance(value, bytes):
                write_bytes(folder / name, value)
            else:
                write_json(folder / name, value)


def _source_digest(target: Path) -> str | None:
    try:
        numbers = json.loads((target / "case.json").read_text())
        digest = numbers["source"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(digest)
