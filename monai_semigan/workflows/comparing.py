# SPDX-License-Identifier: Apache-2.0
"""Compare methods by how many labels they need: a data list in; table, figure and page out.

All methods learn from the same images, prepared alike, for the same budget, and keep the checkpoint with the best Dice
on validation. Each training is a folder that appears when it is done, so that the same call goes on where a killed one
stopped.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Annotated

from monai_semigan.atomic import remove_stale
from monai_semigan.baselines.budget import Budget
from monai_semigan.baselines.methods import BaselineSettings
from monai_semigan.bundle.bundle import Bundle
from monai_semigan.devices import choose_device
from monai_semigan.errors import ConfigError, InputError, OutputError
from monai_semigan.evaluation.small_sample import MeanInterval, crossed_interval
from monai_semigan.files import RunLock, make_folder, write_bytes, write_json, write_text
from monai_semigan.io.datalist import Datalist, load_datalist
from monai_semigan.io.label_subset import count_labels, with_labels
from monai_semigan.report.comparison_record import (
    VALIDATION,
    BaseRecord,
    ComparisonRecord,
    ScoreRecord,
    SummaryRecord,
)
from monai_semigan.report.comparison_report import MARK, comparison_page, comparison_picture, comparison_table
from monai_semigan.settings import Range, check_settings, to_json
from monai_semigan.types import PathLike, StageProgress
from monai_semigan.versions import environment
from monai_semigan.workflows.compare_data import ComparisonData, check_tests, set_name_of
from monai_semigan.workflows.compare_runs import JOINT, METHODS, SUPERVISED, ComparisonRuns, asked_of
from monai_semigan.workflows.fit_checks import DataFacts, check_data
from monai_semigan.workflows.fit_folder import ASKED_NAME, check_same
from monai_semigan.workflows.fit_plan import parse_budget
from monai_semigan.workflows.fit_stages import FitOptions, source_bundle
from monai_semigan.workflows.train import training_device

__all__ = ["CompareOptions", "compare"]

UNET = "unet"


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """What a user may ask of `compare`.

    Attributes:
        methods: Names among `METHODS`.
        labels: Numbers of labels: patients where the list has ranks, else images.
        seeds: Trainings of each method and number of labels, with the seeds 0, 1, ...
        budget: Of each training: a time of computing such as ``10m``, or steps such as ``500steps``.
        base: Bundle that our method starts from, and whose preparation all use; None trains its generator too.
        base_labels: Labels that the base was trained with; None for what it says itself.
        domain: Kind of images without ``base``, such as ``chest_xray``.
        tests: Test sets of the list to be scored too.
        device: ``auto``, ``cpu`` or ``cuda``.
        settings: Of the baselines.
    """

    methods: tuple[str, ...] = METHODS
    labels: tuple[Annotated[int, Range(1)], ...]
    seeds: Annotated[int, Range(1, 1000)] = 3
    budget: str = "10m"
    base: str | None = None
    base_labels: Annotated[int, Range(1)] | None = None
    domain: str | None = None
    tests: tuple[str, ...] = ()
    device: str = "auto"
    settings: BaselineSettings = field(default_factory=BaselineSettings)

    def __post_init__(self) -> None:
        check_settings(self)
        for name in ("methods", "labels"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ConfigError(f"`{name}` must name at least one, and each once, got {len(values)}.")
        unknown = [name for name in self.methods if name not in METHODS]
        if unknown:
            raise ConfigError(f"`methods` must be among {', '.join(METHODS)}, got {unknown[0]!r:.40}.")
        if self.base_labels is not None and self.base is None:
            raise ConfigError("`base_labels` must come with a bundle to start from (--base), got none.")

    @property
    def parsed_budget(self) -> Budget:
        """The budget; raises ConfigError if it is none."""
        steps = re.fullmatch(r"(\d{1,8}) ?steps?", self.budget.strip())
        return Budget(steps=int(steps[1])) if steps else Budget(seconds=parse_budget(self.budget))

    @property
    def sets(self) -> list[str]:
        """Names of the sets that are scored."""
        return [VALIDATION, *(set_name_of(name) for name in self.tests)]


def compare(
    output: PathLike,
    *,
    datalist: PathLike,
    options: CompareOptions,
    progress: StageProgress | None = None,
    say: Callable[[str], None] | None = None,
) -> ComparisonRecord:
    """Compare methods on a data list; a call that was ended goes on where it stopped.

    Written are ``compare.json``, ``compare.csv``, ``compare.html`` and ``compare.png``, and a folder per training.

    Args:
        output: A new folder, or that of a comparison of the same data, budget and settings: what it has is not trained
            again, so that methods, numbers of labels, seeds and test sets can be added.
        datalist: JSON data list with labelled, unlabelled and validation images.
        options: What is compared.
        progress: Called with the training, what is done and its total.
        say: Called with lines of text that a reader of the table should know.

    Raises:
        BundleError: The bundle to start from cannot be used.
        ConfigError: An option is unknown, does not fit the data, or is another one than the folder was made with.
        InputError: The data cannot be learned from, or have fewer labels than asked for.
        OutputError: ``output`` holds something else, or cannot be written.
        TrainingError: Another process works there, or a training failed.
    """
    budget, say = options.parsed_budget, say or (lambda _: None)
    source = source_bundle(options.base, options.domain)
    if options.base is not None and options.base_labels is None:
        options = replace(options, base_labels=source.num_labels)
    data = load_datalist(datalist, warn=False)
    notes = _check(data, source, options)
    facts = check_data(data)
    notes += [*facts.warnings, *_missing_classes(data, facts, options)]
    asked = asked_of(data, source, has_base=options.base is not None, budget=budget, settings=options.settings)
    folder = _open(output)
    with RunLock(folder):
        remove_stale(folder)
        check_same(folder, asked)
        for note in notes:
            say(note)
        images = ComparisonData(data, source, facts.num_classes)
        runs = ComparisonRuns(
            folder,
            images,
            source,
            options=FitOptions(base=options.base, domain=options.domain, device=options.device),
            budget=budget,
            settings=options.settings,
            device=training_device(options.device),
        )
        wanted = [
            (method, labels, seed)
            for seed in range(options.seeds)
            for labels in sorted(options.labels)
            for method in options.methods
        ]
        runs.read_what_is_missing(wanted, options.sets)
        write_json(folder / ASKED_NAME, asked)
        for item in wanted:
            runs.train(*item, progress=progress)
        scorings = runs.count_test_scoring(wanted, options.sets[1:])
        scores = [runs.score(*item, name) for name in options.sets for item in wanted]
        record = _record(options, source, images, tuple(notes), scores, scorings)
        _write(folder, record)
    return record


def _check(data: Datalist, source: Bundle, options: CompareOptions) -> list[str]:
    """Refuse what cannot be compared before anything is trained; return what a reader should know."""
    check_tests(data, options.tests)
    available = count_labels(data)
    for labels in options.labels:
        if labels > available:
            raise InputError(
                f"`labels` must be at most the {available} that the data list has, got {labels}. Leave it out, or "
                "label more images."
            )
        semi = [method for method in options.methods if method not in SUPERVISED]
        if semi and not with_labels(data, labels).unlabelled:
            raise InputError(
                f"The data list must have unlabelled images for {', '.join(semi)}, got none beside the {labels} "
                f"labelled ones. Add some, or leave these methods out (--methods {' '.join(SUPERVISED)})."
            )
    notes = []
    if min(options.labels) == 1:
        notes.append("One label: which one it is decides more than the method.")
    if options.seeds == 1:
        notes.append("One seed: the intervals are over patients alone, and say nothing of other trainings.")
    return notes + _base_notes(source, options)


def _base_notes(source: Bundle, options: CompareOptions) -> list[str]:
    names = [method for method in JOINT if method in options.methods]
    if not names:
        return []
    notes = []
    marked = [str(labels) for labels in sorted(options.labels) if _is_marked(names[0], labels, options)]
    if marked:
        known = (
            "with an unknown number of labels; if you know it, say it (--base-labels)"
            if options.base_labels is None
            else f"with {options.base_labels} labels"
        )
        notes.append(
            f"{MARK} {', '.join(names)} with {', '.join(marked)} labels started from {source.name}, which was trained "
            f"{known}: the comparison is not fair to the other methods."
        )
    if options.base is not None:
        notes.append(
            "Whether the bundle to start from learned images of this list's validation or test sets is not known here."
        )
    if len(names) == 2 and source.inversion.steps == 0:
        notes.append(f"{source.name} takes no steps of optimization: {names[0]} and {names[1]} are the same.")
    return notes


def _missing_classes(data: Datalist, facts: DataFacts, options: CompareOptions) -> list[str]:
    """Tell of classes that the labels of a row do not show: nothing can learn them there."""
    present = {entry.image: found for entry, found in zip(data.labelled, facts.present, strict=True)}
    notes = []
    for labels in sorted(options.labels):
        shown = set().union(*(present[entry.image] for entry in with_labels(data, labels).labelled))
        missing = [str(at) for at in range(1, facts.num_classes) if at not in shown]
        if missing:
            notes.append(f"With {labels} labels, class {', '.join(missing)} is in none: no method can learn it.")
    return notes


def _is_marked(method: str, labels: int, options: CompareOptions) -> bool:
    known = options.base_labels
    return method in JOINT and options.base is not None and (known is None or known > labels)


def _open(output: PathLike) -> Path:
    """Make the folder, or refuse one that holds something else."""
    target = Path(output).resolve()
    is_ours = not target.exists() or (
        target.is_dir()
        and ((target / ASKED_NAME).is_file() or all(path.name.startswith(".") for path in target.iterdir()))
    )
    if not is_ours:
        raise OutputError(f"`{target}` must be a new folder or that of a comparison. Choose another output.")
    return make_folder(target)


def _record(
    options: CompareOptions,
    source: Bundle,
    images: ComparisonData,
    notes: tuple[str, ...],
    scores: Sequence[ScoreRecord],
    scorings: dict[str, int],
) -> ComparisonRecord:
    budget = options.parsed_budget
    device = choose_device(options.device).type
    unit = "CPU time" if device == "cpu" else "time on the GPU"
    base = None
    if options.base is not None and any(method in JOINT for method in options.methods):
        base = BaseRecord(
            name=source.name, version=source.version, digest=source.digest, num_labels=options.base_labels
        )
    return ComparisonRecord(
        created=time.strftime("%Y-%m-%d %H:%M"),
        budget=f"{budget.seconds:g} s of {unit}" if budget.seconds is not None else f"{budget.steps} steps",
        device=device,
        image_size=source.network.image_size,
        num_classes=images.num_classes,
        num_patients={name: len(next(s for s in scores if s.set_name == name).dice) for name in options.sets},
        seeds=options.seeds,
        base=base,
        test_scorings=scorings,
        notes=notes,
        summaries=tuple(_summaries(scores, options)),
        scores=tuple(scores),
        settings=to_json(options.settings),
        versions=environment(),
    )


def _summaries(scores: Sequence[ScoreRecord], options: CompareOptions) -> list[SummaryRecord]:
    groups: dict[tuple[str, int, str], list[ScoreRecord]] = {}
    for score in scores:
        groups.setdefault((score.set_name, score.run.labels, score.method), []).append(score)
    found = []
    for name in options.sets:
        for labels in sorted(options.labels):
            unet = groups.get((name, labels, UNET))
            for method in options.methods:
                group = groups[name, labels, method]
                dice = crossed_interval([score.dice for score in group])
                less = None if unet is None or method == UNET else _difference(group, unet)
                distances = [value for score in group for value in score.hd95_px if value is not None]
                found.append(
                    SummaryRecord(
                        method=method,
                        labels=labels,
                        set_name=name,
                        dice=dice.mean,
                        low=dice.low,
                        high=dice.high,
                        hd95_px=fmean(distances) if distances else None,
                        less_unet=None if less is None else less.mean,
                        less_unet_low=None if less is None else less.low,
                        less_unet_high=None if less is None else less.high,
                        steps=fmean(score.run.steps for score in group),
                        seconds=fmean(score.run.seconds for score in group),
                        is_marked=_is_marked(method, labels, options),
                    )
                )
    return found


def _difference(group: Sequence[ScoreRecord], other: Sequence[ScoreRecord]) -> MeanInterval:
    """Compare the same patients and seeds."""
    return crossed_interval(
        [
            [mine - theirs for mine, theirs in zip(score.dice, beside.dice, strict=True)]
            for score, beside in zip(group, other, strict=True)
        ]
    )


def _write(folder: Path, record: ComparisonRecord) -> None:
    write_text(folder / "compare.csv", comparison_table(record))
    write_bytes(folder / "compare.png", comparison_picture(record))
    write_text(folder / "compare.html", comparison_page(record))
    write_json(folder / "compare.json", to_json(record))
