# SPDX-License-Identifier: Apache-2.0
"""``semigan synthesize``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import progress_bar

__all__ = ["command"]


@click.command(name="synthesize", cls=options.TopicCommand)
@options.bundle
@options.output_folder
@click.option("-n", "--num", "num_items", type=click.IntRange(1, 1_000_000), default=32, show_default=True)
@click.option(
    "--truncation",
    "truncation_psi",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="1: all that was learned, 0: the mean.",
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["png", "nifti", "dicom"]),
    help="Write this as well; PNG is always written. Can be repeated.",
)
@click.option(
    "--only", type=click.IntRange(0), multiple=True, help="Make this item alone, again if it is there. Can be repeated."
)
@options.seed
@options.device
@options.as_json
def command(bundle: str, output: Path, as_json: bool, **settings: Any) -> None:
    """Generate images with their labels, for training and for teaching; none of them shows a patient.

    Writes images/, labels/, a data list for `semigan fit` and `semigan train` (data.json), a sheet of the first ones
    (sheet.png), and for every item its seed and digests (items.jsonl; manifest.json has what all have in common). Item
    i has the seed SEED + i and the same bits in every set, on every CPU of one kind with the same versions. A call that
    was interrupted is continued by repeating it.

    \b
    Examples:
      semigan synthesize -b lung_cxr_segmentation -o synthetic -n 1000 --format nifti --format dicom
      semigan synthesize -b lung_cxr_segmentation -o synthetic -n 1000 --format nifti --format dicom --only 17
    """
    from monai_semigan.workflows.synthesizing import SynthesisOptions, synthesize

    chosen = SynthesisOptions(**settings)
    with progress_bar("draw", unit=" images") as progress:
        result = synthesize(output, bundle=bundle, options=chosen, progress=progress)
    if as_json:
        click.echo(json.dumps(result.to_json()))
        return
    there = f"{result.num_there} of {result.manifest.num_items} there"
    click.echo(f"{len(result.drawn)} generated, {there}: {result.folder}")
    if result.is_complete:
        click.echo(f"data list: {result.folder / 'data.json'}")
