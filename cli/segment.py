# SPDX-License-Identifier: Apache-2.0
"""``semigan segment``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import progress_bar, text_table

__all__ = ["command"]

SOME_CASES_FAILED = 3


@click.command(name="segment")
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.bundle
@options.output_folder
@click.option(
    "--steps", type=click.IntRange(0, 10_000), help="Inversion steps; 0: encoder alone. [default: the bundle's]"
)
@click.option(
    "--batch-size", type=click.IntRange(1, 1024), default=8, show_default=True, help="Images refined at once."
)
@click.option("--overwrite", is_flag=True, help="Segment finished cases again.")
@options.device
@options.seed
@options.as_json
def command(
    inputs: tuple[Path, ...],
    bundle: str,
    output: Path,
    steps: int | None,
    batch_size: int,
    overwrite: bool,
    device: str,
    seed: int,
    as_json: bool,
) -> int:
    """Segment images (PNG, JPEG, TIFF, single-frame DICOM) or folders of them.

    Every case gets a folder with label.png (class ids, the input's own size), overlay.png, reconstruction.png and
    case.json; report.html and report.json cover all of them. Finished cases are skipped when the command is repeated.

    \b
    Examples:
      semigan segment xray.dcm -b lung_cxr_segmentation -o out
      semigan segment folder/ more.png -b lung_cxr_segmentation -o out --steps 0
      semigan segment folder/ -b ./my_bundle -o out --device cuda --json

    Exit code 3: some inputs could not be segmented; the report says why.
    """
    from monai_semigan.workflows.segmenting import segment

    with progress_bar("segment", unit=" images") as progress:
        report = segment(
            inputs,
            bundle=bundle,
            output=output,
            steps=steps,
            device=device,
            seed=seed,
            overwrite=overwrite,
            batch_size=batch_size,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps(report.to_json()))
    else:
        rows = [
            (
                case.name,
                *case.numbers["class_shares"].values(),
                case.numbers["image_error"],
                "; ".join(case.numbers["warnings"]),
            )
            for case in report.cases
        ]
        if rows:
            names = list(report.cases[0].numbers["class_shares"])
            click.echo(text_table(("case", *names, "image error", "warnings"), rows))
        for failure in report.failures:
            click.echo(f"failed: {failure.source}: {failure.reason}", err=True)
        counts = f"{len(report.cases)} segmented ({len(report.skipped)} of them before), {len(report.failures)} failed"
        click.echo(f"{counts}; report: {output / 'report.html'}")
    return SOME_CASES_FAILED if report.failures else 0
