# SPDX-License-Identifier: Apache-2.0
"""``semigan segment``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import progress_bar, text_table

if TYPE_CHECKING:
    from monai_semigan.report.segmentation_report import SegmentationReport

__all__ = ["command"]

SOME_CASES_FAILED = 3
COMMON_SETTINGS = ("output", "steps", "compute_dtype", "device", "seed", "overwrite")


@click.command(name="segment")
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.bundle
@options.output_folder
@click.option(
    "--steps", type=click.IntRange(0, 10_000), help="Inversion steps; 0: encoder alone. [default: the bundle's]"
)
@click.option(
    "--compute-dtype",
    type=click.Choice(["float32", "bfloat16", "auto"]),
    help="Of the inversion; auto: bfloat16 where it is fast. The result is float32. [default: the bundle's]",
)
@click.option(
    "--batch-size", type=click.IntRange(1, 1024), default=8, show_default=True, help="Images or slices at once."
)
@click.option("--overwrite", is_flag=True, help="Segment finished cases again.")
@click.option(
    "--modality",
    type=click.Choice(["auto", "CT", "MR"], case_sensitive=False),
    default="auto",
    show_default=True,
    help="Volumes: what the values are. auto: the DICOM tag, else the intensities.",
)
@options.series_rules
@options.repairs
@click.option("--probability", is_flag=True, help="Volumes: also write probability.nii.gz.")
@click.option(
    "--max-memory",
    type=click.FloatRange(min=0, min_open=True),
    metavar="GIB",
    help="Volumes: refuse one whose estimated peak of memory is above.",
)
@options.dicom_results
@options.device
@options.seed
@options.as_json
def command(inputs: tuple[Path, ...], bundle: str, as_json: bool, **settings: Any) -> int:
    """Segment images (PNG, JPEG, TIFF, single-frame DICOM) or volumes (DICOM series, zips, NIfTI, MHA, NRRD).

    The bundle decides: for images or for volumes. Every case gets a folder: images with label.png, overlay.png and
    reconstruction.png, volumes with label.nii.gz and montage.png, DICOM sources with seg.dcm, all with case.json;
    report.html and report.json cover all of them. Finished cases are skipped when the command is repeated.

    \b
    Examples:
      semigan segment xray.dcm -b lung_cxr_segmentation -o out
      semigan segment folder/ more.png -b lung_cxr_segmentation -o out --steps 0
      semigan segment study.zip volume.nii.gz -b liver_ct_segmentation -o out --plane axial --min-slices 20
      semigan segment mr.nii.gz -b liver_ct_segmentation -o out --modality MR

    Exit code 3: some inputs could not be segmented; the report says why.
    """
    from monai_semigan.inference.bundle import open_bundle

    run = _segment_volumes if open_bundle(bundle).takes_volumes else _segment_images
    report = run(inputs, bundle, settings)
    if as_json:
        click.echo(json.dumps(report.to_json()))
    else:
        _print(report, settings["output"])
    return SOME_CASES_FAILED if report.failures else 0


def _segment_images(inputs: tuple[Path, ...], bundle: str, settings: dict[str, Any]) -> SegmentationReport:
    from monai_semigan.workflows.segmenting import segment

    with progress_bar("segment", unit=" images") as progress:
        return segment(
            inputs,
            bundle=bundle,
            **{name: settings[name] for name in (*COMMON_SETTINGS, "batch_size")},
            dicom=_dicom_options(settings),
            progress=progress,
        )


def _segment_volumes(inputs: tuple[Path, ...], bundle: str, settings: dict[str, Any]) -> SegmentationReport:
    from monai_semigan.io.dicom_repair import RepairOptions
    from monai_semigan.io.series_rules import SeriesRules
    from monai_semigan.workflows.segmenting_volumes import VolumeOptions, segment_volumes

    chosen = VolumeOptions(
        modality=settings["modality"],
        rules=SeriesRules(**{name: settings[name] for name in ("description", "min_slices", "plane")}),
        repairs=RepairOptions(fill_missing=settings["fill_missing"], tilt=settings["tilt"]),
        with_probability=settings["probability"],
        dicom=_dicom_options(settings),
        max_memory_gib=settings["max_memory"],
        batch_size=settings["batch_size"],
    )
    with progress_bar("segment", unit=" slices") as progress:
        return segment_volumes(
            inputs,
            bundle=bundle,
            **{name: settings[name] for name in COMMON_SETTINGS},
            options=chosen,
            progress=progress,
            say=lambda line: click.echo(line, err=True),
        )


def _dicom_options(settings: dict[str, Any]) -> Any:
    from monai_semigan.workflows.dicom_results import DicomOptions

    return DicomOptions(
        seg=settings["dicom_seg"],
        kind=settings["seg_type"],
        terminology=settings["terminology"],
        empty=settings["empty_seg"],
        preview=settings["preview"],
    )


def _print(report: SegmentationReport, output: Path) -> None:
    rows = []
    for case in report.cases:
        numbers = case.numbers
        amounts = numbers.get("class_volumes_ml") or numbers["class_shares"]
        rows.append((case.name, *amounts.values(), numbers["image_error"], "; ".join(numbers["warnings"])))
    if rows:
        numbers = report.cases[0].numbers
        unit = " mL" if "class_volumes_ml" in numbers else ""
        names = [f"{name}{unit}" for name in numbers["class_shares"]]
        click.echo(text_table(("case", *names, "image error", "warnings"), rows))
    for failure in report.failures:
        click.echo(f"failed: {failure.source}: {failure.reason}", err=True)
    counts = f"{len(report.cases)} segmented ({len(report.skipped)} of them before), {len(report.failures)} failed"
    click.echo(f"{counts}; report: {output / 'report.html'}")
