# SPDX-License-Identifier: Apache-2.0
"""``semigan adapt``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import show_notes, stage_bars, text_table

__all__ = ["command"]


@click.command(name="adapt")
@click.argument("bundle")
@click.argument("datalist", metavar="DATA", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="New bundle.")
@click.option(
    "--max-steps", type=click.IntRange(1, 100_000), default=120, show_default=True, help="Most steps; fewer if better."
)
@click.option(
    "--folds", type=click.IntRange(2, 100), default=3, show_default=True, help="Parts of the cross-validation."
)
@click.option("--accept-unlike", is_flag=True, help="Adapt also to images that the bundle does not know.")
@click.option("--name", help="Of the new bundle. [default: the folder's]")
@click.option("--version", help="Of the new bundle. [default: 0.1.0]")
@click.option("--overwrite", is_flag=True, help="Replace a bundle that lies there.")
@options.training_seed
@options.device
@options.as_json
def command(bundle: str, datalist: Path, output: Path, as_json: bool, **settings: object) -> None:
    """Adapt BUNDLE to the labelled images of a data list: another hospital, scanner or convention of labelling.

    1 to 50 labelled images, minutes on a laptop; unlabelled ones in the list say what images of the place look like.
    Cross-validation over the labelled images says how good the bundle was on them, how good it becomes on images that
    it did not learn, and how many steps that takes; if it does not become better, nothing is written. BUNDLE is a
    shipped bundle's name or a folder.

    \b
    Examples:
      semigan adapt lung_cxr_segmentation data.json -o my_hospital
      semigan segment xrays -b my_hospital -o out
    """
    from monai_semigan.workflows.adapting import AdaptOptions, adapt

    with stage_bars(unit=" steps") as progress:
        result = adapt(
            output,
            bundle=bundle,
            datalist=datalist,
            options=AdaptOptions(**settings),  # type: ignore[arg-type]  # click checked them
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps(result.to_json()))
        return
    if result.rows:
        rows = [[row.steps or "before", str(row.dice)] for row in result.rows]
        click.echo(text_table(("steps", "Dice on images not learned"), rows))
    others = f", {result.num_unlabelled} without labels" if result.num_unlabelled else ""
    if result.gain is not None:
        click.echo(f"gain {result.gain} with {result.steps} steps, {result.num_images} images{others}")
    if result.old_before is not None:
        ships = f"on the samples that {result.adapted_from.name} ships"
        click.echo(f"{ships}: {result.old_before:.3f} before, {result.old_after:.3f} now")
    click.echo(f"{result.bundle} ({result.seconds:.0f} s); its card: {result.bundle / 'docs' / 'README.md'}")
    show_notes(result.warnings, label="warning: ")
