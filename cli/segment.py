# SPDX-License-Identifier: Apache-2.0
"""``semigan segment``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import progress_bar, text_table
from monai_semigan.cli.segment_options import chosen_options, segmenting

if TYPE_CHECKING:
    from monai_semigan.report.segmentation_report import SegmentationReport
    from monai_semigan.segmentation.record import CaseRecord

__all__ = ["command"]

SOME_CASES_FAILED = 3
SOME_ARE_UNLIKE = 4


@click.command(name="segment", cls=options.TopicCommand)
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.bundle
@options.output_folder
@segmenting
@options.option(
    "Output", "--overwrite", is_flag=True, help="Segment finished cases again, also those with the same settings."
)
@options.option(
    "DICOM",
    "--identify",
    is_flag=True,
    help="Put patient's id and name, study date, accession number and series description into the report, and "
    "name cases after the id. Without, nothing of the patient is in logs, names and reports.",
)
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

    Exit code 3: some inputs could not be segmented; the report says why. 4: with --refuse-ood, some were refused as
    they are unlike the images that the bundle was made for.
    """
    from monai_semigan.workflows.segmenting import segment_files

    with progress_bar("segment", unit="") as progress:
        report = segment_files(
            inputs,
            bundle=bundle,
            output=settings["output"],
            options=chosen_options(settings),
            progress=progress,
            say=_say,
        )
    if as_json:
        click.echo(json.dumps(report.to_json()))
    else:
        _print(report, settings["output"])
    if any(failure.is_unlike for failure in report.failures):
        return SOME_ARE_UNLIKE
    return SOME_CASES_FAILED if report.failures else 0


def _say(line: str) -> None:
    click.echo(line, err=True)


def _print(report: SegmentationReport, output: Path) -> None:
    records = [case.record for case in report.cases]
    for kind, unit in (("volume", "mL"), ("image", "share")):
        chosen = [record for record in records if record.kind == kind]
        if chosen:
            names = list(dict.fromkeys(part.name for record in chosen for part in record.classes))
            amounts = [f"{name} {unit}" for name in names]
            head = ("case", *amounts, "expected Dice", "reconstruction error", "ood", "warnings")
            click.echo(text_table(head, [_row(record, names) for record in chosen]))
    for failure in report.failures:
        click.echo(f"failed: {failure.source}: {failure.reason}", err=True)
    again = f", {len(report.redone)} again" if report.redone else ""
    counts = f"{len(records)} segmented ({len(report.skipped)} of them before{again})"
    click.echo(f"{counts}, {len(report.failures)} failed; report: {output / 'report.html'}")


def _row(record: CaseRecord, names: list[str]) -> list[object]:
    from monai_semigan.segmentation.record import volume_text

    amounts = {
        part.name: part.share if part.volume_ml is None else volume_text(part.volume_ml) for part in record.classes
    }
    error = record.reconstruction.encoder  # the one that its warning is about
    ood = None if record.ood is None else record.ood.score
    return [record.case, *map(amounts.get, names), record.lowest_expected_dice, error, ood, " ".join(record.warnings)]
