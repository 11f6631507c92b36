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

IMAGES_AT_ONCE = 8


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
    "--batch-size",
    type=click.IntRange(1, 1024),
    help="Images or slices at once.  [default: 8 images; slices: the bundle's]",
)
@click.option("--overwrite", is_flag=True, help="Segment finished cases again, also those with the same settings.")
@click.option(
    "--identify",
    is_flag=True,
    help="DICOM: put patient's id and name, study date, accession number and series description into the report, and "
    "name cases after the id. Without, nothing of the patient is in logs, names and reports.",
)
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
    report.html and report.json cover all of them. When the command is repeated, finished cases are skipped if their
    source, the bundle, the settings and the wanted outputs are the same. The output folder may lie inside an input.

    \b
    Examples:
      semigan segment xray.dcm -b lung_cxr_segmentation -o out
      semigan segment folder/ more.png -b lung_cxr_segmentation -o out --steps 0
      semigan segment study.zip volume.nii.gz -b liver_ct_segmentation -o out --plane axial --min-slices 20
      semigan segment mr.nii.gz -b liver_ct_segmentation -o out --modality MR

    Exit code 3: some inputs could not be segmented; the report says why.
    """
    from monai_semigan.bundle.bundle import open_bundle

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
            **{name: settings[name] for name in (*COMMON_SETTINGS, "identify")},
            batch_size=settings["batch_size"] or IMAGES_AT_ONCE,
            dicom=_dicom_options(settings),
            progress=progress,
            say=_say,
        )


def _segment_volumes(inputs: tuple[Path, ...], bundle: str, settings: dict[str, Any]) -> SegmentationReport:
    from monai_semigan.io.dicom.repair import RepairOptions
    from monai_semigan.io.dicom.rules import SeriesRules
    from monai_semigan.workflows.segmenting_volumes import VolumeOptions, segment_volumes

    chosen = VolumeOptions(
        modality=settings["modality"],
        rules=SeriesRules(**{name: settings[name] for name in ("description", "min_slices", "plane")}),
        repairs=RepairOptions(fill_missing=settings["fill_missing"], tilt=settings["tilt"]),
        with_probability=settings["probability"],
        dicom=_dicom_options(settings),
        max_memory_gib=settings["max_memory"],
        batch_size=settings["batch_size"],
        identify=settings["identify"],
    )
    with progress_bar("segment", unit=" slices") as progress:
        return segment_volumes(
            inputs,
            bundle=bundle,
            **{name: settings[name] for name in COMMON_SETTINGS},
            options=chosen,
            progress=progress,
            say=_say,
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


def _say(line: str) -> None:
    click.echo(line, err=True)


def _print(report: SegmentationReport, output: Path) -> None:
    for key, unit in (("class_volumes_ml", " mL"), ("class_shares", " share")):  # volumes, then images
        cases = [case for case in report.cases if ("class_volumes_ml" in case.numbers) == (key == "class_volumes_ml")]
        if cases:
            names = list(dict.fromkeys(name for case in cases for name in case.numbers[key]))
            head = ("case", *(f"{name}{unit}" for name in names), "expected Dice", "image error", "warnings")
            click.echo(text_table(head, [_row(case.name, case.numbers, key, names) for case in cases]))
    for failure in report.failures:
        click.echo(f"failed: {failure.source}: {failure.reason}", err=True)
    again = f", {len(report.redone)} again" if report.redone else ""
    counts = f"{len(report.cases)} segmented ({len(report.skipped)} of them before{again})"
    click.echo(f"{counts}, {len(report.failures)} failed; report: {output / 'report.html'}")


def _row(name: str, numbers: dict[str, Any], key: str, names: list[str]) -> list[object]:
    amounts = [numbers[key].get(class_name) for class_name in names]
    expected = [value for value in numbers.get("expected_dice", {}).values() if value is not None]
    return [name, *amounts, min(expected, default=None), numbers["image_error"], " ".join(numbers["warnings"])]
