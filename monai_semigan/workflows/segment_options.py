# SPDX-License-Identifier: Apache-2.0
"""What a user may ask of a segmentation of files."""

from __future__ import annotations

from dataclasses import dataclass, field

from monai_semigan.io.dicom.repair import NO_REPAIRS, RepairOptions
from monai_semigan.io.dicom.rules import SeriesRules
from monai_semigan.segmentation.segmenter import SegmenterOptions
from monai_semigan.writers.dicom_options import DicomOptions

__all__ = ["SegmentOptions"]


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
        refuse_ood: Write nothing for a case that is out of distribution, and list it as refused.
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
    refuse_ood: bool = False
