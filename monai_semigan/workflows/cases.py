# SPDX-License-Identifier: Apache-2.0
"""The cases of a segmentation on disk: their names, which are finished, and that none is made by two runs at once."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from monai_semigan.atomic import is_abandoned, is_elsewhere, owner_name
from monai_semigan.errors import ConfigError, InputError, OutOfDistributionError, OutputError, SemiGanError
from monai_semigan.networks.checkpoint import file_digest
from monai_semigan.report.segmentation_report import FailureReport, RedoneReport
from monai_semigan.segmentation.outputs import OUTPUTS
from monai_semigan.segmentation.record import CaseRecord
from monai_semigan.segmentation.source import Source
from monai_semigan.settings import read_settings
from monai_semigan.types import PathLike, Progress

__all__ = [
    "ELSEWHERE_H",
    "CaseInput",
    "CaseListener",
    "CaseQueue",
    "MemoryShortageError",
    "case_faults",
    "changed_keys",
    "free_claims",
    "location_digest",
    "read_record",
    "reason_of",
    "require_apart",
    "why_again",
]

logger = logging.getLogger(__name__)

MAX_NAMES = 10_000
"""Cases of one stem in one folder."""

UNSIGNED_S = 60.0
"""Age of a claim that says nobody's name, because its process was killed while it made it, seconds."""

ELSEWHERE_H = 24
"""Age of a claim of another machine that counts as left by a killed run, hours: far more than one case takes."""

OUT_OF_MEMORY = re.compile(r"out of memory|allocate|not enough memory|bad_alloc", re.IGNORECASE)
"""What torch writes in a RuntimeError where it has no class of its own for it."""


class MemoryShortageError(InputError):
    """There was too little memory for a case."""


@dataclass(frozen=True, kw_only=True)
class CaseInput:
    """One input before it is read.

    Attributes:
        source: What the report calls it: a file's or folder's name, never a patient's.
        stem: What its case is called, if that name is free.
        location: See `location_digest`: where it is, without telling it.
        digest: Compute the SHA-256 of its content.
        read: Called with the case's name and the digest; returns the source.
        is_named: The case must be called as ``stem`` says, whatever has that name; no other is tried.
    """

    source: str
    stem: str
    location: str
    digest: Callable[[], str]
    read: Callable[[str, str], Source]
    is_named: bool = False


class CaseListener(Protocol):
    """Who is told how each input of a `CaseQueue` ended, as soon as its folder is in place."""

    def done(self, case: str, record: CaseRecord) -> None:
        """A case is in its folder, now or since an earlier run."""

    def failed(self, source: str, error: Exception) -> None:
        """An input, by its ``CaseInput.source``, could not be used."""


