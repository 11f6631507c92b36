# SPDX-License-Identifier: Apache-2.0
"""``semigan series``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import progress_bar, text_table

if TYPE_CHECKING:
    from monai_semigan.io.dicom.rules import SeriesInfo

__all__ = ["command"]


@click.command(name="series", cls=options.TopicCommand)
@click.argument("path", type=click.Path(path_type=Path))
@options.series_modality
@options.series_rules
@options.repairs
@click.option("--identify", is_flag=True, help="Show series UIDs and descriptions too, which may identify a patient.")
@options.as_json
def command(
    path: Path,
    modality: tuple[str, ...],
    description: str | None,
    min_slices: int,
    plane: str | None,
    fill_missing: bool,
    tilt: str,
    identify: bool,
    as_json: bool,
) -> None:
    """List the DICOM series in a folder or zip, and why each would be segmented or left. Only headers are read.

    \b
    Examples:
      semigan series study/
      semigan series study.zip --modality CT --plane axial --min-slices 20
      semigan series study/ --description "portal|venous" --json
    """
    from monai_semigan.io.dicom.repair import RepairOptions
    from monai_semigan.io.dicom.rules import SeriesRules
    from monai_semigan.workflows.series_listing import list_series

    rules = SeriesRules(modalities=modality, description=description, min_slices=min_slices, plane=plane)
    with progress_bar("read headers", unit=" files") as progress:
        found = list_series(path, rules, repairs=RepairOptions(fill_missing=fill_missing, tilt=tilt), progress=progress)
    if as_json:
        click.echo(json.dumps({"series": [_facts(info, identify) for info in found]}))
        return
    head = ["series", "number", "modality", "plane", "slices", "size", "spacing mm", "taken", "why"]
    rows = [[*_row(info), *([info.description, info.series_uid] if identify else [])] for info in found]
    click.echo(text_table([*head, *(["description", "uid"] if identify else [])], rows))
    readable = sum(info.is_taken and info.fault is None for info in found)
    click.echo(f"{len(found)} series, {sum(info.is_taken for info in found)} taken, {readable} of them readable")


def _row(info: SeriesInfo) -> list[object]:
    part = "" if info.part[1] == 1 else f" {info.part[0]}/{info.part[1]}"
    return [
        info.short_hash + part,
        "-" if info.series_number is None else str(info.series_number),
        info.modality,
        info.plane,
        str(info.num_slices),
        " x ".join(map(str, info.shape)),
        None if info.spacing_mm is None else " x ".join(f"{value:.4g}" for value in info.spacing_mm),
        "left" if not info.is_taken else "taken" if info.fault is None else "refused",
        info.fault or info.reason,
    ]


def _facts(info: SeriesInfo, identify: bool) -> dict[str, Any]:
    facts = dataclasses.asdict(info) | {"short_hash": info.short_hash}
    if not identify:
        del facts["series_uid"], facts["description"], facts["body_part"]
    return facts
