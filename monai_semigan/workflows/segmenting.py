# SPDX-License-Identifier: Apache-2.0
"""Segment files with a bundle: images or volumes in, one folder per case and a report out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, cast

from PIL import Image

from monai_semigan.atomic import remove_stale, scratch_folder
from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.bundle.serving import bundle_segmenter
from monai_semigan.domains.base import IMAGE
from monai_semigan.files import make_folder, safe_name, write_json, write_text
from monai_semigan.io.dicom.identity import Identity
from monai_semigan.io.dicom.repair import NO_REPAIRS, RepairOptions
from monai_semigan.io.dicom.rules import SeriesRules
from monai_semigan.io.image_file import ImageFile, SourceImage, find_images, image_stem
from monai_semigan.io.volume_input import VolumeCandidate, iter_volumes
from monai_semigan.pictures.overlay import encode_jpeg
from monai_semigan.report.segmentation_report import ReportCase, SegmentationReport, render_segmentation_report
from monai_semigan.segmentation.image_adapter import prepare_image
from monai_semigan.segmentation.outputs import OUTPUTS, is_image, require_formats, usual_formats, write_case
from monai_semigan.segmentation.record import CaseRecord
from monai_semigan.segmentation.result import Segmentation
from monai_semigan.segmentation.segmenter import Segmenter, SegmenterOptions
from monai_semigan.segmentation.source import Source
from monai_semigan.segmentation.volume_adapter import expected_peak_gib, require_memory
from monai_semigan.types import PathLike, Paths, Progress, as_paths
from monai_semigan.versions import environment
from monai_semigan.workflows.cases import (
    CaseInput,
    CaseQueue,
    MemoryShortageError,
    case_faults,
    location_digest,
    require_apart,
)
from monai_semigan.workflows.sources import read_image_source, read_volume_source
from monai_semigan.writers.dicom_options import DicomOptions

__all__ = ["SegmentOptions", "segment_files"]


@dataclass(frozen=True, kw_only=True)
class SegmentOptions:
    """What a user may ask of `segment_files`.

    Attributes:
        segmenter: What is changed of the bundle.
        device: ``auto``, ``cpu`` or ``cuda``.
        formats: What is written by name, see `segmentation.outputs`; None for what is usual for each source.
        extra_formats: What is written beside, where the source allows it.
        left_out: Formats that are not written.
        dicom: How DICOM objects are written.
        rules: Which DICOM series are taken.
        repairs: What may be done to irregular DICOM series.
        identify: Say in ``case.json`` and report whom a DICOM source is of, and name its case after the PatientID.
        overwrite: Segment finished cases again.
    """

    segmenter: SegmenterOptions = field(default_factory=SegmenterOptions)
    device: str = "auto"
    formats: tuple[str, ...] | None = None
    extra_formats: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    dicom: DicomOptions = field(default_factory=DicomOptions)
    rules: SeriesRules = field(default_factory=SeriesRules)
    repairs: RepairOptions = NO_REPAIRS
    identify: bool = False
    overwrite: bool = False


def segment_files(
    inputs: Paths,
    *,
    bundle: PathLike,
    output: PathLike,
    options: SegmentOptions | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> SegmentationReport:
    """Segment files: a folder per case with label, pictures and ``case.json``, and a report over all.

    A case is named after its file or folder; a second one of the same name gets ``-2``. A case that an earlier call
    finished for the same source with the same bundle and options is skipped, and shown in the report all the same;
    where one of these, or a file of the case, differs it is made again. An input that cannot be segmented is listed
    with its reason and does not stop the others. What killed runs left unfinished in the output folder is removed.

    Args:
        inputs: For a bundle for images: image files (PNG, JPEG, TIFF, DICOM), or folders of them. For volumes: NIfTI,
            MHA and NRRD files, DICOM files, zips, and folders of them. The output folder inside one is left out.
        bundle: A shipped bundle's name, or a bundle folder.
        output: Folder for the results.
        options: What is asked for.
        progress: Called with the images done and their number, or with the slices of the volume in work.
        say: Called with a line of text per volume before it is read, its name, size and estimated memory; and for a
            finished case that is made again.

    Returns:
        What ``report.json`` and ``report.html`` in ``output`` say.

    Raises:
        InputError: An input does not exist, or there is nothing to segment.
        BundleError: The bundle is incomplete, altered, or not to be trusted.
        ConfigError: The output folder is an input, or an option is unknown.
        OutputError: The report cannot be written.
    """
    options, paths = options or SegmentOptions(), as_paths(inputs)
    require_formats((*(options.formats or ()), *options.extra_formats, *options.left_out))
    require_apart(paths, output)
    opened = open_bundle(bundle)
    images = None if opened.takes_volumes else find_images(paths, skip=output)
    segmenter = bundle_segmenter(opened, device=options.device, options=options.segmenter)
    folder = make_folder(output)
    remove_stale(folder)
    queue = CaseQueue(
        folder,
        opened.digest,
        _request(segmenter, options),
        overwrite=options.overwrite,
        total=len(images or ()),
        progress=progress,
        say=say,
    )
    run = _Run(segmenter, options, queue, progress if segmenter.takes_volumes else None)
    try:
        if images is not None:
            run.work_through(_image_input(path, options) for path in images)
        else:
            with scratch_folder(folder, "unpacked") as unpacked:
                candidates = iter_volumes(
                    paths,
                    on_failure=queue.fail,
                    rules=options.rules,
                    repairs=options.repairs,
                    unpack_to=unpacked,
                    skip=folder,
                )
                announce = partial(_announce, segmenter, say)
                run.work_through(_volume_input(candidate, options, announce) for candidate in candidates)
    finally:
        queue.close()
    return run.report()


def _request(segmenter: Segmenter, options: SegmentOptions) -> dict[str, Any]:
    return segmenter.request | {
        "device": segmenter.device.type,
        "formats": options.formats,
        "extra_formats": options.extra_formats,
        "left_out": options.left_out,
        "dicom": asdict(options.dicom),
        "repairs": asdict(options.repairs),
        "identify": options.identify,
    }


class _Run:
    """What all cases of a call share."""

    def __init__(
        self, segmenter: Segmenter, options: SegmentOptions, queue: CaseQueue, progress: Progress | None
    ) -> None:
        self.segmenter, self.options, self.queue, self.progress = segmenter, options, queue, progress
        self.pictures: dict[str, dict[str, bytes]] = {}

    def work_through(self, inputs: Iterable[CaseInput]) -> None:
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

    def report(self) -> SegmentationReport:
        """Write ``report.json`` and ``report.html`` over all inputs of the call."""
        queue, segmenter = self.queue, self.segmenter
        cases = [
            ReportCase(record=record, pictures=self.pictures.get(case) or _pictures(queue.folder / case))
            for case, record in queue.records.items()
            if record is not None
        ]
        report = SegmentationReport(
            bundle=segmenter.bundle,
            created=time.strftime("%Y-%m-%d %H:%M:%S"),
            versions=environment(),
            settings=queue.request,
            cases=tuple(cases),
            failures=tuple(queue.failures),
            skipped=tuple(queue.skipped),
            redone=tuple(queue.redone),
        )
        write_json(queue.folder / "report.json", report.to_json())
        write_text(queue.folder / "report.html", render_segmentation_report(report))
        return report


def _done_alone(record: CaseRecord) -> CaseRecord:
    said = "There was too little memory for a batch: done alone, single pixels may differ from those of a batch."
    return replace(record, warnings=(*record.warnings, said))


def _image_input(path: Path, options: SegmentOptions) -> CaseInput:
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


def _volume_input(
    candidate: VolumeCandidate, options: SegmentOptions, announce: Callable[[str, VolumeCandidate], None]
) -> CaseInput:
    def read(case: str, sha256: str) -> Source:
        announce(case, candidate)
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


def _pictures(case_folder: Path) -> dict[str, bytes]:
    """Read a finished case's pictures back for the report; one that is gone or damaged is left out."""
    names = ("overlay", "montage", "reconstruction")
    found = {name: _as_jpeg(case_folder / f"{name}.png") for name in names if (case_folder / f"{name}.png").is_file()}
    return {name: content for name, content in found.items() if content is not None}


def _as_jpeg(path: Path) -> bytes | None:
    try:
        with Image.open(BytesIO(path.read_bytes())) as picture:
            return encode_jpeg(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
