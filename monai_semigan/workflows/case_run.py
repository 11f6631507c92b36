# SPDX-License-Identifier: Apache-2.0
"""Cases from input to folder: read, segmented in batches and written, each one's failure its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

from monai_semigan.domains.base import IMAGE
from monai_semigan.files import safe_name
from monai_semigan.io.dicom.identity import Identity
from monai_semigan.io.image_file import ImageFile, SourceImage, image_stem
from monai_semigan.io.volume_input import VolumeCandidate
from monai_semigan.pictures.overlay import encode_jpeg
from monai_semigan.segmentation.image_adapter import prepare_image
from monai_semigan.segmentation.outputs import OUTPUTS, is_image, usual_formats, write_case
from monai_semigan.segmentation.record import CaseRecord
from monai_semigan.segmentation.result import Segmentation
from monai_semigan.segmentation.segmenter import Segmenter
from monai_semigan.segmentation.source import Source
from monai_semigan.segmentation.volume_adapter import expected_peak_gib, require_memory
from monai_semigan.types import Progress
from monai_semigan.workflows.case_faults import MemoryShortageError, case_faults
from monai_semigan.workflows.cases import CaseInput, CaseQueue
from monai_semigan.workflows.finished_cases import location_digest
from monai_semigan.workflows.segment_options import SegmentOptions
from monai_semigan.workflows.sources import read_image_source, read_volume_source

__all__ = ["CaseRun", "image_input", "segment_request", "volume_input"]


def segment_request(segmenter: Segmenter, options: SegmentOptions) -> dict[str, Any]:
    """Return what a finished case must have been asked for to be taken as done, JSON types."""
    return segmenter.request | {
        "device": segmenter.device.type,
        "formats": options.formats,
        "extra_formats": options.extra_formats,
        "left_out": options.left_out,
        "dicom": asdict(options.dicom),
        "repairs": asdict(options.repairs),
        "identify": options.identify,
        "refuse_ood": options.refuse_ood,
    }


class CaseRun:
    """Segment and write the cases of a queue with one segmenter.

    Args:
        segmenter: It stays loaded.
        options: What is asked for.
        queue: Where the cases come from, and what is told of each.
        progress: Called with the slices of the volume in work.
    """

    def __init__(
        self, segmenter: Segmenter, options: SegmentOptions, queue: CaseQueue, progress: Progress | None = None
    ) -> None:
        self.segmenter, self.options, self.queue, self.progress = segmenter, options, queue, progress
        self.pictures: dict[str, dict[str, bytes]] = {}

    def work_through(self, inputs: Iterable[CaseInput]) -> None:
        """Finish every input or note why not; nothing but the end of the process or of the disk ends it early."""
        sources = self.queue.sources(inputs)
        while self._work_on(sources):
            pass

    def _work_on(self, sources: Iterator[Source]) -> bool:
        """Read and finish a batch; nothing of it is in memory any more when the next is read."""
        batch = list(islice(sources, self.segmenter.sources_at_once))
        if batch:
            self._finish(batch)
        return bool(batch)

    def _finish(self, batch: list[Source], *, is_short: bool = False) -> None:
        """Segment and write a batch; where it fails, without what cannot be prepared, or one image after the other.

        Args:
            batch: Of these.
            is_short: Memory was too short for a whole batch, also for one of copies.
        """
        results: list[Segmentation] = []
        has_failed = was_short = False
        try:
            with case_faults():
                results = self.segmenter.segment_all(batch, batch_size=1 if is_short else None, progress=self.progress)
        except Exception as error:  # whatever a batch ends with, each of its cases is tried or dropped by itself
            # The error is gone after this block, and with it what filled the memory.
            has_failed = True
            was_short = isinstance(error, MemoryShortageError)
            was_short = was_short and not is_short and self.segmenter.slicewise.batch_size > 1
            was_short = was_short and not self.segmenter.takes_volumes
            if len(batch) == 1 and not was_short:
                self.queue.drop(batch[0].case, error)
                return
        for result in results:
            with self._dropping(result.record.case):
                self._write(replace(result, record=_done_alone(result.record)) if is_short else result)
        if has_failed:
            fit = batch if was_short else [source for source in batch if self._is_fit(source)]
            if 0 < len(fit) < len(batch):
                self._finish(fit)
            elif fit:
                for source in fit:
                    self._finish([source], is_short=was_short)

    def _is_fit(self, source: Source) -> bool:
        """Whether an image can be prepared; it is dropped if not."""
        is_fit = False
        with self._dropping(source.case):
            prepare_image(self.segmenter.chains[IMAGE].preset, cast("SourceImage", source.data))
            is_fit = True
        return is_fit  # noqa: RET504  (the block swallows what fails)

    def _write(self, result: Segmentation) -> None:
        case, options = result.record.case, self.options
        if options.refuse_ood and result.is_unlike:
            self.queue.remove(case)
            result.require_like()
        formats = options.formats or (*usual_formats(result), *_fitting(options.extra_formats, result))
        wanted = [name for name in formats if name not in options.left_out]
        result = replace(result, record=replace(result.record, request=self.queue.request))
        record = write_case(self.queue.folder / case, result, wanted, options.dicom)
        first = "overlay" if is_image(result) else "montage"
        pictures = {first: result.picture, "reconstruction": result.panel}
        self.pictures[case] = {name: encode_jpeg(picture) for name, picture in pictures.items() if picture is not None}
        self.queue.finish(case, record)

    @contextmanager
    def _dropping(self, case: str) -> Iterator[None]:
        try:
            with case_faults():
                yield
        except Exception as error:  # libraries raise what they like: one bad case must not end the others
            self.queue.drop(case, error)


def _done_alone(record: CaseRecord) -> CaseRecord:
    said = "There was too little memory for a batch: done alone, single pixels may differ from those of a batch."
    return replace(record, warnings=(*record.warnings, said))


def image_input(path: Path, options: SegmentOptions) -> CaseInput:
    """Describe an image's file to a queue."""
    file = ImageFile(path)

    def read(_: str, sha256: str) -> Source:
        return read_image_source(file, sha256=sha256)

    item = CaseInput(
        source=path.name,
        stem=safe_name(image_stem(path)),
        location=location_digest(path),
        digest=file.digest,
        read=read,
    )
    return _identified(item, file.identity()) if options.identify else item


