# SPDX-License-Identifier: Apache-2.0
"""One process at work on a cohort: rows in, cases out, by the same code as `workflows.segmenting`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monai_semigan.atomic import scratch_folder
from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.bundle.serving import bundle_segmenter
from monai_semigan.cohort.inputs import volume_of
from monai_semigan.cohort.manifest import Manifest
from monai_semigan.cohort.rows import CaseRow, Part, State
from monai_semigan.errors import GeometryError, InputError
from monai_semigan.files import escaped
from monai_semigan.io.volume_input import VolumeCandidate, find_volumes
from monai_semigan.segmentation.record import CaseRecord
from monai_semigan.segmentation.segmenter import Segmenter
from monai_semigan.types import PathLike
from monai_semigan.workflows.case_faults import MemoryShortageError, reason_of
from monai_semigan.workflows.case_run import CaseRun, image_input, segment_request, volume_input
from monai_semigan.workflows.cases import CaseInput, CaseQueue
from monai_semigan.workflows.finished_cases import location_digest
from monai_semigan.workflows.segment_options import SegmentOptions

__all__ = ["CaseEvent", "CaseWorker", "Observer", "Work"]


@dataclass(frozen=True, kw_only=True)
class CaseEvent:
    """How a case ended.

    Attributes:
        case: Its name.
        state: Its state now.
        reason: Why it is refused or failed.
        seconds: Time that it took.
        counts: Rows of the whole cohort by state.
    """

    case: str
    state: State
    reason: str = ""
    seconds: float | None = None
    counts: Mapping[State, int]


Observer = Callable[[CaseEvent], None]
"""Called as soon as a case has ended."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """All that a process must know to take part in a cohort: plain values, that can be sent to another one.

    Attributes:
        folder: The cohort's output folder.
        bundle: A shipped bundle's name, or a bundle folder.
        options: What is asked for.
        chosen: Names of the only cases to work on; None for all.
    """

    folder: Path
    bundle: PathLike
    options: SegmentOptions
    chosen: tuple[str, ...] | None = None

    def segmenter(self) -> Segmenter:
        """Load the model, once per process."""
        opened = open_bundle(self.bundle)
        return bundle_segmenter(opened, device=self.options.device, options=self.options.segmenter)


class CaseWorker:
    """Take rows and segment them with a model that stays loaded.

    Args:
        work: What is to be done.
        manifest: Where the rows are.
        segmenter: The model.
        observe: Told of each case that ended.
    """

    def __init__(self, work: Work, manifest: Manifest, segmenter: Segmenter, observe: Observer | None = None) -> None:
        self.manifest, self.segmenter, self.options, self.observe = manifest, segmenter, work.options, observe
        self.request: dict[str, Any] = segment_request(segmenter, work.options)
        manifest.require_same(segmenter.bundle, self.request)
        if work.chosen is not None:
            manifest.choose(work.chosen)
        self._goes_on: Callable[[], bool] = lambda: True
        self._rows: dict[str, CaseRow] = {}
        self._place: Path | None = None
        self._found: list[VolumeCandidate] = []
        self._unpacked = ExitStack()

    def work_through(self, part: Part, *, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Take rows until none waits, also those of processes that were lost meanwhile.

        However it ends, what was taken and not ended waits again.

        Args:
            part: Of this share.
            goes_on: Asked before rows are taken, and before a case is blamed for an error.
        """
        self._goes_on = goes_on
        try:
            while goes_on() and (rows := self._claim(part)):
                self.work_on(rows)
        finally:
            self._forget()
            self.manifest.give_back()

    def work_on(self, rows: Iterable[CaseRow]) -> None:
        """Segment rows that were claimed; a failure is that of its case."""
        self._rows = {row.case: row for row in rows}
        queue = CaseQueue(self.manifest.folder, self.segmenter.bundle.digest, self.request, listener=self)
        try:
            CaseRun(self.segmenter, self.options, queue).work_through(self._inputs(queue))
        finally:
            queue.close()

    def done(self, case: str, record: CaseRecord) -> None:
        """Note a case whose folder is in place."""
        self.manifest.finish(case, record)
        self._tell(case, "done", seconds=sum(record.seconds.values()))

    def failed(self, source: str, error: Exception) -> None:
        """Note why a case is not there; of a process that is being ended any error may come of that, so it waits."""
        if not self._goes_on():
            return
        is_refused = isinstance(error, (InputError, GeometryError)) and not isinstance(error, MemoryShortageError)
        state: State = "refused" if is_refused else "failed"
        reason = _without_path(reason_of(error), self._rows[source])
        self.manifest.end(source, state, reason)
        self._tell(source, state, reason=reason)

    def _claim(self, part: Part) -> list[CaseRow]:
        rows = self.manifest.claim(self.segmenter.sources_at_once, part)
        if not rows:
            self.manifest.repair()
            rows = self.manifest.claim(self.segmenter.sources_at_once, part)
        return rows

    def _tell(self, case: str, state: State, *, reason: str = "", seconds: float | None = None) -> None:
        if self.observe is not None:
            counts = self.manifest.counts()
            self.observe(CaseEvent(case=case, state=state, reason=reason, seconds=seconds, counts=counts))

    def _inputs(self, queue: CaseQueue) -> Iterator[CaseInput]:
        for row in self._rows.values():
            try:
                item = self._input(row)
            except Exception as error:  # noqa: PERF203  (reading headers ends in what it likes)
                queue.fail(row.case, error)
            else:
                location = location_digest(row.path, row.part)
                yield replace(item, source=row.case, stem=row.case, location=location, is_named=True)

    def _input(self, row: CaseRow) -> CaseInput:
        if not self.segmenter.takes_volumes:
            return image_input(row.path, self.options)
        return volume_input(volume_of(row, self._volumes(row.path)), self.options, self.segmenter)

    def _volumes(self, path: Path) -> list[VolumeCandidate]:
        """Find the volumes of a path; those of the last one are known, as rows of one folder follow each other."""
        if path != self._place:
            self._forget()
            unpacked = self._unpacked.enter_context(scratch_folder(self.manifest.folder, "unpacked"))
            rules, repairs = self.options.rules, self.options.repairs
            self._found = find_volumes([path], rules=rules, repairs=repairs, unpack_to=unpacked)
            self._place = path
        for candidate in self._found:
            if candidate.dicom is not None:
                candidate.dicom.release()
        return self._found

    def _forget(self) -> None:
        self._unpacked.close()
        self._place, self._found = None, []


def _without_path(reason: str, row: CaseRow) -> str:
    """Name an input by its case alone: its path may say whose it is."""
    for name in (str(row.path), escaped(row.path), row.path.name):
        reason = reason.replace(name, row.case) if name else reason
    return reason
