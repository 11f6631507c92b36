# SPDX-License-Identifier: Apache-2.0
"""``semigan tune``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import progress_bar, show_notes, text_table

__all__ = ["command"]

SHOWN = (0.8, 0.9, 0.95)
"""Expected Dice whose correction is shown."""


@click.command(name="tune")
@options.bundle
@click.option("--data", "datalist", required=True, type=click.Path(path_type=Path), help="JSON data list.")
@click.option(
    "--steps", type=click.IntRange(0, 10_000), multiple=True, help="A number of steps to try. [default: 0 to 50]"
)
@click.option("--write", is_flag=True, help="Store what was found in the bundle.")
@click.option("--keep-steps", is_flag=True, help="Learn the direct route's weight and what trust needs; steps stay.")
@click.option(
    "--batch-size", type=click.IntRange(1, 1024), default=8, show_default=True, help="Images or slices at once."
)
@options.device
@options.as_json
def command(
    bundle: str,
    datalist: Path,
    steps: tuple[int, ...],
    write: bool,
    keep_steps: bool,
    batch_size: int,
    device: str,
    as_json: bool,
) -> None:
    """Find how many inversion steps BUNDLE needs on the validation cases of a data list, and its limits.

    Steps: the fewest whose mean Dice is within 0.001 of the best. Limits: the expected Dice that all but 5 % of the
    cases have, below which a label is called uncertain; and the error of reconstruction, a quarter above the largest,
    beyond which an image is called unlike them. Bundles for volumes take the list's `volumes.validation`.

    The bundle also learns, from validation images as they are and disturbed, what a direct route is to count for, if it
    has one, and what its expected Dice is worth; and with --write which images it knows, for the out-of-distribution
    score. With --keep-steps it learns only these three, from images or slices.

    \b
    Examples:
      semigan tune -b my_bundle --data data.json
      semigan tune -b my_bundle --data data.json --steps 10 --steps 20 --write
      semigan tune -b my_bundle --data data.json --keep-steps --write
    """
    if keep_steps:
        _learn(bundle, datalist, write=write, device=device, as_json=as_json)
        return
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
    names = list(result.limits)
    heads = [f"5 % expected below{_of(name)}" for name in names] + [f"error up to{_of(name)}" for name in names]
    rows = [
        [
            row.steps,
            f"{row.dice:.4f}",
            *(row.limits[name].min_expected_dice for name in names),
            *(row.limits[name].max_image_error for name in names),
            row.seconds,
        ]
        for row in result.rows
    ]
    click.echo(text_table(("steps", "Dice", *heads, "s per case"), rows))
    before = ", ".join(f"{steps}{_of(name)}" for name, steps in result.stored_steps.items())
    stored = "stored, with the limits" if write else f"the bundle says {before}"
    _show_share(result.direct_share, write=write)
    click.echo(f"{result.num_cases} cases: {result.steps} steps are enough ({stored})")
    show_notes(result.warnings, label="warning: ")


def _learn(bundle: str, datalist: Path, *, write: bool, device: str, as_json: bool) -> None:
    from monai_semigan.workflows.trust_learning import learn_trust

    with progress_bar("learn", unit=" images") as progress:
        found = learn_trust(bundle, datalist, write=write, device=device, progress=progress)
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    _show_share(found.direct_share, write=write)
    stored = "stored" if write else "not stored: pass --write"
    click.echo(f"{found.num_known} known and {found.num_validation} validation images learned ({stored})")
    for name, calibration in found.calibrations.items():
        told = ", ".join(f"{value:.2f} becomes {calibration(value):.3f}" for value in SHOWN)
        click.echo(f"expected Dice{_of(name)}: {told}")


def _show_share(share: float | None, *, write: bool) -> None:
    if share is not None:
        click.echo(f"weight of the direct route: {share:g} ({'stored' if write else 'not stored: pass --write'})")


def _of(name: str) -> str:
    return "" if name == "image" else f" ({name})"
