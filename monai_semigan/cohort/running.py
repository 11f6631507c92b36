# SPDX-License-Identifier: Apache-2.0
"""Run a cohort: write down what is to be done, do it, and report over all; a second call joins in or goes on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from monai_semigan.atomic import is_abandoned, remove_stale
from monai_semigan.bundle.bundle import Bundle, open_bundle
from monai_semigan.cohort.bids import find_bids, require_one_dataset
from monai_semigan.cohort.engines import Engine, SerialEngine
from monai_semigan.cohort.inputs import Found, find_units
from monai_semigan.cohort.manifest import Manifest
from monai_semigan.cohort.naming import MANIFEST_NAME, named_apart
from monai_semigan.cohort.reporting import CohortReport, report_over_all
from monai_semigan.cohort.rows import CaseRow, State, Where, share_of
from monai_semigan.cohort.working import Observer, Work
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.files import make_folder
from monai_semigan.segmentation.outputs import require_formats
from monai_semigan.segmentation.record import BundleRecord
from monai_semigan.types import PathLike, Paths, as_paths
from monai_semigan.workflows.case_faults import reason_of
from monai_semigan.workflows.case_run import segment_request
from monai_semigan.workflows.cases import require_apart
from monai_semigan.workflows.claims import free_claims
from monai_semigan.workflows.segment_options import SegmentOptions

__all__ = [
    "CohortOptions",
    "CohortOutcome",
    "cohort_status",
    "plan_cohort",
    "report_cohort",
    "retry_cohort",
    "run_cohort",
]


@dataclass(frozen=True, kw_only=True)
class CohortOptions:
    """What a user may ask of `run_cohort`.

    Attributes:
        segment: As for `segment_files`; the same in all calls on one output folder, and without ``overwrite``.
        engine: Which rows this process works on.
        retry_failed: Take refused and failed cases again.
        layout: ``bids``: the input is a BIDS dataset, and results also go to ``derivatives/semigan``; ``cases``: to
            folders of cases alone. None as the cohort was begun, ``cases`` at first.
        where: ``column=value`` texts: work on such cases alone. With ``status=failed`` these are taken again.
        binary: References of any value above 0 are class 1.

    Raises:
        ConfigError: They contradict each other, or a text of ``where`` is no such.
    """

    segment: SegmentOptions = field(default_factory=SegmentOptions)
    engine: Engine = field(default_factory=SerialEngine)
    retry_failed: bool = False
    layout: Literal["cases", "bids"] | None = None
    where: tuple[str, ...] = ()
    binary: bool = False

    def __post_init__(self) -> None:
        if self.segment.overwrite:
            raise ConfigError("`overwrite` must be off in a cohort. Choose another output folder to make cases again.")
        Where.parse(self.where)
        formats, left_out = self.segment.formats or ("nifti",), self.segment.left_out
        if self.layout == "bids" and ("nifti" not in formats or "nifti" in left_out):
            raise ConfigError("`formats` must hold nifti with layout bids, which names such label maps. Add it.")


@dataclass(frozen=True, kw_only=True)
class CohortOutcome:
    """How a cohort stands when a call has ended.

    Attributes:
        counts: Rows by state.
        report: Over all cases; None while other processes work, which write it when they end.
        unused: Inputs in which nothing was found to segment, with the reason.
    """

    counts: Mapping[State, int]
    report: CohortReport | None
    unused: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_failures(self) -> bool:
        """Whether a case is refused or failed, could not be scored, or an input was of no use."""
        unscored = self.report is not None and bool(self.report.unscored)
        return bool(self.counts["refused"] or self.counts["failed"] or self.unused or unscored)


def run_cohort(
    inputs: Paths,
    *,
    bundle: PathLike,
    output: PathLike,
    options: CohortOptions | None = None,
    progress: Observer | None = None,
) -> CohortOutcome:
    """Segment many cases, each once: whatever is lost on the way, the same call again goes on.

    The cases are written down in ``cohort.sqlite`` in the output folder, which holds paths and patients and can be read
    by its owner alone. Any number of processes may work on one output folder at the same time. Results are those of
    `segment_files`: a folder per case, ``report.json`` and ``report.html``; with references ``evaluation/`` and, by the
    further columns of the table, ``groups.csv``.

    Args:
        inputs: Files, folders, or patterns of names; or one CSV file with the columns case and path, and if wanted
            patient, reference, and others to group the scores by. A later call may name further ones, or none.
        bundle: A shipped bundle's name, or a bundle folder.
        output: Folder for the results.
        options: What is asked for.
        progress: Called after each case.

    Raises:
        InputError: An input does not exist, there is nothing to segment, or the manifest is damaged.
        ConfigError: The cohort was begun with another bundle or other options.
        BundleError: The bundle is incomplete, altered, or not to be trusted.
        OutputError: The results cannot be written.
    """
    options, paths = options or CohortOptions(), as_paths(inputs)
    opened, asked = _checked(paths, bundle, output, options), options.segment
    layout = _layout(Path(output), opened, options)
    found, unused = _found(paths, opened, Path(output), asked, layout=layout)
    work = Work(folder=make_folder(output), bundle=bundle, options=asked)
    segmenter = work.segmenter()
    remove_stale(work.folder)
    free_claims(work.folder)
    with Manifest(work.folder, create=True) as manifest:
        manifest.bind(segmenter.bundle, segment_request(segmenter, asked), layout=layout)
        manifest.repair()
        if layout == "bids":
            require_one_dataset(unit.path for unit in (*manifest.rows(), *found.units))
        manifest.add(found.units, may_rename=not found.is_table)
        work = _chosen(work, manifest, options)
        before = manifest.names("done")
    options.engine.run(work, segmenter, progress)
    remove_stale(work.folder)  # of processes that were lost meanwhile
    with Manifest(work.folder) as manifest:
        counts = manifest.counts()
        report = None if counts["running"] else report_over_all(manifest, binary=options.binary, before=before)
    return CohortOutcome(counts=counts, report=report, unused=unused)


def plan_cohort(
    inputs: Paths, *, bundle: PathLike, output: PathLike, options: CohortOptions | None = None, num_parts: int = 1
) -> list[int]:
    """Count the cases that wait in each of several parts, with those that the inputs would add; nothing is written.

    Args:
        inputs: As for `run_cohort`, like the arguments that follow.
        bundle: See there.
        output: See there.
        options: See there.
        num_parts: How many parts.

    Raises:
        InputError: As `run_cohort` does; so does what follows.
        ConfigError: See there.
        BundleError: See there.
    """
    options, paths = options or CohortOptions(), as_paths(inputs)
    opened = _checked(paths, bundle, output, options)
    found, _ = _found(paths, opened, Path(output), options.segment, layout=_layout(Path(output), opened, options))
    rows: list[CaseRow] = []
    if (Path(output) / MANIFEST_NAME).is_file():
        with Manifest(output) as manifest:
            rows = manifest.rows()
    taken = {(row.path, row.part): row.case for row in rows}
    new = [
        CaseRow(case=unit.case, path=unit.path, patient=unit.patient, groups=unit.groups)
        for unit in named_apart(found.units, taken, may_rename=not found.is_table)
        if (unit.path, unit.part) not in taken
    ]
    where, states = Where.parse(options.where), _wanted_states(options)
    where.require_known({column for row in (*rows, *new) for column in row.groups})
    counted = Counter(
        share_of(row.case) % num_parts
        for row in (*rows, *new)
        if row.state in ("waiting", *states) and (not where or where.fits(row))
    )
    return [counted[index] for index in range(num_parts)]


def cohort_status(output: PathLike) -> dict[str, Any]:
    """Return how a cohort stands, JSON types: counts by state, the processes at work, and the time left.

    Raises:
        InputError: There is no cohort in the folder, or its manifest is damaged.
    """
    with Manifest(output) as manifest:
        facts, counts, running = manifest.facts, manifest.counts(), manifest.running()
        seconds = manifest.mean_seconds()
    workers = {row["owner"] for row in running if not is_abandoned(row["owner"])}
    left = counts["waiting"] + counts["running"]
    return {
        "bundle": facts.get("bundle"),
        "created": facts.get("created"),
        "cases": sum(counts.values()),
        "counts": counts,
        "workers": [
            {
                "host": row["host"],
                "pid": row["pid"],
                "cases": row["cases"],
                "seconds": round(time.time() - row["since"], 1),
                "is_lost": is_abandoned(row["owner"]),
            }
            for row in running
        ],
        "mean_seconds": seconds,
        "seconds_left": seconds * left / len(workers) if seconds is not None and workers else None,
    }


def retry_cohort(output: PathLike, where: tuple[str, ...] = ()) -> int:
    """Let refused and failed cases wait again, or those of them that are meant; return how many.

    Raises:
        InputError: There is no cohort in the folder, or its manifest is damaged.
        ConfigError: A text of ``where`` is no ``column=value``, or names no column.
    """
    with Manifest(output) as manifest:
        return manifest.retry(manifest.rows(Where.parse(where)))


def report_cohort(output: PathLike, *, binary: bool = False) -> CohortOutcome:
    """Write the report over all cases, also while some are in work; see `run_cohort`.

    Raises:
        InputError: There is no cohort in the folder, or its manifest is damaged.
        OutputError: The report cannot be written.
    """
    with Manifest(output) as manifest:
        manifest.repair()
        before = manifest.names("done")
        report = report_over_all(manifest, binary=binary, before=before)
        return CohortOutcome(counts=manifest.counts(), report=report)


def _checked(paths: list[Path], bundle: PathLike, output: PathLike, options: CohortOptions) -> Bundle:
    """Refuse what can be refused before anything is searched or loaded."""
    asked = options.segment
    require_formats((*(asked.formats or ()), *asked.extra_formats, *asked.left_out))
    require_apart(paths, output)
    opened = open_bundle(bundle)
    if (Path(output) / MANIFEST_NAME).exists():
        with Manifest(output) as manifest:
            manifest.require_same(BundleRecord(name=opened.name, version=opened.version, digest=opened.digest))
    return opened


def _layout(output: Path, opened: Bundle, options: CohortOptions) -> str:
    """Return how results are laid out, and refuse another layout than the cohort was begun with."""
    begun = None
    if (output / MANIFEST_NAME).is_file():
        with Manifest(output) as manifest:
            begun = manifest.facts.get("layout")
    if begun is not None and options.layout not in (None, begun):
        raise ConfigError(
            f"`layout` must be the one that this cohort was begun with, {begun}, got {options.layout}. Choose another "
            "output folder."
        )
    layout = str(begun or options.layout or "cases")
    if layout == "bids" and not opened.takes_volumes:
        raise ConfigError(f"`layout` must be cases for a bundle of images such as {opened.name}, got bids.")
    return layout


def _found(
    paths: list[Path], opened: Bundle, output: Path, asked: SegmentOptions, *, layout: str
) -> tuple[Found, dict[str, str]]:
    unused: dict[str, str] = {}
    if not paths and (output / MANIFEST_NAME).is_file():
        return Found(units=()), unused
    if not paths:
        raise InputError("`inputs` must name files, folders or a table, got none, and no cohort was begun here yet.")

    def on_failure(name: str, error: Exception) -> None:
        unused[name] = reason_of(error)

    if layout == "bids":
        if len(paths) > 1:
            raise ConfigError(f"`inputs` must be the folder of one BIDS dataset, got {len(paths)} paths.")
        return Found(units=find_bids(paths[0].absolute(), on_failure=on_failure)), unused
    with TemporaryDirectory(prefix="semigan-") as unpacked:  # the output folder may not be there yet
        found = find_units(
            paths,
            takes_volumes=opened.takes_volumes,
            skip=output,
            rules=asked.rules,
            repairs=asked.repairs,
            unpack_to=Path(unpacked),
            on_failure=on_failure,
        )
    return found, unused


def _chosen(work: Work, manifest: Manifest, options: CohortOptions) -> Work:
    where, states = Where.parse(options.where), _wanted_states(options)
    rows = manifest.rows(where)
    manifest.retry([row for row in rows if row.state in states])
    chosen = tuple(row.case for row in rows) if where else None
    return Work(folder=work.folder, bundle=work.bundle, options=work.options, chosen=chosen)


def _wanted_states(options: CohortOptions) -> frozenset[str]:
    """States that are taken again."""
    named = Where.parse(options.where).wanted.get("status", ())
    return frozenset({"refused", "failed"} if options.retry_failed else {"refused", "failed"} & set(named))
