# SPDX-License-Identifier: Apache-2.0
"""``semigan interpolate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import progress_bar, show_notes

__all__ = ["command"]


@click.command(name="interpolate", cls=options.TopicCommand)
@click.argument("start")
@click.argument("end")
@options.bundle
@options.output_folder
@click.option("--frames", "num_frames", type=click.IntRange(2, 64), default=16, show_default=True)
@click.option(
    "--steps", type=click.IntRange(0, 10_000), help="Steps of the inversion of files. [default: the bundle's]"
)
@click.option(
    "--truncation",
    "truncation_psi",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="Of seeds. 1: all that was learned, 0: the mean.",
)
@click.option(
    "--max-jump",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    help="Share of the pixels that may change their class in one of 64 steps; above, the path is said to jump.",
)
@options.modality
@options.animation
@options.device
@options.as_json
def command(start: str, end: str, bundle: str, output: Path, as_json: bool, **settings: Any) -> None:
    """Draw the path from one image to another in the generator's latent space, with the label of every frame.

    START and END are an image file, a slice of a volume as FILE:SLICE (counted from 1), or a generated image as seed:N.
    Writes grid.png, the animation, images/ and labels/ with a PNG per frame, and interpolation.json, which says how the
    label changes: by jumps, or smoothly.

    \b
    Examples:
      semigan interpolate adult.png child.png -b lung_cxr_segmentation -o path
      semigan interpolate ct.nii.gz:40 mr.nii.gz:18 -b liver_ct_segmentation -o path --frames 32
      semigan interpolate seed:3 seed:7 -b lesion_dermoscopy_segmentation -o path --animation gif
    """
    from monai_semigan.workflows.interpolating import InterpolationOptions, interpolate

    chosen = InterpolationOptions(**settings)
    with progress_bar("draw", unit=" steps") as progress:
        result = interpolate(start, end, output, bundle=bundle, options=chosen, progress=progress)
    if not result.is_smooth:
        show_notes(
            [f"the label jumps: {result.largest_change:.1%} of the pixels change their class in one step."],
            label="warning: ",
        )
    if as_json:
        click.echo(json.dumps(result.to_json()))
        return
    click.echo(
        f"label: {result.direct_change:.1%} of the pixels differ between the ends, {result.total_variation:.1%} change "
        f"on the way, at most {result.largest_change:.1%} in one of {result.fine_steps} steps"
    )
    click.echo(f"path: {output / 'grid.png'}")
