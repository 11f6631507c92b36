# SPDX-License-Identifier: Apache-2.0
"""``semigan audit-memory``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import stage_bars, text_table

__all__ = ["command"]

COPIES_FOUND = 3


@click.command(name="audit-memory", cls=options.TopicCommand)
@options.bundle
@click.option("--data", "datalist", required=True, type=click.Path(path_type=Path), help="What it was trained on.")
@options.output_folder
@click.option("-n", "--num", "num_samples", type=click.IntRange(10, 100_000), default=500, show_default=True)
@click.option(
    "--truncation",
    "truncation_psi",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="1: all that was learned, 0: the mean.",
)
@options.option("Volumes", "--modality", metavar="NAME", help="Of the list's pictures. [default: the bundle's first]")
@options.seed
@options.device
@options.as_json
def command(bundle: str, datalist: Path, output: Path, as_json: bool, **settings: Any) -> int:
    """Look for training images that a generator repeats.

    Compares generated images with their nearest training images, in pixels and in the image discriminator's features,
    against how near unseen real images (the list's validation images) come to the training images. Writes memory.json,
    and pairs.png with the closest pairs, which is as private as the training images.

    \b
    Example:
      semigan audit-memory -b my_lungs --data data.json -o memory -n 1000

    Exit code 3: some generated images count as copies.
    """
    from monai_semigan.workflows.memory_auditing import MemoryAuditOptions, audit_memory

    with stage_bars() as progress:
        result = audit_memory(
            output, bundle=bundle, datalist=datalist, options=MemoryAuditOptions(**settings), progress=progress
        )
    if as_json:
        click.echo(json.dumps(result.to_json()))
    else:
        head = ("space", "generated", "unseen", "redrawn", "p", "p redrawn", "nearest", "copy below")
        rows = [
            (
                name,
                part.median,
                part.median_unseen,
                part.median_redrawn,
                part.p_value,
                part.p_value_redrawn,
                part.smallest_distance,
                part.copy_distance,
            )
            for name, part in result.spaces.items()
        ]
        click.echo(text_table(head, rows))
        click.echo(
            f"{len(result.copies)} of {result.num_samples} generated images count as copies of {result.num_training} "
            f"training images; pairs: {output / 'pairs.png'}"
        )
    return COPIES_FOUND if result.copies else 0
