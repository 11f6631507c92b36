# SPDX-License-Identifier: Apache-2.0
"""``semigan fit``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import show_notes, stage_bars, text_table

__all__ = ["command"]


@click.command(name="fit")
@click.argument("datalist", metavar="DATA", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="New bundle.")
@click.option("--base", help="Bundle to start from: a shipped one's name or a folder. Its generator is kept.")
@click.option("--domain", help="Kind of images, where there is no --base: chest_xray, dermoscopy, face.")
@click.option("--budget", default="1h", show_default=True, help="Time for everything, such as 45m or 2h.")
@click.option("--name", help="Of the bundle. [default: the folder's]")
@options.training_seed
@options.device
@options.as_json
def command(datalist: Path, output: Path, as_json: bool, **settings: object) -> None:
    """Train a bundle of your own on a data list: teacher, generator, encoder, limits, scores, card.

    The data are checked first; then the speed of this machine is measured, and the budget shared out. What is trained
    lies in OUTPUT-run, with a page of curves and samples. If the command is ended, the same command goes on.

    \b
    Examples:
      semigan data xrays --masks masks -o data.json
      semigan fit data.json -o my_lungs --base lung_cxr_segmentation --budget 1h
      semigan segment new_xrays -b my_lungs -o out
    """
    from monai_semigan.workflows.fitting import FitOptions, fit

    with stage_bars() as progress:
        result = fit(
            output,
            datalist=datalist,
            options=FitOptions(**settings),  # type: ignore[arg-type]  # click checked them
            progress=progress,
            say=lambda line: show_notes([line]),
        )
    if as_json:
        click.echo(json.dumps(result.to_json()))
        return
    rows = [
        ["this bundle", str(result.dice)],
        ["plain U-Net, the same labels", str(result.unet_dice)],
        ["teacher, a U-Net under strong disturbances", str(result.teacher_dice)],
        ["bundle less plain U-Net", str(result.gain)],
    ]
    click.echo(text_table(("on validation", "Dice"), rows))
    click.echo(f"{result.bundle}; curves and samples: {result.run / 'report.html'}")