class CaseQueue:
    """The inputs in order: which become cases, under which names, which are done already, which cannot be used.

    A case's name is claimed by a hidden file as long as this run works on it, so that two runs into one folder never
    write one case.

    Args:
        folder: Where the cases' folders are.
        bundle_digest: Of the bundle.
        request: What is asked for, JSON types: an earlier case of the same bundle and request is not made again.
        overwrite: Segment finished cases again.
        total: Number of inputs, for the progress; 0 if it is not known.
        progress: Called with the inputs done and their number.
        say: Called with a line of text for a finished case that is made again.
        listener: Told how each input ended.
    """

    def __init__(
        self,
        folder: Path,
        bundle_digest: str,
        request: Mapping[str, Any],
        *,
        overwrite: bool = False,
        total: int = 0,
        progress: Progress | None = None,
        say: Callable[[str], None] | None = None,
        listener: CaseListener | None = None,
    ) -> None:
        self.folder, self.bundle_digest, self.overwrite = folder, bundle_digest, overwrite
        self.request: dict[str, Any] = json.loads(json.dumps(request))
        self.total, self.progress, self.say = total, progress, say
        self.records: dict[str, CaseRecord | None] = {}  # by case, in order; None while it is in work
        self.skipped: list[str] = []
        self.redone: list[RedoneReport] = []
        self.failures: list[FailureReport] = []
        self.listener = listener
        self._claimed: set[str] = set()
        self._sources: dict[str, str] = {}  # by case
        self._done = 0

    def sources(self, inputs: Iterable[CaseInput]) -> Iterator[Source]:
        """Read the inputs that are not finished, one after the other; a source is not kept when the next is read."""
        for item in inputs:
            source = None
            with self._failing(item.source):
                source = self._read(item)
            if source is not None:
                yield source

    def finish(self, case: str, record: CaseRecord) -> None:
        """Note a case that was written, and count it as done."""
        self.records[case] = record
        self._release(case)
        self._tell_done(case, record)
        self._advance()

    def fail(self, source: str, error: Exception) -> None:
        """Note why an input could not be used, and count it as done."""
        is_unlike = isinstance(error, OutOfDistributionError)
        self.failures.append(FailureReport(source=source, reason=reason_of(error), is_unlike=is_unlike))
        if self.listener is not None:
            self.listener.failed(source, error)
        self._advance()

    def drop(self, case: str, error: Exception) -> None:
        """Take back a case in work that failed; an earlier result of it stays in its folder."""
        del self.records[case]
        self._release(case)
        self.redone = [item for item in self.redone if item.case != case]
        self.fail(self._sources[case], error)

    def remove(self, case: str) -> None:
        """Remove an earlier result of a case in work: a label that is refused now must not stay."""
        if _holds_a_case(self.folder / case):
            shutil.rmtree(self.folder / case)

    def close(self) -> None:
        """Give back the names of cases that were not finished."""
        for case in sorted(self._claimed):
            self._release(case)

    @contextmanager
    def _failing(self, name: str) -> Iterator[None]:
        try:
            with case_faults():
                yield
        except Exception as error:  # readers raise what they like: one bad input must not end the others
            self.fail(name, error)

    def _read(self, item: CaseInput) -> Source | None:
        digest = item.digest()
        case, before = self._claim(item, digest)
        reason = "its case.json is damaged" if before is None and (self.folder / case).exists() else None
        if before is not None:
            reason = "as asked for" if self.overwrite else self._why_again(case, before, digest)
        if before is not None and reason is None:
            self.records[case] = before
            self.skipped.append(case)
            self._release(case)
            self._tell_done(case, before)
            self._advance()
            return None
        self.records[case], self._sources[case] = None, item.source
        try:
            source = item.read(case, digest)
            record = replace(source.record, location_sha256=item.location)
            source = replace(source, case=case, record=record)
        except BaseException:
            del self.records[case]
            self._release(case)
            raise
        if reason is not None:
            self.redone.append(RedoneReport(case=case, reason=reason))
            if self.say is not None:
                self.say(f"{case}: segmented again: {reason}")
        return source

    def _claim(self, item: CaseInput, digest: str) -> tuple[str, CaseRecord | None]:
        """Find and claim the case's name: the stem, or the first ``stem-N`` that is free or holds this very input.

        With the name comes the record of what is there.
        """
        stem = item.stem.strip(". ") or "case"
        for number in range(1, 2 if item.is_named else MAX_NAMES):
            case = stem if number == 1 else f"{stem}-{number}"
            if case in self.records:
                continue
            claim = self._claim_file(case)
            if not _take(claim, item.location):
                if item.location in _said(claim):
                    raise InputError(
                        f"`{item.source}` must be segmented by one run at a time, but another one works on it in this "
                        "folder. Wait for it, then repeat. If it was killed on another machine, delete "
                        f"`{claim.name}` there, or wait {ELSEWHERE_H} hours."
                    )
                continue
            self._claimed.add(case)
            target = self.folder / case
            record = read_record(target) if target.exists() else None
            is_damaged = record is None and target.exists() and _holds_a_case(target)
            if not target.exists() or is_damaged or (record is not None and _is_of(record, item, digest)):
                return case, record
            self._release(case)
        if item.is_named:
            raise OutputError(
                f"`{stem}` must be a free name in the output folder, but another input's result or run has it. Wait "
                "for that run, or choose another folder."
            )
        raise InputError(f"`{item.source}` must find a free name in the output folder. Choose another folder.")

    def _why_again(self, case: str, before: CaseRecord, digest: str) -> str | None:
        folder, bundle = self.folder / case, self.bundle_digest
        return why_again(folder, before, digest=digest, bundle_digest=bundle, request=self.request)

    def _claim_file(self, case: str) -> Path:
        return self.folder / f".{case}.claim"

    def _release(self, case: str) -> None:
        self._claim_file(case).unlink(missing_ok=True)
        self._claimed.discard(case)

    def _tell_done(self, case: str, record: CaseRecord) -> None:
        if self.listener is not None:
            self.listener.done(case, record)

    def _advance(self) -> None:
        self._done += 1
        if self.progress is not None and self.total:
            self.progress(self._done, self.total)


