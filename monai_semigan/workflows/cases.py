# SPDX-License-Identifier: Apache-2.0
"""The inputs of a segmentation in order: which become cases, under which names, and which are done or of no use."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from monai_semigan.errors import ConfigError, InputError, OutOfDistributionError, OutputError
from monai_semigan.report.segmentation_report import FailureReport, RedoneReport
from monai_semigan.segmentation.record import CaseRecord
from monai_semigan.segmentation.source import Source
from monai_semigan.types import PathLike, Progress
from monai_semigan.workflows.case_faults import case_faults, reason_of
from monai_semigan.workflows.claims import ELSEWHERE_H, said_in, take_claim
from monai_semigan.workflows.finished_cases import holds_a_case, read_record, why_again

__all__ = ["CaseInput", "CaseListener", "CaseQueue", "require_apart"]

MAX_NAMES = 10_000
"""Cases of one stem in one folder."""


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
        if holds_a_case(self.folder / case):
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
            if not take_claim(claim, item.location):
                if item.location in said_in(claim):
                    raise InputError(
                        f"`{item.source}` must be segmented by one run at a time, but another one works on it in this "
                        "folder. Wait for it, then repeat. If it was killed on another machine, delete "
                        f"`{claim.name}` there, or wait {ELSEWHERE_H} hours."
                    )
                continue
            self._claimed.add(case)
            target = self.folder / case
            record = read_record(target) if target.exists() else None
            is_damaged = record is None and target.exists() and holds_a_case(target)
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


def _is_of(record: CaseRecord, item: CaseInput, digest: str) -> bool:
    """Whether a result is of this input: the same content, or another one at the same place."""
    return record.source.sha256 == digest or record.source.location_sha256 == item.location
