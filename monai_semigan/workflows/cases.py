# SPDX-License-Identifier: Apache-2.0
"""The cases of a segmentation on disk: their names, which are finished, and that each is there whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from monai_semigan.atomic import replacing_folder
from monai_semigan.errors import ConfigError, GeometryError, InputError, OutputError
from monai_semigan.files import write_bytes, write_json
from monai_semigan.report.schema import check_json
from monai_semigan.report.segmentation_report import FailureReport, RedoneReport
from monai_semigan.types import PathLike, Progress

__all__ = ["CASE_SCHEMA", "CaseInput", "CaseQueue", "Recipe", "case_faults", "require_apart", "write_case"]

CASE_SCHEMA = "semigan-case-1"

MAX_NAMES = 10_000
"""Cases of one stem in one folder."""

OUT_OF_MEMORY = re.compile(r"out of memory|allocate|not enough memory|bad_alloc", re.IGNORECASE)
"""What torch and ITK write in a RuntimeError."""

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


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a case's files depend on beside its source: an earlier result of the same recipe is not made again.

    Attributes:
        bundle_digest: Of the bundle.
        request: Settings and wanted outputs, JSON types; recorded in ``case.json``.
        pictures: Files that the report needs beside ``case.json``.
    """

    bundle_digest: str
    request: Mapping[str, Any]
    pictures: tuple[str, ...]

    def why_again(self, target: Path, numbers: Mapping[str, Any]) -> str | None:
        """Return why a finished case must be made again; None if it is what would come out."""
        request = json.loads(json.dumps(self.request))
        try:
            check_json("case", numbers)
        except OutputError:
            return "its case.json is not whole"
        if numbers["bundle"]["digest"] != self.bundle_digest:
            return "another bundle"
        before = numbers.get("request")
        if before != request:
            known = before if isinstance(before, dict) else {}
            changed = [key for key in request.keys() | known.keys() if request.get(key) != known.get(key)]
            return f"other settings ({', '.join(sorted(changed))})"
        missing = [name for name in self.pictures if not (target / name).is_file()]
        return f"{', '.join(missing)} missing" if missing else None


class CaseQueue(Generic[T]):
    """The inputs in order: which become cases, under which names, which are done already, which cannot be used.

    Args:
        folder: Where the cases' folders are.
        recipe: What the cases depend on beside their sources.
        total: Number of inputs, for the progress.
        overwrite: Segment finished cases again.
        progress: Called with the inputs done and their number.
        say: Called with a line of text for a finished case that is made again.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        *,
        total: int = 0,
        overwrite: bool = False,
        progress: Progress | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.folder, self.recipe, self.total, self.overwrite = folder, recipe, total, overwrite
        self.progress, self.say = progress, say
        self.names: list[str] = []
        self.skipped: list[str] = []
        self.redone: list[RedoneReport] = []
        self.failures: list[FailureReport] = []
        self._done = 0

    def advance(self) -> None:
        """Count an input as done."""
        self._done += 1
        if self.progress is not None:
            self.progress(self._done, self.total)

    def fail(self, source: str, error: Exception) -> None:
        """Note why an input could not be used, and count it as done."""
        self.failures.append(FailureReport(source=source, reason=str(error)))
        self.advance()

    def drop(self, name: str, error: Exception) -> None:
        """Take back a case that was handed out and failed; an earlier result of it stays in its folder."""
        self.names.remove(name)
        self.redone = [item for item in self.redone if item.case != name]
        self.fail(name, error)

    def cases(self, inputs: Iterable[CaseInput[T]]) -> Iterator[T]:
        """Read the inputs that are not finished, one after the other; a case is not kept when the next is read."""
        for item in inputs:
            try:
                with case_faults():
                    digest = item.digest()
                    name, numbers = self._name(item, digest)
                    reason = None if numbers is None else self._why_again(name, numbers)
                    if numbers is not None and reason is None:
                        self.names.append(name)
                        self.skipped.append(name)
                        self.advance()
                        continue
                    case = item.read(name, digest)
            except (InputError, GeometryError) as error:
                self.fail(item.source, error)
                continue
            self.names.append(name)
            if reason is not None:
                self.redone.append(RedoneReport(case=name, reason=reason))
                if self.say is not None:
                    self.say(f"{name}: segmented again: {reason}")
            yield case
            del case

    def _why_again(self, name: str, numbers: Mapping[str, Any]) -> str | None:
        return "as asked for" if self.overwrite else self.recipe.why_again(self.folder / name, numbers)

    def _name(self, item: CaseInput[T], digest: str) -> tuple[str, dict[str, Any] | None]:
        """Find the case's name: the stem, or the first ``stem-N`` that is free or holds a result of this very input.

        With the name comes what that result's ``case.json`` holds.
        """
        stem = item.stem.strip(". ") or "case"
        for number in range(1, MAX_NAMES):
            name = stem if number == 1 else f"{stem}-{number}"
            if name in self.names:
                continue
            target = self.folder / name
            if not target.exists():
                return name, None
            numbers = _numbers(target)
            if numbers is not None and _source_digest(numbers) == digest:
                return name, numbers
        raise InputError(f"`{item.source}` must find a free name in the output folder. Choose another folder.")


@contextmanager
def case_faults() -> Iterator[None]:
    """Tell what ends one case from what ends the run: too little memory concerns the case in work alone.

    Raises:
        InputError: There was too little memory, with what to do.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        is_shortage = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or OUT_OF_MEMORY.search(str(error))
        if not is_shortage:
            raise
        raise InputError(
            "There was too little memory for this case. Lower --batch-size, use --device cpu, end other programs, "
            "or downsample the input."
        ) from error