def free_claims(folder: Path, *, lost: Collection[str] = ()) -> None:
    """Remove the claims of runs that are gone, and of those that are known to be, by their `atomic.owner_name`."""
    for claim in folder.glob(".*.claim"):
        _free(claim, lost)


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


def reason_of(error: Exception) -> str:
    """Say why a case failed: our own words, or that it was not expected; never a library's, which may quote values."""
    if isinstance(error, SemiGanError):
        return str(error)
    logger.debug("An unexpected error ended a case.", exc_info=error)
    return f"An error that was not expected ({type(error).__name__}) ended this case. Run with -vv to see where."


@contextmanager
def case_faults() -> Iterator[None]:
    """Say what too little memory means for the case in work.

    Raises:
        MemoryShortageError: There was too little memory, with what to do.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        is_shortage = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or OUT_OF_MEMORY.search(str(error))
        if not is_shortage or isinstance(error, SemiGanError):
            raise
        raise MemoryShortageError(
            "There was too little memory for this case. Lower --batch-size, use --device cpu, end other programs, "
            "or downsample the input."
        ) from error


def location_digest(path: PathLike, part: str = "") -> str:
    """SHA-256 over where an input is, so that a changed file is known as the same input, and its path is not told."""
    return hashlib.sha256(os.fsencode(Path(path).resolve()) + b"\0" + part.encode()).hexdigest()


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


def _holds_a_case(folder: Path) -> bool:
    """Whether a folder holds files of a case alone, with a ``case.json``, whatever that says."""
    known = {name for output in OUTPUTS.values() for name in (output.file, *output.beside)} | {"case.json"}
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return "case.json" in found and found <= known


def _is_of(record: CaseRecord, item: CaseInput, digest: str) -> bool:
    """Whether a result is of this input: the same content, or another one at the same place."""
    return record.source.sha256 == digest or record.source.location_sha256 == item.location


def _digest(path: Path) -> str | None:
    try:
        return file_digest(path)
    except OSError:
        return None


def _free(claim: Path, lost: Collection[str] = ()) -> bool:
    """Remove a claim whose process is gone; False if it lives, or may live on another machine.

    It is renamed first: of two processes that find it, one gets it, and neither removes what the other made anew.
    """
    with suppress(OSError):
        owner, *_ = _said(claim) or [""]
        age_s = time.time() - claim.stat().st_mtime
        is_old = age_s > UNSIGNED_S if not owner else is_elsewhere(owner) and age_s > ELSEWHERE_H * 3600
        if owner in lost or is_abandoned(owner) or is_old:
            taken = claim.with_name(f"{claim.name}.{owner_name()}.tmp")
            claim.rename(taken)
            if (_said(taken) or [""])[0] != owner:  # made anew in between
                os.link(taken, claim)
            taken.unlink()
            return True
    return False


def _said(claim: Path) -> list[str]:
    """Whose a claim is, and what location is worked on; nothing if it is gone or says nothing yet."""
    try:
        return claim.read_text().split()
    except OSError:
        return []


def _take(claim: Path, location: str) -> bool:
    """Create a claim of an input; False if a running process, here or on another machine, has it."""
    for _ in range(3):  # what a gone process left is freed, and perhaps taken by another one before us
        try:
            with claim.open("x") as stream:
                try:
                    stream.write(f"{owner_name()} {location}")
                    stream.flush()
                except OSError:
                    claim.unlink()
                    raise
        except FileExistsError:  # noqa: PERF203  (a try is what the loop is for)
            if not _free(claim):
                return False
        except OSError as error:
            raise OutputError(f"`{claim.parent}` must be a folder that can be written: {error.strerror}.") from error
        else:
            return True
    return False
