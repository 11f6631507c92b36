# SPDX-License-Identifier: Apache-2.0
"""``semigan explain``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import text_table

__all__ = ["command"]


@click.command(name="explain", cls=options.TopicCommand)
@click.argument("image")
@options.bundle
@options.output_folder
@click.option(
    "--steps",
    type=click.IntRange(0, 10_000),
    help="Steps of the inversion. [default: the bundle's, or 50 where that is 0]",
)
@click.option(
    "--at", type=click.IntRange(0, 10_000), multiple=True, help="Show this step. Repeatable. [default: five of them]"
)
@options.modality
@options.animation
@options.device
@options.as_json
def command(image: str, bundle: str, output: Path, as_json: bool, **settings: Any) -> None:
    """Show how the label of an image is found: the test-time optimization, step by step.

    IMAGE is an image file, or a slice of a volume as FILE:SLICE (counted from 1). Step 0 is the encoder's answer.
    Writes explanation.html (one page, offline), the animation, steps/ and explanation.json.

    \b
    Examples:
      semigan explain xray.png -b lung_cxr_segmentation -o why
      semigan explain mr.nii.gz:18 -b liver_ct_segmentation -o why --steps 40 --at 0 --at 5 --at 40
    """
    from monai_semigan.workflows.explaining import ExplanationOptions, explain

    result = explain(image, output, bundle=bundle, options=ExplanationOptions(**settings))
    if as_json:
        click.echo(json.dumps(result.to_json()))
        return
    rows = [
        tuple(numbers[name] for name in ("step", "loss", "image_error", "label_change")) for numbers in result.shown
    ]
    click.echo(text_table(("step", "loss", "image error", "label change"), rows))
    click.echo(f"page: {output / 'explanation.html'}")
