# SPDX-License-Identifier: Apache-2.0
"""Write measurements as DICOM Comprehensive 3D SR after the template "Measurement Report" (PS3.16 TID 1500).

There is a group for each class, which refers to its segment in the DICOM SEG where there is one, and a group for the
whole source with what tells how far to trust the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_semigan.errors import ConfigError
from monai_semigan.io.dicom.values import ElementValues
from monai_semigan.types import PathLike
from monai_semigan.writers.dicom_result import (
    MANUFACTURER,
    MODEL_NAME,
    SERIES_DESCRIPTION,
    AlgorithmInfo,
    coded,
    complete,
    derived_uid,
    instance_number,
    making,
    private_scheme,
    save,
    series_number,
)
from monai_semigan.writers.dicom_seg import tracking_uid
from monai_semigan.writers.dicom_source import lean_headers
from monai_semigan.writers.terminology import Code, SegmentInfo, Terminology

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["CaseFindings", "Evaluated", "Finding", "Measured", "write_dicom_sr"]

SERIES_OFFSET = 3000
"""Added to the source's SeriesNumber."""

WHOLE = "Whole source"
"""TrackingIdentifier of what is measured of no class."""

PROCEDURES = {
    "CT": Code("77477000", "SCT", "Computed tomography"),
    "MR": Code("113091000", "SCT", "Magnetic resonance imaging"),
    "CR": Code("363680008", "SCT", "Radiographic imaging procedure"),
    "DX": Code("363680008", "SCT", "Radiographic imaging procedure"),
    "DMS": Code("446078004", "SCT", "Dermoscopic photography"),
}
"""What was done to the patient, by modality."""

ANY_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")

COMMENT = Code("121106", "DCM", "Comment")


@dataclass(frozen=True)
class Measured:
    """A number (PS3.16 TID 300).

    Attributes:
        name: What was measured.
        unit: Of UCUM.
        value: In that unit.
        method: How; None if the name says it.
    """

    name: Code
    unit: Code
    value: float
    method: Code | None = None


@dataclass(frozen=True)
class Evaluated:
    """Something that is so or so.

    Attributes:
        name: The question.
        value: The answer.
    """

    name: Code
    value: Code


