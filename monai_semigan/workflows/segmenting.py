# SPDX-License-Identifier: Apache-2.0
"""Segment files with a bundle: images or volumes in, one folder per case and a report out."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image

from monai_semigan.atomic import remove_stale, scratch_folder
from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.bundle.serving import bundle_segmenter
from monai_semigan.files import make_folder, write_json, write_text
from monai_semigan.io.image_file import find_images
from monai_semigan.io.volume_input import iter_volumes
from monai_semigan.pictures.overlay import encode_jpeg
from monai_semigan.report.segmentation_report import ReportCase, SegmentationReport, render_segmentation_report
from monai_semigan.segmentation.outputs import require_formats
from monai_semigan.types import PathLike, Paths, Progress, as_paths
from monai_semigan.versions import environment
from monai_semigan.workflows.case_run import CaseRun, image_input, segment_request, volume_input
from monai_semigan.workflows.cases import CaseQueue, require_apart
from monai_semigan.workflows.claims import free_claims
from monai_semigan.workflows.segment_options import SegmentOptions

__all__ = ["SegmentOptions", "read_pictures", "segment_files", "write_report"]


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
    free_claims(folder)
    queue = CaseQueue(
        folder,
        opened.digest,
        segment_request(segmenter, options),
        overwrite=options.overwrite,
        total=len(images or ()),
        progress=progress,
        say=say,
    )
    run = CaseRun(segmenter, options, queue, progress if segmenter.takes_volumes else None)
    try:
        if images is not None:
            run.work_through(image_input(path, options) for path in images)
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
                run.work_through(volume_input(candidate, options, segmenter, say) for candidate in candidates)
    finally:
        queue.close()
    return _report(run)


def _report(run: CaseRun) -> SegmentationReport:
    queue = run.queue
    cases = [
        ReportCase(record=record, pictures=run.pictures.get(case) or read_pictures(queue.folder / case))
        for case, record in queue.records.items()
        if record is not None
    ]
    report = SegmentationReport(
        bundle=run.segmenter.bundle,
        created=time.strftime("%Y-%m-%d %H:%M:%S"),
        versions=environment(),
        settings=queue.request,
        cases=tuple(cases),
        failures=tuple(queue.failures),
        skipped=tuple(queue.skipped),
        redone=tuple(queue.redone),
    )
    write_report(queue.folder, report)
    return report


def write_report(folder: Path, report: SegmentationReport) -> None:
    """Write ``report.json`` and ``report.html``.

    Raises:
        OutputError: They cannot be written.
    """
    write_json(folder / "report.json", report.to_json())
    write_text(folder / "report.html", render_segmentation_report(report))


def read_pictures(case_folder: Path) -> dict[str, bytes]:
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
