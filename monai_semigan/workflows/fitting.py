# SPDX-License-Identifier: Apache-2.0
"""From a data list to a bundle with one call: teacher, generator, encoder, limits, scores, card.

Everything lies in a folder beside the bundle, ``MY_BUNDLE-run``, and each stage leaves a file there, so that the same
call goes on where a killed one stopped. The stages are those that can be called one by one: `train_teacher`,
`train_gan`, `train_encoder`, `pack`, `tune`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_semigan.atomic import remove_stale, replacing_folder
from monai_semigan.bundle.bundle import load_network, open_bundle
from monai_semigan.evaluation.small_sample import MeanInterval, mean_interval, patient_means
from monai_semigan.files import RunLock, make_folder
from monai_semigan.io.datalist import load_datalist, owners
from monai_semigan.settings import to_json
from monai_semigan.training.pool_scores import pool_dice
from monai_semigan.training.teacher import TEACHER_NAME, TRAINED_AGAIN, load_teacher
from monai_semigan.types import PathLike, StageProgress
from monai_semigan.workflows.fit_card import write_fit_page, write_fit_texts
from monai_semigan.workflows.fit_checks import check_data
from monai_semigan.workflows.fit_plan import FitPlan, parse_budget
from monai_semigan.workflows.fit_stages import UNET_NAME, FitOptions, FitStages, source_bundle
from monai_semigan.workflows.packing import check_target, name_of, pack, store_num_labels
from monai_semigan.workflows.scoring import score_encoder
from monai_semigan.workflows.tuning import tune

__all__ = ["FitOptions", "FitResult", "fit"]

TUNED_STEPS = (0, 5)
"""Numbers of inversion steps that are compared: with offsets the encoder alone is nearly always enough."""


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What `fit` made.

    Attributes:
        bundle: Its folder.
        run: Folder of what was trained.
        plan: What was trained for how long, and why.
        dice: Of the bundle on validation, mean over patients, at the network's size, encoder alone.
        unet_dice: Of a plain U-Net that was trained on the same labels.
        teacher_dice: Of the teacher, a U-Net under strong disturbances.
        gain: Dice of the bundle less that of the plain U-Net, of the same patients.
        num_labelled: Labelled training images.
        num_unlabelled: Unlabelled ones of the data list; without any, the labelled ones serve as such.
        num_validation: Validation images.
        warnings: What a user should know.
    """

    bundle: Path
    run: Path
    plan: FitPlan
    dice: MeanInterval
    unet_dice: MeanInterval
    teacher_dice: MeanInterval
    gain: MeanInterval
    num_labelled: int
    num_unlabelled: int
    num_validation: int
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain types."""
        content: dict[str, Any] = to_json(self)
        return content


def fit(
    output: PathLike,
    *,
    datalist: PathLike,
    options: FitOptions | None = None,
    progress: StageProgress | None = None,
    say: Callable[[str], None] | None = None,
) -> FitResult:
    """Train a bundle on a data list; a call that was ended goes on where it stopped.

    Args:
        output: The new bundle's folder; what is trained lies in the folder ``<output>-run`` beside it.
        datalist: JSON data list with labelled and validation images, and unlabelled ones if there are.
        options: What is asked for; of a call that goes on, as before.
        progress: Called with the stage, what is done and its total.
        say: Called with lines of text: what was found in the data, what was chosen and why.

    Raises:
        BundleError: The bundle to start from cannot be used, or ``output`` holds a bundle.
        ConfigError: An option is unknown or does not fit the call before, or the budget is too small.
        InputError: The data cannot be learned from.
        TrainingError: Another process works on it, or a training failed.
        OutputError: ``output`` is a folder with something else, or cannot be written; nothing of it is left.
    """
    options, say = options or FitOptions(), say or (lambda _: None)
    target = Path(output).resolve()
    check_target(target, overwrite=False)
    budget_s = parse_budget(options.budget)
    source = source_bundle(options.base, options.domain)
    data = load_datalist(datalist)
    facts = check_data(data)
    run = make_folder(target.with_name(f"{target.name}-run"))
    with RunLock(run):
        remove_stale(run)
        remove_stale(target.parent)
        work = FitStages(run, source, data, facts, options, progress)
        for warning in facts.warnings:
            say(f"warning: {warning}")
        plan = work.plan(budget_s)
        for reason in plan.reasons:
            say(reason)
        work.train(plan)
        return _finish(work, target, plan)


def _finish(work: FitStages, output: Path, plan: FitPlan) -> FitResult:
    """Pack, tune, score and describe; the bundle appears when all is done."""
    packed, name = work.run / "packed", work.options.name or name_of(output)
    pack(packed, bundle=work.skeleton.root, weights=work.weights, name=name, overwrite=True)
    report = work.progress
    tune(
        packed,
        work.data.path,
        steps=TUNED_STEPS,
        write=True,
        device=work.options.device,
        progress=None if report is None else lambda done, total: report("tune", done, total),
    )
    base = work.source if work.options.base is not None else None
    store_num_labels(packed, len(work.data.labelled), base)
    result = _scored(work, packed, output, plan)
    write_fit_texts(packed, result, base)
    write_fit_page(work.run / "report.html", name, result)
    check_target(output, overwrite=False)  # hours later, something else may lie there
    with replacing_folder(output) as folder:
        shutil.copytree(packed, folder, dirs_exist_ok=True)
    return result


def _scored(work: FitStages, packed: Path, output: Path, plan: FitPlan) -> FitResult:
    network = load_network(open_bundle(packed), device=work.device)
    own = score_encoder(network, work.validation).dice.tolist()
    unet, teacher = (
        pool_dice(
            load_teacher(work.run / name, device=work.device, remedy=TRAINED_AGAIN), work.validation, work.device
        ).tolist()
        for name in (UNET_NAME, TEACHER_NAME)
    )
    patients = owners(work.data.validation)
    dice, unet_dice, teacher_dice, gain = (
        mean_interval(patient_means(values, patients))
        for values in (own, unet, teacher, [mine - other for mine, other in zip(own, unet, strict=True)])
    )
    warnings = list(work.facts.warnings)
    if gain.mean < 0:
        warnings.append(
            f"A plain U-Net with the same labels is better on validation, by {-gain.mean:.3f} Dice. Give more "
            "time, or more images."
        )
    return FitResult(
        bundle=output,
        run=work.run,
        plan=plan,
        dice=dice,
        unet_dice=unet_dice,
        teacher_dice=teacher_dice,
        gain=gain,
        num_labelled=len(work.data.labelled),
        num_unlabelled=work.facts.num_unlabelled,
        num_validation=len(work.data.validation),
        warnings=tuple(warnings),
    )
