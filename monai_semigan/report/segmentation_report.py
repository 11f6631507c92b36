# SPDX-License-Identifier: Apache-2.0
"""The report of a segmentation: every case's overlay, reconstruction and numbers, and what failed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

from monai_semigan.report.page import RESEARCH_NOTICE, facts, failure_list, figure, image_tag, page, sparkline

__all__ = ["CaseReport", "FailureReport", "RedoneReport", "SegmentationReport", "render_segmentation_report"]

SCHEMA = "semigan-segmentation-1"


@dataclass(frozen=True)
class CaseReport:
    """One segmented case; ``numbers`` is what ``case.json`` holds, pictures are JPEG or PNG.

    Attributes:
        overlay: The label on the image, or the montage of a volume; None if the picture cannot be read.
        reconstruction: What the generator made of an image; None for volumes.
    """

    name: str
    numbers: dict[str, Any]
    overlay: bytes | None
    reconstruction: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class FailureReport:
    """One input that could not be segmented."""

    source: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RedoneReport:
    """One case that an earlier call had finished and that was made again, and why."""

    case: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class SegmentationReport:
    """All that a call of ``semigan segment`` did."""

    bundle: dict[str, str]
    created: str
    versions: dict[str, str]
    settings: dict[str, Any]
    cases: tuple[CaseReport, ...]
    failures: tuple[FailureReport, ...] = ()
    skipped: tuple[str, ...] = field(default=())
    redone: tuple[RedoneReport, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return everything but the pictures as JSON types."""
        return {
            "schema": SCHEMA,
            "bundle": self.bundle,
            "created": self.created,
            "versions": self.versions,
            "settings": self.settings,
            "cases": [case.numbers for case in self.cases],
            "skipped": list(self.skipped),
            "redone": [asdict(item) for item in self.redone],
            "failures": [asdict(failure) for failure in self.failures],
        }


def render_segmentation_report(report: SegmentationReport) -> str:
    """Return the report as one self-contained HTML page."""
    warned = sum(1 for case in report.cases if case.numbers["warnings"])
    body = (
        f'<header><h1>Segmentation report</h1><p class="soft">{escape(report.bundle["name"])} '
        f"{escape(report.bundle['version'])} · {escape(report.created)}</p>"
        f'<p class="notice">{RESEARCH_NOTICE}</p></header><div class="figures">'
        + figure("cases", str(len(report.cases)))
        + figure("with warnings", str(warned), is_bad=warned > 0)
        + figure("failed", str(len(report.failures)), is_bad=bool(report.failures))
        + "</div>"
        + failure_list("Failed", [(failure.source, failure.reason) for failure in report.failures])
        + _redone(report.redone)
        + "<h2>Cases</h2>"
        + ("\n".join(_case(case) for case in report.cases) or "<p>None.</p>")
    )
    versions = ", ".join(f"{name} {value}" for name, value in report.versions.items())
    settings = ", ".join(f"{name} {value}" for name, value in report.settings.items())
    footer = escape(f"{versions}; settings: {settings}; bundle digest {report.bundle['digest']}")
    return page("Segmentation report", body, footer=footer)


def _redone(redone: tuple[RedoneReport, ...]) -> str:
    said = "; ".join(f"{item.case}: {item.reason}" for item in redone)
    return f'<p class="soft">Segmented again: {escape(said)}.</p>' if redone else ""


def _case(case: CaseReport) -> str:
    numbers = case.numbers
    is_volume = "class_volumes_ml" in numbers
    rows = [
        *_identity_rows(numbers.get("identity") or {}),
        *(_volume_rows(numbers) if is_volume else _image_rows(numbers)),
        ("time", _times(numbers["seconds"])),
    ]
    warnings = "".join(f'<p class="warning">{escape(warning)}</p>' for warning in numbers["warnings"])
    drawn = sparkline(numbers.get("trace", []), "loss per inversion step")
    trace = f'<figure class="trace">{drawn}<figcaption>loss per inversion step</figcaption></figure>' if drawn else ""
    reconstruction = (
        image_tag(case.reconstruction, f"reconstruction of {case.name}") if case.reconstruction is not None else ""
    )
    kind = "montage" if is_volume else "overlay"
    picture = "no picture" if case.overlay is None else image_tag(case.overlay, f"label on {case.name}", kind=kind)
    return (
        f'<section class="case {kind}-case"><div>{picture}</div>'
        f'<div class="text"><h3>{escape(case.name)}</h3>{warnings}'
        f"{reconstruction}{facts(rows)}{trace}</div></section>"
    )


def _identity_rows(identity: dict[str, str]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), value) for name, value in identity.items() if value]


def _image_rows(numbers: dict[str, Any]) -> list[tuple[str, str]]:
    areas = numbers["class_areas_mm2"] or {}
    return [
        ("size", f"{numbers['size_px'][1]} x {numbers['size_px'][0]} px"),
        *(
            (f"{name} area", f"{share:.1%} of the image" + (f", {areas[name] / 100:.1f} cm²" if name in areas else ""))
            for name, share in numbers["class_shares"].items()
        ),
        *_expected_rows(numbers),
        (
            "reconstruction error",
            f"{numbers['image_error']:.4f}; encoder alone {numbers['encoder_image_error']:.4f}",
        ),
        ("inversion steps", str(numbers["steps_taken"])),
    ]


def _volume_rows(numbers: dict[str, Any]) -> list[tuple[str, str]]:
    spacing = " x ".join(f"{value:.3g}" for value in numbers["spacing_mm"])
    slices = numbers["slices"]
    errors = [numbers["image_error"], numbers["encoder_image_error"]]
    return [
        (
            "size",
            " x ".join(map(str, numbers["size_px"])) + f" voxels of {spacing} mm, axes {''.join(numbers['axcodes'])}",
        ),
        ("modality", f"{numbers['modality']}: {numbers['modality_reason']}"),
        *((f"{name} volume", f"{volume:.1f} mL") for name, volume in numbers["class_volumes_ml"].items()),
        *_expected_rows(numbers),
        (
            "axial slices",
            f"{slices['axial']}, {slices['with_organ']} with label, {slices['refined']} refined, "
            f"{slices['empty']} without anything to see",
        ),
        (
            "reconstruction error",
            "none" if errors[0] is None else f"{errors[0]:.4f}; encoder alone {errors[1]:.4f} (slices with label)",
        ),
    ]


def _expected_rows(numbers: dict[str, Any]) -> list[tuple[str, str]]:
    expected = numbers.get("expected_dice", {})  # missing in cases of earlier versions
    return [(f"{name} expected Dice", f"{value:.3f}") for name, value in expected.items() if value is not None]


def _times(seconds: dict[str, float]) -> str:
    return f"{sum(seconds.values()):.2f} s: " + ", ".join(f"{stage} {value:.2f}" for stage, value in seconds.items())
