# SPDX-License-Identifier: Apache-2.0
"""``semigan compare``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import show_notes, stage_bars, text_table

__all__ = ["command"]

MAX_SETTINGS_BYTES = 2**20


@click.command(name="compare", cls=options.ListCommand)
@click.argument("datalist", metavar="DATA", type=click.Path(path_type=Path))
@options.many(
    "--methods",
    help="Among unet, deeplabv3plus, mean-teacher, adv-ssl, gct, ours, ours-no (without test-time optimization). "
    "[default: all]",
)
@options.many("--labels", type=click.IntRange(1), required=True, help="Numbers of labels, such as 9 35 175.")
@click.option(
    "--seeds",
    type=click.IntRange(1, 1000),
    default=3,
    show_default=True,
    help="Trainings of each, with seeds 0, 1, ...",
)
@click.option(
    "--budget",
    default="10m",
    show_default=True,
    help="Of each training: time of computing, such as 120s or 10m, or steps, such as 500steps.",
)
@click.option("--base", help="Bundle that ours starts from, a shipped one's name or a folder; all use its preparation.")
@click.option(
    "--base-labels", type=click.IntRange(1), help="Labels that the base was trained with; rows with fewer are marked."
)
@click.option("--domain", help="Kind of images, where there is no --base: chest_xray, dermoscopy, face.")
@options.many("--test", help="Test sets of DATA to score too; each time is counted.")
@click.option("--settings", "settings_file", type=click.Path(path_type=Path), help="JSON of the baselines' settings.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder.")
@options.device
@options.as_json
def command(
    datalist: Path,
    output: Path,
    methods: tuple[str, ...],
    test: tuple[str, ...],
    settings_file: Path | None,
    as_json: bool,
    **asked: object,
) -> None:
    """Compare methods on a data list by how many labels they need: a table, a figure and a page.

    All learn from the same images, prepared and augmented alike, for the same budget, and keep the checkpoint with the
    best Dice on validation. DATA comes first. If the command is ended, the same command goes on.

    \b
    Examples:
      semigan compare data.json --labels 9 35 175 --base lung_cxr_segmentation -o comparison
      semigan compare data.json --methods unet mean-teacher --labels 5 20 --domain dermoscopy --budget 5m -o comparison
    """
    from monai_semigan.baselines.methods import BaselineSettings
    from monai_semigan.errors import ConfigError
    from monai_semigan.files import read_json
    from monai_semigan.settings import read_settings, to_json
    from monai_semigan.workflows.compare_runs import METHODS
    from monai_semigan.workflows.comparing import CompareOptions, compare

    settings = BaselineSettings()
    if settings_file is not None:
        content = read_json(settings_file, MAX_SETTINGS_BYTES, error=ConfigError)
        settings = read_settings(BaselineSettings, content, settings_file.name)
    with stage_bars() as progress:
        record = compare(
            output,
            datalist=datalist,
            options=CompareOptions(methods=methods or METHODS, tests=test, settings=settings, **asked),  # type: ignore[arg-type]  # click checked them
            progress=progress,
            say=lambda line: show_notes([line]),
        )
    if as_json:
        click.echo(json.dumps(to_json(record)))
        return
    for name in record.num_patients:
        rows = [
            (
                f"{item.method}{'*' if item.is_marked else ''}",
                item.labels,
                item.dice,
                "-" if item.low is None else f"{item.low:.3f} to {item.high:.3f}",
                "-" if item.less_unet is None else f"{item.less_unet:+.3f}",
                round(item.steps),
                round(item.seconds),
            )
            for item in record.summaries
            if item.set_name == name
        ]
        click.echo(text_table((name, "labels", "Dice", "95 % interval", "less U-Net", "steps", "s"), rows))
    for name, times in record.test_scorings.items():
        click.echo(f"{name} scored {times} {'time' if times == 1 else 'times'}")
    if any(item.is_marked for item in record.summaries):
        click.echo("* not fair: the base may have learned from more labels")
    click.echo(f"{record.budget} for each training; page: {output / 'compare.html'}")