def require_apart(inputs: Iterable[PathLike], output: PathLike) -> None:
    """Refuse to write results among the inputs, where a later run would read them.

    An output folder inside an input folder is welcome: it is left out of the search.

    Raises:
        ConfigError: The output folder is one of the inputs.
    """
    if any(Path(path).resolve() == Path(output).resolve() for path in inputs):
        raise ConfigError(
            f"`output` must not be a folder of inputs, got `{output}` for both. Choose a folder inside it."
        )


Writer = Callable[[Path], object]
"""Writes one file of a case, or decides not to."""

EXTRAS = {"seg.dcm": "DICOM SEG", "preview.dcm": "DICOM preview"}
"""What warnings call files."""


def write_case(
    target: Path,
    content: Mapping[str, bytes | Writer],
    numbers: Mapping[str, Any],
    *,
    extras: Mapping[str, Writer] | None = None,
) -> None:
    """Fill a hidden folder, then rename it: a case is there whole or not at all.

    Args:
        target: The case's folder; an earlier one is replaced.
        content: By file name: bytes, or a function that writes the file it is given.
        numbers: What ``case.json`` holds.
        extras: Files that the source may not allow, such as DICOM objects: one that cannot be made is left out, with a
            warning in ``case.json``.

    Raises:
        OutputError: It cannot be written; nothing of it is left.
    """
    with replacing_folder(target) as folder:
        for name, value in content.items():
            if callable(value):
                value(folder / name)
            else:
                write_bytes(folder / name, value)
        remarks = [_remark(folder / name, writer) for name, writer in (extras or {}).items()]
        warnings = [*numbers["warnings"], *(remark for remark in remarks if remark)]
        write_json(folder / "case.json", {**numbers, "warnings": warnings})


def _remark(path: Path, writer: Writer) -> str | None:
    """Write a file; return why it could not be made. That the system refuses, as a full disk does, is not caught."""
    try:
        writer(path)
    except (InputError, OutputError) as error:
        if isinstance(error.__cause__, OSError) and isinstance(error, OutputError):
            raise
        return f"No {EXTRAS.get(path.name, path.name)} was written: {error}"
    return None


def _numbers(target: Path) -> dict[str, Any] | None:
    try:
        numbers = json.loads((target / "case.json").read_text())
    except (OSError, ValueError):
        return None
    return numbers if isinstance(numbers, dict) else None


def _source_digest(numbers: Mapping[str, Any]) -> str | None:
    source = numbers.get("source")
    return source.get("sha256") if isinstance(source, dict) else None