@dataclass(frozen=True)
class Finding:
    """What is known of one class.

    Attributes:
        segment: The class.
        measured: Numbers.
        evaluated: Everything else.
    """

    segment: SegmentInfo
    measured: tuple[Measured, ...]
    evaluated: tuple[Evaluated, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CaseFindings:
    """What is known of a source.

    Attributes:
        findings: Of classes 1, 2, ... in order.
        measured: Numbers of the whole source.
        notes: What a reader should know, plain text.
        is_volume: The source is a volume, not a single image.
    """

    findings: tuple[Finding, ...]
    measured: tuple[Measured, ...] = ()
    notes: tuple[str, ...] = ()
    is_volume: bool

    def __post_init__(self) -> None:
        if not self.findings:
            raise ConfigError("`findings` must be of at least one class.")


def write_dicom_sr(
    path: PathLike,
    case: CaseFindings,
    headers: Sequence[Dataset],
    *,
    algorithm: AlgorithmInfo,
    seg: Path | None = None,
    terminology: Terminology = "dicom",
) -> Path:
    """Write measurements of the images of a series.

    Args:
        path: The file to write; an existing one is replaced.
        case: What was measured.
        headers: Of all images that were segmented, as they were read.
        algorithm: What measured.
        seg: The DICOM SEG of the same label; None if there is none, as of an empty label.
        terminology: Which codes are used.

    Raises:
        InputError: A header lacks what names an image.
        OutputError: The file cannot be written.
    """
    path = Path(path)
    lean = lean_headers(headers)
    with making(path.name):
        report = _Report(case, lean, headers[0], algorithm, terminology, _read_segments(seg))
        result = report.make()
    return save(result, path)


@dataclass(frozen=True)
class _Segments:
    """The DICOM SEG that is referred to: its header, and of each segment a frame that shows it."""

    header: Dataset
    frames: dict[int, int]


def _read_segments(seg: Path | None) -> _Segments | None:
    if seg is None:
        return None
    from pydicom import dcmread  # noqa: PLC0415  (only who writes DICOM pays for the import)

    header = dcmread(seg, stop_before_pixels=True)
    frames: dict[int, int] = {}
    shared = ElementValues(header.SharedFunctionalGroupsSequence[0]).sequence("SegmentIdentificationSequence")
    for number, frame in enumerate(header.PerFrameFunctionalGroupsSequence, start=1):
        for item in ElementValues(frame).sequence("SegmentIdentificationSequence") or shared:
            frames.setdefault(int(item.ReferencedSegmentNumber), number)
    if header.SegmentationType == "LABELMAP":  # a frame shows all
        frames = {int(item.SegmentNumber): 1 for item in header.SegmentSequence}
    return _Segments(header, frames)


@dataclass(frozen=True)
class _Report:
    """What a report is made of."""

    case: CaseFindings
    headers: Sequence[Dataset]
    full: Dataset
    algorithm: AlgorithmInfo
    terminology: Terminology
    segments: _Segments | None

    @property
    def uids(self) -> list[str]:
        return sorted(str(header.SOPInstanceUID) for header in self.headers)

    def seed(self, source_uids: Sequence[str]) -> list[Any]:
        """What identifiers are derived from."""
        names = [item.segment.name for item in self.case.findings]
        algorithm = self.algorithm
        return ["SR", list(source_uids), algorithm.digest, algorithm.settings, self.terminology, names]

    def make(self) -> Dataset:
        """Build the object, patient and study included."""
        import highdicom as hd  # noqa: PLC0415  (0.6 s to import)

        groups = [self._group(number, item) for number, item in enumerate(self.case.findings, start=1)]
        groups.append(self._whole())
        evidence = [*self.headers, *([self.segments.header] if self.segments else [])]
        modality = ElementValues(self.full).text("Modality")
        content = hd.sr.MeasurementReport(
            observation_context=hd.sr.ObservationContext(observer_device_context=self._observer()),
            procedure_reported=coded(PROCEDURES.get(modality, ANY_PROCEDURE)),
            imaging_measurements=groups,
        )
        result = hd.sr.Comprehensive3DSR(
            evidence=evidence,
            content=content[0],
            series_instance_uid=derived_uid("series", *self.seed([str(self.headers[0].SeriesInstanceUID)])),
            series_number=series_number(self.full, SERIES_OFFSET),
            sop_instance_uid=derived_uid(*self.seed(self.uids)),
            instance_number=instance_number(self.full) if len(self.headers) == 1 else 1,
            series_description=SERIES_DESCRIPTION,
            coding_schemes=[private_scheme()],
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MODEL_NAME,
            **{key: self.algorithm.equipment[key] for key in ("device_serial_number", "software_versions")},
        )
        complete(result, self.full, self.algorithm, seed=self.seed(self.uids))
        return result

    def _observer(self) -> Any:
        import highdicom as hd  # noqa: PLC0415  (see make)
        from pydicom.sr.codedict import codes  # noqa: PLC0415  (see make)

        return hd.sr.ObserverContext(
            observer_type=codes.DCM.Device,
            observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
                uid=derived_uid("observer", self.algorithm.digest),
                name=self.algorithm.name,
                manufacturer_name=MANUFACTURER,
                model_name=MODEL_NAME,
                serial_number=self.algorithm.digest[:16],
            ),
        )

    def _group(self, number: int, item: Finding) -> Any:
        """Measurements of a class, of its segment where there is one."""
        import highdicom as hd  # noqa: PLC0415  (see make)

        segment = item.segment
        common: dict[str, Any] = {
            "tracking_identifier": hd.sr.TrackingIdentifier(
                uid=tracking_uid(self.uids, segment, self.algorithm), identifier=segment.name
            ),
            "finding_category": coded(segment.category, self.terminology),
            "finding_type": coded(segment.type, self.terminology),
            "finding_sites": self._sites(segment),
            "algorithm_id": self._algorithm(),
            "measurements": [_measurement(entry) for entry in item.measured],
            "qualitative_evaluations": [
                hd.sr.QualitativeEvaluation(coded(entry.name), coded(entry.value)) for entry in item.evaluated
            ],
        }
        if self.segments is None or number not in self.segments.frames:
            return hd.sr.MeasurementsAndQualitativeEvaluations(**common)
        seg = self.segments.header
        named = {"sop_class_uid": seg.SOPClassUID, "sop_instance_uid": seg.SOPInstanceUID, "segment_number": number}
        if self.case.is_volume:
            series = hd.sr.SourceSeriesForSegmentation(self.headers[0].SeriesInstanceUID)
            segment_item = hd.sr.ReferencedSegment(**named, source_series=series)
            return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment_item, **common)
        image = hd.sr.SourceImageForSegmentation(self.headers[0].SOPClassUID, self.headers[0].SOPInstanceUID)
        frame = hd.sr.ReferencedSegmentationFrame(
            **named, frame_number=self.segments.frames[number], source_image=image
        )
        # A frame of a BINARY one is of one segment, and a reference has only one of both (PS3.3 C.18.4).
        reference = frame[0].ReferencedSOPSequence[0]
        del reference["ReferencedFrameNumber" if seg.SegmentationType == "LABELMAP" else "ReferencedSegmentNumber"]
        return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(referenced_segment=frame, **common)

    def _whole(self) -> Any:
        """Measurements of the whole source, and the notes."""
        import highdicom as hd  # noqa: PLC0415  (see make)

        group = hd.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(
                uid=derived_uid("tracking", self.uids, WHOLE, self.algorithm.digest, self.algorithm.settings),
                identifier=WHOLE,
            ),
            algorithm_id=self._algorithm(),
            measurements=[_measurement(entry) for entry in self.case.measured],
        )
        for note in (f"{SERIES_DESCRIPTION}.", *self.case.notes):
            # The template may be extended (PS3.16 6.2.4). ASCII, as the source's character set is kept.
            text = hd.sr.TextContentItem(
                name=coded(COMMENT),
                value=note.encode("ascii", "replace").decode(),
                relationship_type=hd.sr.RelationshipTypeValues.CONTAINS,
            )
            group[0].ContentSequence.append(text)
        return group

    def _algorithm(self) -> Any:
        import highdicom as hd  # noqa: PLC0415  (see make)
        from pydicom.sr.codedict import codes  # noqa: PLC0415  (see make)

        return hd.sr.AlgorithmIdentification(
            name=self.algorithm.name,
            version=self.algorithm.version,
            parameters=[f"bundle_sha256={self.algorithm.digest}"],
            family=codes.DCM.ArtificialIntelligence,
            manufacturer=MANUFACTURER,
        )

    def _sites(self, segment: SegmentInfo) -> list[Any] | None:
        """Where a finding lies: its region, or the side of a paired organ."""
        import highdicom as hd  # noqa: PLC0415  (see make)

        if segment.region is None and segment.modifier is None:
            return None
        return [
            hd.sr.FindingSite(
                coded(segment.region or segment.type, self.terminology),
                laterality=coded(segment.modifier, self.terminology) if segment.modifier else None,
            )
        ]


def _measurement(item: Measured) -> Any:
    import highdicom as hd  # noqa: PLC0415  (see make)

    method = coded(item.method) if item.method else None
    return hd.sr.Measurement(coded(item.name), float(item.value), coded(item.unit), method=method)
