# SPDX-License-Identifier: Apache-2.0
"""``semigan module``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import progress_bar
from monai_semigan.cli.segment_options import chosen_options, segmenting

if TYPE_CHECKING:
    from monai_semigan.pacs.module import Contract, ModuleResult

__all__ = ["command"]

SOME_CASES_FAILED = 3

VARIABLES: tuple[tuple[Contract, str, str], ...] = (
    ("mercure", "MERCURE_IN_DIR", "MERCURE_OUT_DIR"),
    ("folder", "HOLOSCAN_INPUT_PATH", "HOLOSCAN_OUTPUT_PATH"),
    ("folder", "MONAI_INPUTPATH", "MONAI_OUTPUTPATH"),
)
"""Contracts and where each says its folders, in the order in which they are asked: mercure sets all of them."""

folder = click.Path(path_type=Path, file_okay=False)


@click.command(name="module", cls=options.TopicCommand)
@click.option("--input", "source", type=folder, help="Folder with the files. [default: as the platform says]")
@click.option("--output", type=folder, help="An empty folder for the results. [default: as the platform says]")
@click.option(
    "-b",
    "--bundle",
    default="",
    envvar="SEMIGAN_BUNDLE",
    show_envvar=True,
    help="Name of a shipped bundle, or a folder, where the task does not name one.",
)
@segmenting
def command(source: Path | None, output: Path | None, bundle: str, **settings: Any) -> int:
    """Do one task as a container: studies in a folder in, results in a folder out, result.json with how it ended.

    Without --input and --output the folders are those of the platform: MERCURE_IN_DIR and MERCURE_OUT_DIR,
    HOLOSCAN_INPUT_PATH and HOLOSCAN_OUTPUT_PATH, or MONAI_INPUTPATH and MONAI_OUTPUTPATH, the first that are set. For
    mercure the settings of task.json go before the options, and the results are DICOM alone.

    \b
    Examples:
      semigan module --input /input --output /output -b liver_ct_segmentation
      semigan module -b lung_cxr_segmentation            # in a container that mercure started

    Exit code 0 also where nothing was of the wanted kind; 3: some inputs could not be segmented, result.json says why.
    """
    from monai_semigan.pacs.module import run_module
    from monai_semigan.pacs.module_settings import ModuleRequest

    contract, source, output = _folders(source, output)
    request = ModuleRequest(bundle=bundle, options=chosen_options(settings))
    with progress_bar("segment", unit="") as progress:
        result = run_module(source, output, request=request, contract=contract, progress=progress)
    click.echo(_summary(result))
    return SOME_CASES_FAILED if result.has_failures else 0


def _folders(source: Path | None, output: Path | None) -> tuple[Contract, Path, Path]:
    """Return contract, input and output: as named, else as the platform says."""
    if source is not None and output is not None:
        return "folder", source, output
    if source is not None or output is not None:
        raise click.UsageError("Pass --input and --output together.")
    for contract, of_input, of_output in VARIABLES:
        found = [os.environ.get(name) for name in (of_input, of_output)]
        if all(found):
            return contract, Path(found[0] or ""), Path(found[1] or "")
        if any(found):
            raise click.UsageError(f"{of_input} and {of_output} must both be set: one is missing.")
    names = "; ".join(f"{first}, {second}" for _, first, second in VARIABLES)
    raise click.UsageError(f"Pass --input and --output, or set the variables of the platform: {names}.")


def _summary(result: ModuleResult) -> str:
    """Say how it ended without a name: what a container prints is kept by others."""
    left = sum(result.left.values())
    counts = f"{len(result.cases)} segmented, {len(result.failures)} failed, {left} files left"
    return f"{result.status}: {counts}; the rest is in result.json"
