"""`segment_files` with all options flat, as most tests change one of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from monai_semigan import SegmenterOptions, SegmentOptions, segment_files
from monai_semigan.report.segmentation_report import SegmentationReport
from monai_semigan.segmentation.record import CaseRecord

OF_SEGMENTER = {part.name for part in fields(SegmenterOptions)}


def segment(
    inputs: Any, *, bundle: Any, output: Any, say: Callable[[str], None] | None = None, **changes: Any
) -> SegmentationReport:
    """Segment files; keywords are fields of `SegmenterOptions` or `SegmentOptions`."""
    inner = {name: value for name, value in changes.items() if name in OF_SEGMENTER}
    outer = {name: value for name, value in changes.items() if name not in OF_SEGMENTER}
    options = SegmentOptions(segmenter=SegmenterOptions(**inner), **outer)
    return segment_files(inputs, bundle=bundle, output=output, say=say, options=options)


def names(report: SegmentationReport) -> list[str]:
    """Return the names of a report's cases."""
    return [case.record.case for case in report.cases]


def records(report: SegmentationReport) -> dict[str, CaseRecord]:
    """Return a report's records by case."""
    return {case.record.case: case.record for case in report.cases}


def reasons(report: SegmentationReport) -> dict[str, str]:
    """Return why inputs failed, by their name."""
    return {failure.source: failure.reason for failure in report.failures}


def label_digests(folder: Path) -> dict[str, str]:
    """Digest of every label below a folder, by case."""
    return {
        path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*/label.png"))
    }
