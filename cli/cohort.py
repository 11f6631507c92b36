# SPDX-License-Identifier: Apache-2.0
"""``semigan cohort run``, ``status``, ``retry`` and ``report``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monai_semigan.cli import options
from monai_semigan.cli.cohort_engine import RunCommand, chosen_engine, engines, show_plan
from monai_semigan.cli.output import clock, is_watched, text_table
from monai_semigan.cli.segment_options import chosen_options, segmenting

if TYPE_CHECKING:
    from monai_semigan.cohort.engines import Engine
    from monai_semigan.cohort.rows import State
    from monai_semigan.cohort.running import CohortOptions, CohortOutcome
    from monai_semigan.cohort.working import CaseEvent

__all__ = ["command"]

SOME_CASES_FAILED = 3

ENDED: tuple[State, ...] = ("done", "failed", "refused")

output_folder = click.argument("output", type=click.Path(path_type=Path, file_okay=False))
where = click.option(
    "--where",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Such cases alone: status, case, patient, or a column of the table. Repeatable: of several columns all must "
    "fit, of one column's values any.",
)
binary = click.option("--binary", is_flag=True, help="References of any value above 0 are class 1.")


@click.group(name="cohort")
def command() -> None:
    """Segment thousands of images or studies, each once, whatever is lost on the way.

    \b
    Examples:
      semigan cohort run images/ -b lung_cxr_segmentation -o out
      semigan cohort run cases.csv -b liver_ct_segmentation -o out --json
      semigan cohort status out
      semigan cohort retry out --where status=refused

    The output folder holds cohort.sqlite, which says of every case how far it is. The same command again goes on where
    the last one ended; several at the same time share the work.
    """


@command.command(cls=RunCommand, short_help="Segment files, folders, or a table of cases.")
@click.argument("inputs", nargs=-1, type=click.Path(path_type=Path))
@options.bundle
@options.output_folder
@engines
@click.option(
    "--layout",
    type=click.Choice(["cases", "bids"]),
    help="bids: the input is a BIDS dataset; label maps also go to derivatives/semigan. [default: cases]",
)
@click.option("--retry-failed", is_flag=True, help="Take refused and failed cases again.")
@where
@binary
@click.option("--dry-run", is_flag=True, help="Show how many cases wait, and the job script; write nothing.")
@segmenting
@options.option("Output", "--json", "as_json", is_flag=True, help="Print one JSON object per event on stdout.")
def run(inputs: tuple[Path, ...], bundle: str, output: Path, as_json: bool, dry_run: bool, **settings: Any) -> int:
    """Segment INPUTS: files, folders, patterns in quotes, or one CSV file.

    The table has the columns case and path, and if wanted patient, reference (a label map to score against) and others
    to compare groups by, such as scanner or site. Without INPUTS the cases of an earlier call go on.

    \b
    Examples:
      semigan cohort run 'study/*/t2.nii.gz' -b liver_ct_segmentation -o out
      semigan cohort run cases.csv -b lung_cxr_segmentation -o out --num-parts 4 --part-id 0
      semigan cohort run cases.csv -b lung_cxr_segmentation -o out --num-parts 100 --dry-run
      semigan cohort run cases.csv -b lung_cxr_segmentation -o out --engine dask --cluster slurm --workers 20
      semigan cohort run -b lung_cxr_segmentation -o out --where scanner=B --retry-failed

    Exit code 3: some cases are refused or failed; the report says why.
    """
    from monai_semigan.cohort.running import run_cohort

    chosen = _options(settings, chosen_engine(settings, is_dry=dry_run))
    if dry_run:
        show_plan(inputs, bundle, output, chosen, as_json=as_json)
        return 0
    with _shown(as_json=as_json) as progress:
        outcome = run_cohort(inputs, bundle=bundle, output=output, options=chosen, progress=progress)
    return _ended(outcome, output, as_json=as_json)


@command.command(short_help="Show how far it is, who works on it, and the time left.")
@output_folder
@options.as_json
def status(output: Path, as_json: bool) -> None:
    """Show how many cases of OUTPUT are done, who works on them, and the time left."""
    from monai_semigan.cohort.running import cohort_status

    found = cohort_status(output)
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(text_table(("state", "cases"), list(found["counts"].items())))
    for worker in found["workers"]:
        lost = ", lost: the next run takes its cases again" if worker["is_lost"] else ""
        since = clock(worker["seconds"])
        click.echo(f"process {worker['pid']} on {worker['host']}: {worker['cases']} cases for {since}{lost}")
    if found["seconds_left"] is not None:
        click.echo(f"about {clock(found['seconds_left'])} left")


@command.command(short_help="Let refused and failed cases wait again.")
@output_folder
@where
@options.as_json
def retry(output: Path, where: tuple[str, ...], as_json: bool) -> None:
    """Let refused and failed cases of OUTPUT wait again; `semigan cohort run` takes them."""
    from monai_semigan.cohort.running import retry_cohort

    count = retry_cohort(output, where)
    click.echo(json.dumps({"retried": count}) if as_json else f"{count} cases wait again")


@command.command(short_help="Write the report over all cases.")
@output_folder
@binary
@options.as_json
def report(output: Path, binary: bool, as_json: bool) -> int:
    """Write the report over all cases of OUTPUT, also while some are in work."""
    from monai_semigan.cohort.running import report_cohort

    return _ended(report_cohort(output, binary=binary), output, as_json=as_json)


def _options(settings: Mapping[str, Any], engine: Engine) -> CohortOptions:
    from monai_semigan.cohort.running import CohortOptions

    own = {name: settings[name] for name in ("retry_failed", "where", "binary", "layout")}
    return CohortOptions(segment=chosen_options(dict(settings)), engine=engine, **own)


@contextmanager
def _shown(*, as_json: bool) -> Iterator[Callable[[CaseEvent], None] | None]:
    """Yield what is told of each case: a line of JSON, or a line on a terminal that is written over."""
    if as_json:
        yield lambda event: click.echo(json.dumps({"event": "case", **asdict(event)}))
        return
    if not is_watched():
        yield None
        return
    started: list[tuple[float, int]] = []

    def draw(event: CaseEvent) -> None:
        counts = event.counts
        now, ended = time.monotonic(), sum(counts[state] for state in ENDED)
        started[:] = started or [(now, ended)]
        elapsed, advanced = now - started[0][0], ended - started[0][1]
        left = counts["waiting"] + counts["running"]
        remaining = f", {clock(elapsed / advanced * left)} left" if advanced and left else ""
        shown = ", ".join(f"{counts[state]} {state}" for state in ENDED)
        click.echo(f"\r{shown} of {sum(counts.values())}{remaining}    ", nl=False, err=True)

    try:
        yield draw
    finally:
        if started:
            click.echo(err=True)


def _ended(outcome: CohortOutcome, output: Path, *, as_json: bool) -> int:
    counts, report = outcome.counts, outcome.report
    if as_json:
        groups = [asdict(row) for row in report.groups] if report is not None else []
        page = str(output / "report.html") if report is not None else None
        unscored = report.unscored if report is not None else {}
        content = {"counts": counts, "unused": outcome.unused, "unscored": unscored, "groups": groups, "report": page}
        click.echo(json.dumps({"event": "end", **content}))
    else:
        _print(outcome, output)
    return SOME_CASES_FAILED if outcome.has_failures else 0


def _print(outcome: CohortOutcome, output: Path) -> None:
    counts, report = outcome.counts, outcome.report
    for name, reason in outcome.unused.items():
        click.echo(f"not used: {name}: {reason}", err=True)
    shown = ", ".join(f"{count} {state}" for state, count in counts.items() if count or state == "done")
    if report is None:
        click.echo(f"{shown}; who is still at work writes the report")
        return
    for failure in report.segmentation.failures:
        click.echo(f"not segmented: {failure.source}: {failure.reason}", err=True)
    for case, reason in report.unscored.items():
        click.echo(f"not scored: {case}: {reason}", err=True)
    if report.groups:
        head = ("column", "value", "patients", "Dice", "95 % from", "to", "p")
        rows = [(r.column, r.value, r.num_patients, r.dice, r.low, r.high, r.p_value) for r in report.groups]
        click.echo(text_table(head, rows))
    if report.evaluation is not None:
        click.echo(f"scores: {output / 'evaluation' / 'report.html'}")
    click.echo(f"{shown}; report: {output / 'report.html'}")
