# SPDX-License-Identifier: Apache-2.0
"""``semigan tune``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import progress_bar, text_table

__all__ = ["command"]


@click.command(name="tune")
@click.argument("bundle")
@click.argument("datalist", type=click.Path(path_type=Path))
@click.option(
    "--steps", type=click.IntRange(0, 10_000), multiple=True, help="A number of steps to try. [default: 0 to 50]"
)
@click.option("--write", is_flag=True, help="Store both in the bundle.")
@click.option("--batch-size", type=click.IntRange(1, 1024), default=8, show_default=True, help="Images at once.")
@options.device
@options.as_json
def command(
    bundle: str,
    datalist: Path,
    steps: tuple[int, ...],
    write: bool,
    batch_size: int,
    device: str,
    as_json: bool,
) -> None:
    """Find how many inversion steps BUNDLE needs on the validation images of DATALIST.

    That is the fewest whose mean Dice is within 0.001 of the best. Also the expected Dice that all but 5 % of these
    images have: a label below it is called uncertain. Bundles for single images.

    \b
    Examples:
      semigan tune my_bundle data.json
      semigan tune my_bundle data.json --steps 10 --steps 20 --write
    """
    from monai_semigan.workflows.tuning import STEP_COUNTS, tune

    with progress_bar("tune", unit=" images") as progress:
        result = tune(
            bundle,
            datalist,
            steps=steps or STEP_COUNTS,
            write=write,
            device=device,
            batch_size=batch_size,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps(result.to_json()))
        return
    rows = [(row.steps, f"{row.dice:.4f}", f"{row.min_expected_dice:.3f}", row.seconds) for row in result.rows]
    click.echo(text_table(("steps", "Dice", "5 % expected below", "s per image"), rows))
    stored = "stored" if write else f"the bundle says {result.stored_steps}"
    click.echo(f"{result.num_images} images: {result.steps} steps are enough ({stored})")
    click.echo(f"uncertain below an expected Dice of {result.min_expected_dice:.3f}")
