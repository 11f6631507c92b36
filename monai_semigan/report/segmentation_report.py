# SPDX-License-Identifier: Apache-2.0
"""The report of a segmentation: every case's pictures and numbers, and what failed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from monai_semigan.segmentation.record import BundleRecord, CaseRecord, ClassRecord, volume_text
from monai_semigan.segmentation.viewer import VIEWER_FILE
from monai_semigan.settings import Pattern, check_settings, to_json
from monai_semigan.templates import render

__all__ = [
    "REPORT_SCHEMA",
    "FailureReport",
    "RedoneReport",
    "ReportCase",
    "ReportRecord",
    "SegmentationReport",
    "render_segmentation_report",
    "setting_text",
]

REPORT_SCHEMA: Final = "semigan-segmentation-2"

Time = Annotated[str, Pattern(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}", "a time such as 2020-01-31 23:59:59")]

MEASURES = {
    "mean_squared": "mean squared error of the image that the network sees, in [-1, 1]",
    "local_correlation": "one minus the squared local correlation, blind to contrast, from 0 to 1",
}

BAR_SHARE = 0.3
"""Longest scale bar, as a share of the picture's width."""


@dataclass(frozen=True, kw_only=True)
class FailureReport:
    """One input that could not be segmented.

    Attributes:
        source: Name of the file or folder.
        reason: What is wrong with it.
        is_unlike: It was segmented, but is out of distribution, and such were to be refused.
    """

    source: str
    reason: str
    is_unlike: bool = False


@dataclass(frozen=True, kw_only=True)
class RedoneReport:
    """One case that an earlier call had finished and that was made again.

    Attributes:
        case: Its name.
        reason: Why.
    """

    case: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class _Run:
    bundle: BundleRecord
    created: Time
    versions: Mapping[str, str]
    settings: Mapping[str, Any]
    failures: tuple[FailureReport, ...] = ()
    skipped: tuple[str, ...] = ()
    redone: tuple[RedoneReport, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReportRecord(_Run):
    """What ``report.json`` holds: a `SegmentationReport` without its pictures.

    Attributes:
        schema: Version of this description.
        bundle: What made the cases.
        created: Local time.
        versions: Of this package, Python, and what computes or decodes.
        settings: What was asked for.
        cases: As in their ``case.json``.
        failures: Inputs that could not be segmented.
        skipped: Names of the cases that an earlier call had finished.
        redone: Cases that an earlier call had finished and that were made again.
    """

    schema: Literal["semigan-segmentation-2"] = REPORT_SCHEMA
    cases: tuple[CaseRecord, ...]

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class ReportCase:
    """One segmented case with its pictures.

    Attributes:
        record: What is known of it.
        pictures: PNG or JPEG by name; the first, the label on its source, is shown large.
    """

    record: CaseRecord
    pictures: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True, repr=False)
