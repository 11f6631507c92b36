# SPDX-License-Identifier: Apache-2.0
"""Which processes work on a cohort: the options that say it, and what ``--dry-run`` shows of it."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import text_table

if TYPE_CHECKING:
    from monai_semigan.cohort.engines import Engine
    from monai_semigan.cohort.running import CohortOptions

__all__ = ["RunCommand", "chosen_engine", "engines", "show_plan"]

WORDS = "semigan.cohort.words"

SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=semigan-cohort
#SBATCH --array=0-{last}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
{gpu}#SBATCH --output=semigan-%A_%a.log
{command}
"""

OF_SHARD, OF_DASK = ("num_parts", "part_id"), ("cluster", "workers", "host")
"""Options of one engine alone."""

engines = options.together(
    click.option(
        "--engine",
        type=click.Choice(["serial", "shard", "dask"]),
        help="serial: this process takes what waits. shard: it takes its part alone. dask: workers take what waits. "
        "[default: shard with --num-parts, dask with --cluster]",
    ),
    click.option("--num-parts", type=click.IntRange(1), help="Parts of shard. [default: SLURM_ARRAY_TASK_COUNT]"),
    click.option("--part-id", type=click.IntRange(0), help="This part, from 0 on. [default: SLURM_ARRAY_TASK_ID]"),
    click.option(
        "--cluster",
        metavar="local|slurm|pbs|ADDRESS",
        help="Workers of dask: processes here, jobs, or those of a scheduler such as tcp://node1:8786. "
        "[default: local]",
    ),
    click.option("--workers", type=click.IntRange(1), help="How many, but behind an address. [default: 2]"),
    click.option("--host", help="Where the scheduler of dask listens, but behind an address. [default: 127.0.0.1]"),
)
"""``engine``, and the options of each."""


class RunCommand(options.TopicCommand):
    """A command that keeps its words, for the job that repeats them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[WORDS] = list(args)
        return super().parse_args(ctx, args)


def chosen_engine(settings: Mapping[str, Any], *, is_dry: bool) -> Engine:
    """Choose the engine; the part of a shard may be said by SLURM's job array."""
    from monai_semigan.cohort.engines import SerialEngine

    is_shard, is_dask = (any(settings[name] is not None for name in names) for names in (OF_SHARD, OF_DASK))
    engine = settings["engine"] or ("shard" if is_shard else "dask" if is_dask else "serial")
    if is_shard and engine != "shard":
        raise click.UsageError("--num-parts and --part-id are of --engine shard.")
    if is_dask and engine != "dask":
        raise click.UsageError("--cluster, --workers and --host are of --engine dask.")
    if engine == "dask":
        return _dask(settings)
    return SerialEngine() if engine == "serial" else _shard(settings["num_parts"], settings["part_id"], is_dry=is_dry)


def _dask(settings: Mapping[str, Any]) -> Engine:
    # ruff: isort: off
    from monai_semigan.cohort.clusters import ClusterOptions  # first, as it says what to install
    from monai_semigan.cohort.dask_engine import DaskEngine

    names = {"cluster": "cluster", "workers": "num_workers", "host": "host"}
    return DaskEngine(ClusterOptions(**{names[name]: settings[name] for name in names if settings[name] is not None}))


def _shard(num_parts: int | None, part_id: int | None, *, is_dry: bool) -> Engine:
    from monai_semigan.cohort.engines import ShardEngine
    from monai_semigan.cohort.rows import Part

    if num_parts is None:
        num_parts = _from_slurm("SLURM_ARRAY_TASK_COUNT", "--num-parts")
    if part_id is None and is_dry:
        part_id = 0
    if part_id is None:
        first = int(os.environ.get("SLURM_ARRAY_TASK_MIN", "0"))
        part_id = _from_slurm("SLURM_ARRAY_TASK_ID", "--part-id") - first
    return ShardEngine(Part(part_id, num_parts))


def _from_slurm(variable: str, option: str) -> int:
    value = os.environ.get(variable, "")
    if not value.isdecimal():
        raise click.UsageError(f"--engine shard must know its part: pass {option}, or run it as a SLURM array job.")
    return int(value)


def show_plan(inputs: tuple[Path, ...], bundle: str, output: Path, chosen: CohortOptions, *, as_json: bool) -> None:
    """Print how many cases wait in each part, and the job that would work on them."""
    from monai_semigan.cohort.running import plan_cohort

    num_parts = chosen.engine.parts[0].count
    counts = plan_cohort(inputs, bundle=bundle, output=output, options=chosen, num_parts=num_parts)
    script, what = _job(chosen, num_parts)
    if as_json:
        click.echo(json.dumps({"event": "plan", "parts": counts, "job_script": script}))
        return
    click.echo(text_table(("part", "cases"), [(str(index), count) for index, count in enumerate(counts)]))
    shown = f"; {what}:\n\n{script.rstrip()}" if script is not None else f"; {what}"
    click.echo(f"{sum(counts)} cases wait in all{shown}")


def _job(chosen: CohortOptions, num_parts: int) -> tuple[str | None, str]:
    """Return the script of the job, or of each of them, and what it is."""
    device = chosen.segment.device
    cluster = getattr(chosen.engine, "options", None)
    if cluster is None:
        return _array_script(num_parts, device=device), "a SLURM job for them"
    from monai_semigan.cohort.clusters import worker_job
    from monai_semigan.devices import choose_device

    # Where a job is sent to has a GPU, whatever this machine has.
    script = worker_job(cluster, on_gpu=device == "cuda" or choose_device(device).type == "cuda")
    if script is not None:
        return script, f"{cluster.num_workers} jobs of one worker each are sent"
    return None, f"workers: {cluster.num_workers} processes here" if cluster.is_ours else "workers: all that are there"


def _array_script(num_parts: int, *, device: str) -> str:
    """Write this command as an array job: SLURM says which part each job is."""
    given, words = iter(click.get_current_context().meta[WORDS]), ["semigan", "cohort", "run"]
    for word in given:
        if word in ("--num-parts", "--part-id", "--engine"):
            next(given, None)
        elif word != "--dry-run" and not word.startswith(("--num-parts=", "--part-id=", "--engine=")):
            words.append(word)
    words += ["--engine", "shard", "--num-parts", str(num_parts)]
    gpu = "" if device == "cpu" else "#SBATCH --gres=gpu:1\n"
    return SCRIPT.format(last=num_parts - 1, gpu=gpu, command=shlex.join(words))