def volume_input(
    candidate: VolumeCandidate,
    options: SegmentOptions,
    segmenter: Segmenter,
    say: Callable[[str], None] | None = None,
) -> CaseInput:
    """Describe a volume that was found to a queue; it is refused unread where its headers say that it is too large.

    Args:
        candidate: The volume.
        options: What is asked for.
        segmenter: What will segment it.
        say: Called with its name, size and estimated memory before it is read.
    """

    def read(case: str, sha256: str) -> Source:
        _announce(segmenter, say, case, candidate)
        return read_volume_source(candidate, sha256=sha256)

    item = CaseInput(
        source=candidate.name,
        stem=candidate.name,
        location=location_digest(candidate.path, candidate.name),
        digest=candidate.digest,
        read=read,
    )
    return _identified(item, candidate.identity()) if options.identify else item


def _identified(item: CaseInput, identity: Identity | None) -> CaseInput:
    """Say whom an input is of, and call its case so, where that is known."""
    if identity is None:
        return item
    return replace(
        item,
        stem=safe_name(identity.patient_id) if identity.patient_id else item.stem,
        read=lambda case, sha256: replace(item.read(case, sha256), identity=asdict(identity)),
    )


def _announce(segmenter: Segmenter, say: Callable[[str], None] | None, case: str, candidate: VolumeCandidate) -> None:
    """Say what a volume will need, and refuse it by its header if that is too much in any case."""
    size = candidate.size()
    if size is None:  # reading it says what is wrong
        return
    shape, itemsize = size
    tagged = candidate.series.modality if candidate.series is not None else None
    wanted = tagged if segmenter.options.modality == "auto" else segmenter.options.modality
    peak = expected_peak_gib(segmenter, shape, itemsize, wanted)
    if say is not None:
        say(f"{case}: {' x '.join(map(str, shape))} voxels, about {peak:.1f} GiB of memory")
    require_memory(segmenter, peak)


def _fitting(names: Sequence[str], result: Segmentation) -> list[str]:
    return [name for name in names if OUTPUTS[name].fits(result)]