class SegmentationReport(_Run):
    """All that a call of ``segment`` did; in a notebook it shows itself."""

    cases: tuple[ReportCase, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what ``report.json`` holds, JSON types."""
        known = {part.name: getattr(self, part.name) for part in fields(_Run)}
        content: dict[str, Any] = to_json(ReportRecord(**known, cases=tuple(case.record for case in self.cases)))
        return {"schema": content.pop("schema"), **content}

    def __repr__(self) -> str:
        warned = sum(bool(case.record.warnings) for case in self.cases)
        return (
            f"SegmentationReport({self.bundle.name} {self.bundle.version}: {len(self.cases)} cases, "
            f"{warned} with warnings, {len(self.failures)} failed)"
        )

    def _repr_html_(self) -> str:
        return render("notebook.html", title="Segmentation report", page=render_segmentation_report(self))


def render_segmentation_report(report: SegmentationReport) -> str:
    """Return the report as one self-contained HTML page; its links lead to the cases' folders beside it."""
    records = [case.record for case in report.cases]
    head, rows = _overview(records)
    return render(
        "segmentation.html",
        report=report,
        cases=report.cases,
        num_warned=sum(bool(record.warnings) for record in records),
        failures=[(failure.source, failure.reason) for failure in report.failures],
        head=head,
        rows=rows,
        anchors=[f"#case-{at + 1}" for at in range(len(records))],
        marks=["warned" if record.warnings else "" for record in records],
        measure="; ".join(dict.fromkeys(MEASURES[record.reconstruction.measure] for record in records)),
        has_window=any(record.window for record in records),
        versions=_listed(report.versions),
        settings={name.replace("_", " "): setting_text(value) for name, value in report.settings.items()},
        facts=_facts,
        links=_links,
        viewer=_viewer,
        amount=_amount,
        scale_bar=_scale_bar,
    )


def _overview(records: list[CaseRecord]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Head and rows of the table of cases: how much of each class, and the numbers to judge it by."""
    is_volume = any(record.kind == "volume" for record in records)
    names = list(dict.fromkeys(part.name for record in records for part in record.classes))
    rows = []
    for record in records:
        parts = {part.name: part.volume_ml if is_volume else 100 * part.share for part in record.classes}
        amounts = [
            None if (value := parts.get(name)) is None else volume_text(value) if is_volume else f"{value:.1f}"
            for name in names
        ]
        ood = None if record.ood is None else record.ood.score
        numbers = record.lowest_expected_dice, record.reconstruction.encoder, ood, len(record.warnings)
        rows.append((record.case, *amounts, *numbers))
    unit = "mL" if is_volume else "%"
    measures = "expected Dice", "reconstruction error", "out of distribution", "warnings"
    return ["case", *(f"{name} ({unit})" for name in names), *measures], rows


def _facts(record: CaseRecord) -> list[tuple[str, str]]:
    unit = "pixels" if record.kind == "image" else "voxels"
    size = " x ".join(map(str, record.size[::-1] if record.kind == "image" else record.size))
    across = record.spacing_mm and (record.spacing_mm[::-1] if record.kind == "image" else record.spacing_mm)
    step = " x ".join(f"{value:.3g}" for value in across or ())
    rows = [(name.replace("_", " "), value) for name, value in (record.identity or {}).items() if value]
    rows.append(("size", f"{size} {unit}" + (f" of {step} mm" if step else ", spacing unknown")))
    if record.axcodes:
        rows.append(("axes grow to", "".join(record.axcodes)))
    if record.modality:
        rows.append(("modality", record.modality + (f": {record.modality_reason}" if record.modality_reason else "")))
    if record.window:
        values = "HU" if record.modality == "CT" else "values"
        rows.append(("window shown", f"{record.window[0]:g} to {record.window[1]:g} {values}"))
    if record.slices:
        kinds = record.slices
        numbers = f"{kinds.total}: {kinds.with_label} with label, {kinds.refined} refined, {kinds.empty} empty"
        rows.append(("axial slices", numbers))
    rows += _reconstruction_facts(record)
    if record.ood is not None:
        parts = ", ".join(f"{name} {value:.2f}" for name, value in record.ood.parts.items())
        said = f"{record.ood.score:.2f} (usual up to {record.ood.limit:.2f}; {parts})"
        rows.append(("out-of-distribution score", said))
    rows += [
        (f"{part.name}, cleaned", f"{part.removed} {unit} removed, {part.filled} filled")
        for part in record.classes
        if part.removed or part.filled
    ]
    stages = ", ".join(f"{stage} {value:.2f}" for stage, value in record.seconds.items())
    return [*rows, ("time", f"{sum(record.seconds.values()):.2f} s ({stages})")] if stages else rows


def _reconstruction_facts(record: CaseRecord) -> list[tuple[str, str]]:
    """The error that is compared with the limit, and apart from it, what the refinement made of it."""
    error, measure = record.reconstruction, record.reconstruction.measure.replace("_", " ")
    if error.encoder is None:
        return [("reconstruction error", "none: nothing was reconstructed")]
    rows = [("reconstruction error", f"{error.encoder:.4f} ({measure}; usual up to {error.limit:.3g})")]
    is_refined = record.steps_taken != 0 and error.refined is not None and error.refined != error.encoder
    if is_refined:
        steps = f"{record.steps_taken} inversion steps" if record.steps_taken else "inversion"
        rows.append(("refined by", f"{steps}: error {error.refined:.4f}"))
    return rows


def _links(record: CaseRecord) -> list[tuple[str, str]]:
    """The case's files by relative address, its label first."""
    names = sorted(
        {*record.files, "case.json"} - {VIEWER_FILE} if record.files else (),
        key=lambda name: not name.startswith("label"),
    )
    return [(name, quote(f"{record.case}/{name}")) for name in names]


def _viewer(record: CaseRecord) -> str:
    """Address of the case's viewer; empty if it has none."""
    return quote(f"{record.case}/{VIEWER_FILE}") if VIEWER_FILE in record.files else ""


def _amount(part: ClassRecord) -> str | None:
    if part.volume_ml is not None:
        return f"{volume_text(part.volume_ml)} mL"
    return None if part.area_mm2 is None else f"{part.area_mm2 / 100:.1f} cm²"


def _scale_bar(record: CaseRecord) -> dict[str, Any] | None:
    """Where a scale bar lies in an image's picture, in its pixels; None without a spacing."""
    if record.kind != "image" or record.spacing_mm is None:
        return None
    (height, width), step_mm = record.size, record.spacing_mm[1]
    most_mm = BAR_SHARE * width * step_mm
    decade = 10.0 ** math.floor(math.log10(most_mm))
    length_mm = max((factor * decade for factor in (1, 2, 5) if factor * decade <= most_mm), default=decade)
    unit = max(height, width) / 100
    return {
        "width": width,
        "height": height,
        "left": round(3 * unit, 2),
        "top": round(height - 4 * unit, 2),
        "length": round(length_mm / step_mm, 2),
        "thickness": round(unit, 2),
        "font": round(4 * unit, 2),
        "text": f"{length_mm:g} mm",
    }


def setting_text(value: Any) -> str:
    """Write a setting, of any depth, for a reader: ``steps 0, optimizer lbfgs``; an empty or a missing one is none."""
    if isinstance(value, Mapping):
        texts = [f"{name.replace('_', ' ')} {setting_text(part)}" for name, part in value.items()]
        return ("; " if any(isinstance(part, Mapping) for part in value.values()) else ", ").join(texts) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(setting_text(part) for part in value) or "none"
    if value is None:
        return "none"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
