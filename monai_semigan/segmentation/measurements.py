# SPDX-License-Identifier: Apache-2.0
"""What a structured report says of a case: one row of a table for each number of its record.

A number that the record has and the report shall tell is one more row in `OF_CLASS` or `OF_CASE`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from monai_semigan.segmentation.record import CaseRecord, ClassRecord
from monai_semigan.writers.dicom_sr import CaseFindings, Evaluated, Finding, Measured
from monai_semigan.writers.terminology import PRIVATE_SCHEME, Code, SegmentInfo

__all__ = ["OF_CASE", "OF_CLASS", "case_findings"]

NO_UNITS = Code("1", "UCUM", "no units")

CUT = Evaluated(
    Code("extent", PRIVATE_SCHEME, "Extent"), Code("cut", PRIVATE_SCHEME, "Reaches a face of the volume: may be a part")
)

METHODS = {
    "mean_squared": Code("mean-squared", PRIVATE_SCHEME, "Mean squared error of values in [-1, 1]"),
    "local_correlation": Code("local-corr", PRIVATE_SCHEME, "One minus the squared local correlation"),
}
"""What a reconstruction error is, by the record's ``measure``."""


class ClassRow(NamedTuple):
    """A number of a class; a case whose value is None has none."""

    name: Code
    unit: Code
    value: Callable[[CaseRecord, ClassRecord], float | None]


class CaseRow(NamedTuple):
    """A number of a case; a case whose value is None has none."""

    name: Code
    unit: Code
    value: Callable[[CaseRecord], float | None]
    method: Callable[[CaseRecord], Code | None] = lambda _: None


def _own(value: str, meaning: str) -> Code:
    return Code(value, PRIVATE_SCHEME, meaning)


def _measure(record: CaseRecord) -> Code:
    return METHODS[record.reconstruction.measure]


def _pixels(record: CaseRecord, part: ClassRecord) -> float | None:
    """Of an image whose spacing is unknown; of others the area or the volume says it."""
    if part.area_mm2 is not None or part.volume_ml is not None:
        return None
    height, width = record.size[:2]
    return float(round(part.share * height * width))


OF_CLASS = (
    ClassRow(Code("118565006", "SCT", "Volume"), Code("mL", "UCUM", "mL"), lambda _, part: part.volume_ml),
    ClassRow(Code("42798000", "SCT", "Area"), Code("mm2", "UCUM", "square millimeter"), lambda _, part: part.area_mm2),
    ClassRow(_own("pixels", "Number of pixels"), Code("{pixels}", "UCUM", "pixels"), _pixels),
    ClassRow(_own("expected-dice", "Expected Dice"), NO_UNITS, lambda _, part: part.expected_dice),
)

OF_CASE = (
    CaseRow(_own("lowest-dice", "Lowest expected Dice"), NO_UNITS, lambda record: record.lowest_expected_dice),
    CaseRow(
        _own("error", "Reconstruction error"), NO_UNITS, lambda record: record.reconstruction.encoder, method=_measure
    ),
    CaseRow(
        _own("error-refined", "Reconstruction error, refined"),
        NO_UNITS,
        lambda record: record.reconstruction.refined,
        method=_measure,
    ),
    CaseRow(
        _own("error-limit", "Usual reconstruction error, at most"),
        NO_UNITS,
        lambda record: record.reconstruction.limit,
        method=_measure,
    ),
    CaseRow(
        _own("ood", "Out-of-distribution score"), NO_UNITS, lambda record: record.ood.score if record.ood else None
    ),
    CaseRow(
        _own("ood-limit", "Usual out-of-distribution score, at most"),
        NO_UNITS,
        lambda record: record.ood.limit if record.ood else None,
    ),
)


def case_findings(record: CaseRecord, segments: Sequence[SegmentInfo]) -> CaseFindings:
    """Say what a structured report holds of a case.

    Args:
        record: The case.
        segments: Of its classes, in order.
    """
    findings = []
    for part, segment in zip(record.classes, segments, strict=True):
        numbers = [(row, row.value(record, part)) for row in OF_CLASS]
        measured = [Measured(row.name, row.unit, value) for row, value in numbers if value is not None]
        findings.append(Finding(segment, tuple(measured), (CUT,) if part.is_cut else ()))
    of_case = [(row, row.value(record)) for row in OF_CASE]
    return CaseFindings(
        findings=tuple(findings),
        measured=tuple(
            Measured(row.name, row.unit, value, row.method(record)) for row, value in of_case if value is not None
        ),
        notes=record.warnings,
        is_volume=record.kind == "volume",
    )
