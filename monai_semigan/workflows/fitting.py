# SPDX-License-Identifier: Apache-2.0
"""From a data list to a bundle with one call: teacher, generator, encoder, limits, scores, card.

Everything lies in a folder beside the bundle, ``MY_BUNDLE-run``, and each stage leaves a file there, so that the same
call goes on where a killed one stopped. The stages are those that can be called one by one: `train_teacher`,
`train_gan`, `train_encoder`, `pack`, `tune`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import torch

from monai_semigan.atomic import remove_stale, replacing_folder, scratch_folder
from monai_semigan.bundle.audit import MAX_CONFIG_BYTES
from monai_semigan.bundle.bundle import Bundle, load_network, open_bundle
from monai_semigan.bundle.description import LongString
from monai_semigan.bundles import list_bundles
from monai_semigan.devices import choose_device
from monai_semigan.errors import BundleError, ConfigError, InputError, TrainingError
from monai_semigan.evaluation.small_sample import MeanInterval, mean_interval
from monai_semigan.files import RunLock, make_folder, read_json, write_json
from monai_semigan.io.datalist import Datalist, load_datalist
from monai_semigan.settings import Range, check_settings, read_settings, to_json
from monai_semigan.training.augment import AugmentSettings
from monai_semigan.training.encoder_task import BEST_NAME, mean_dice
from monai_semigan.training.perturb import PerturbSettings
from monai_semigan.training.pool import LabelledPool
from monai_semigan.training.settings import EncoderTraining, GanTraining
from monai_semigan.training.teacher import TEACHER_NAME, TeacherSettings, load_teacher, save_teacher, train_teacher
from monai_semigan.types import PathLike, StageProgress
from monai_semigan.workflows.fit_card import write_fit_page, write_fit_texts
from monai_semigan.workflows.fit_checks import DataFacts, check_data
from monai_semigan.workflows.fit_folder import DATA_NAME, listed, own_list, require_same, skeleton
from monai_semigan.workflows.fit_plan import FitPlan, Speeds, make_plan, parse_budget
from monai_semigan.workflows.packing import check_target, name_of, pack
from monai_semigan.workflows.scoring import score_encoder
from monai_semigan.workflows.train import encoder_trainer, gan_trainer, training_config
from monai_semigan.workflows.training_data import labelled_pool, training_preset
from monai_semigan.workflows.tuning import tune

__all__ = ["FitOptions", "FitResult", "fit"]

UNET_NAME = "unet.pt"
PLAN_NAME = "plan.json"

TUNED_STEPS = (0, 5)
"""Numbers of inversion steps that are compared: with offsets the encoder alone is nearly always enough."""

TIMED_IMAGES = 8
TIMED_ITERATIONS = 4
"""Of which the first warms up."""

BATCH = {"cpu": 8, "cuda": 16}

PLAIN_UNET = TeacherSettings(
    steps=2000,
    batch_size=8,
    learning_rate=1e-3,
    warp=AugmentSettings(
        rotation=0.1, scale=0.15, stretch=0.0, translation=0.05, brightness=0.0, contrast=0.0, probability=0.8,
        target_sign=None,
    ),
    perturb=PerturbSettings(
        log2_gamma=0.3, contrast=0.2, brightness=0.1, bias_field=0.0, noise=0.05, blur=0.0, patch=0.0
    ),
)  # fmt: skip
"""What is compared with: a MONAI `BasicUNet` with usual augmentation, trained on the labelled images alone."""


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """What a user may ask of `fit`.

    Attributes:
        base: Bundle to start from, whose generator is kept, if its classes are those of the data; None trains one.
        domain: Kind of images without ``base``, such as ``chest_xray``.
        budget: Time for everything, such as ``45m`` or ``2h``.
        device: ``auto``, ``cpu`` or ``cuda``.
        seed: Of everything random.
        name: Of the bundle; None for the folder's.
    """

    base: str | None = None
    domain: str | None = None
    budget: str = "1h"
    device: str = "auto"
    seed: Annotated[int, Range(0, 2**31)] = 0
    name: LongString | None = None

    def __post_init__(self) -> None:
        check_settings(self)


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
        num_unlabelled: Unlabelled ones.
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
        OutputError: ``output`` is a folder with something else, or cannot be written.
        ConfigError: An option is unknown or does not fit the call before, or the budget is too small.
        InputError: The data cannot be learned from.
        TrainingError: Another process works on it, or a training failed.
        OutputError: ``output`` is a folder with something else, or cannot be written; nothing of it is left.
    """
    options, say = options or FitOptions(), say or (lambda _: None)
    target = Path(output).resolve()
    check_target(target, overwrite=False)
    budget_s = parse_budget(options.budget)
    source = open_bundle(_source_name(options))
    if source.takes_volumes:
        raise ConfigError(
            "`base` must be a bundle for images, got one for volumes: train it step by step, see docs/training.md."
        )
    data = load_datalist(datalist)
    facts = check_data(data)
    run = make_folder(target.with_name(f"{target.name}-run"))
    with RunLock(run):
        remove_stale(run)
        remove_stale(target.parent)
        work = _Fit(run, source, data, facts, options, progress)
        for warning in facts.warnings:
            say(f"warning: {warning}")
        plan = work.plan(budget_s)
        for reason in plan.reasons:
            say(reason)
        work.train(plan)
        return work.finish(target, plan)


def _source_name(options: FitOptions) -> str:
    """The bundle whose settings are used."""
    if options.base is not None:
        return options.base
    by_domain = {open_bundle(name).domain.name: name for name in list_bundles()}
    if options.domain is None or options.domain not in by_domain:
        raise ConfigError(
            f"`domain` must be one of {', '.join(by_domain)} without a bundle to start from (--base), got "
            f"{options.domain}."
        )
    return str(by_domain[options.domain])


class _Fit:
    """The stages; each is left out if its file is there."""

    def __init__(
        self,
        run: Path,
        source: Bundle,
        data: Datalist,
        facts: DataFacts,
        options: FitOptions,
        progress: StageProgress | None,
    ) -> None:
        self.run, self.source, self.facts, self.options, self.progress = run, source, facts, options, progress
        if options.base is not None and source.weights_file is None:
            raise BundleError(f"`{source.name}` must have weights to start from. Choose another --base.")
        self.keeps_generator = options.base is not None and facts.num_classes == source.network.num_classes
        require_same(
            run,
            {
                "base": None if options.base is None else source.digest,
                "domain": source.domain.name,
                "budget": parse_budget(options.budget),
                "seed": options.seed,
            },
        )
        self.device = choose_device(options.device)
        self.batch_size = BATCH[self.device.type]
        self.data = own_list(run, data)
        self.skeleton = skeleton(run, source, self.data, facts.num_classes)
        self.gan = read_settings(GanTraining, self._config("train.json"), "train.json")
        self.encoder = read_settings(EncoderTraining, self._config("train_encoder.json"), "train_encoder.json")
        preset, count = training_preset(self.skeleton), facts.num_classes
        self.labelled = labelled_pool(self.data, self.data.labelled, preset, count, self.gan.symmetries)
        self.validation = labelled_pool(self.data, self.data.validation, preset, count)

    def _config(self, name: str) -> dict[str, Any]:
        places = ("bundle_root", "datalist", "run_dir", "gan_run", "device", "resume", "start")
        content = training_config(str(self.skeleton.root), name, None)
        return {key: value for key, value in content.items() if key not in places}

    # The plan

    def plan(self, budget_s: float) -> FitPlan:
        """Return the plan of the call before, or measure and make one."""
        path = self.run / PLAN_NAME
        if path.exists():
            return read_settings(FitPlan, read_json(path, MAX_CONFIG_BYTES, error=InputError), PLAN_NAME)
        most = {
            "teacher": float(self._teacher.steps),
            "gan": self.gan.run.total_kimg,
            "encoder": self.encoder.run.total_kimg,
            "unet": float(PLAIN_UNET.steps),
        }
        found = make_plan(budget_s, self._speeds(), most=most, trains_gan=not self.keeps_generator)
        write_json(path, to_json(found))
        return found

    @property
    def _teacher(self) -> TeacherSettings:
        return self.gan.teacher or TeacherSettings()

    def _speeds(self) -> Speeds:
        """Time a few iterations of each stage, as they will run, on a few of the images."""
        with scratch_folder(self.run, "timing") as folder:
            few = self.data.labelled[:TIMED_IMAGES]
            lists = {"labelled": few, "unlabelled": self.data.unlabelled[:TIMED_IMAGES]}
            content = {name: [listed(entry) for entry in entries] for name, entries in lists.items()}
            content["validation"] = [listed(self.data.validation[0])]
            kind = "binary" if self.data.is_binary else "classes"
            path = folder / DATA_NAME
            write_json(path, {"schema": "semigan-datalist-1", "label_values": kind, **content})
            teacher = _timed(
                lambda tick: train_teacher(
                    self.labelled.subset(range(min(TIMED_IMAGES, len(self.labelled)))),
                    replace(self._teacher, steps=TIMED_ITERATIONS),
                    device=self.device,
                    progress=tick,
                )
            )
            settings = self._run(TIMED_ITERATIONS * self.batch_size / 1000)
            gan = 0.0
            if not self.keeps_generator:
                config = {**to_json(self.gan), "teacher": None, "run": settings}
                gan = _timed(self._trainer(gan_trainer, folder / "gan", config, datalist=path, start=self._start))
            config = {**to_json(self.encoder), "run": settings}
            places = {
                "datalist": path,
                "gan_run": None if self.keeps_generator else folder / "gan",
                "start": self._start,
            }
            encoder = _timed(self._trainer(encoder_trainer, folder / "encoder", config, **places))
        return Speeds(teacher, encoder / self.batch_size, gan / self.batch_size)

    # The stages

    @property
    def _start(self) -> Path | None:
        return self.source.weights_file if self.options.base is not None else None

    def _run(self, total_kimg: float) -> dict[str, Any]:
        tick = max(total_kimg / 16, self.batch_size / 1000)
        return {"total_kimg": total_kimg, "batch_size": self.batch_size, "tick_kimg": tick, "seed": self.options.seed}

    def _trainer(
        self, trainer: Callable[..., Any], folder: Path, config: Mapping[str, Any], **places: Any
    ) -> Callable[[StageProgress | None], Any]:
        return lambda progress: trainer(
            bundle_root=self.skeleton.root,
            run_dir=folder,
            device=self.options.device,
            resume=(folder / "resolved_config.json").exists(),
            progress=progress,
            **places,
            **config,
        ).run()

    def train(self, plan: FitPlan) -> None:
        """Run what is not done yet."""
        teacher, unet = self.run / TEACHER_NAME, self.run / UNET_NAME
        settings = {teacher: replace(self._teacher, steps=plan.teacher_steps)}
        settings[unet] = replace(PLAIN_UNET, steps=plan.unet_steps)
        self._learn(teacher, settings[teacher], "teacher")
        gan_run = None
        if plan.gan_kimg:
            gan_run = make_folder(self.run / "gan")
            if not (gan_run / TEACHER_NAME).exists():
                shutil.copy(teacher, gan_run / TEACHER_NAME)
            config = {**to_json(self.gan), "teacher": to_json(settings[teacher]), "run": self._run(plan.gan_kimg)}
            self._trainer(gan_trainer, gan_run, config, datalist=self.data.path, start=self._start)(self.progress)
        config = {**to_json(self.encoder), "teacher": str(teacher), "run": self._run(plan.encoder_kimg)}
        places = {"datalist": self.data.path, "gan_run": gan_run, "start": self._start}
        self._trainer(encoder_trainer, self.run / "encoder", config, **places)(self.progress)
        self._learn(unet, settings[unet], "plain U-Net")

    def _learn(self, path: Path, settings: TeacherSettings, stage: str) -> None:
        if path.exists():
            return
        report = self.progress
        network = train_teacher(
            self.labelled,
            settings,
            device=self.device,
            seed=self.options.seed,
            progress=None if report is None else lambda _, done, total: report(stage, done, total),
        )
        save_teacher(path, network)

    # The bundle

    def finish(self, output: Path, plan: FitPlan) -> FitResult:
        """Pack, tune, score and describe; the bundle appears when all is done."""
        best = self.run / "encoder" / BEST_NAME
        if not best.exists():
            raise TrainingError(f"`{best}` must hold the encoder, but is missing. Delete `{best.parent}`, then repeat.")
        packed, name = self.run / "packed", self.options.name or name_of(output)
        pack(packed, bundle=self.skeleton.root, weights=best, name=name, overwrite=True)
        report = self.progress
        tune(
            packed,
            self.data.path,
            steps=TUNED_STEPS,
            write=True,
            device=self.options.device,
            progress=None if report is None else lambda done, total: report("tune", done, total),
        )
        result = self._scored(packed, output, plan)
        write_fit_texts(packed, result, self.source if self.options.base is not None else None)
        write_fit_page(self.run / "report.html", name, result)
        check_target(output, overwrite=False)  # hours later, something else may lie there
        with replacing_folder(output) as folder:
            shutil.copytree(packed, folder, dirs_exist_ok=True)
        return result

    def _scored(self, packed: Path, output: Path, plan: FitPlan) -> FitResult:
        network = load_network(open_bundle(packed), device=self.device)
        own = [float(value) for value in score_encoder(network, self.validation).dice]
        unet, teacher = (
            _teacher_dice(self.run / name, self.validation, self.device) for name in (UNET_NAME, TEACHER_NAME)
        )
        gain = self._mean([mine - other for mine, other in zip(own, unet, strict=True)])
        warnings = list(self.facts.warnings)
        if gain.mean < 0:
            warnings.append(
                f"A plain U-Net with the same labels is better on validation, by {-gain.mean:.3f} Dice. Give more "
                "time, or more images."
            )
        return FitResult(
            bundle=output,
            run=self.run,
            plan=plan,
            dice=self._mean(own),
            unet_dice=self._mean(unet),
            teacher_dice=self._mean(teacher),
            gain=gain,
            num_labelled=len(self.data.labelled),
            num_unlabelled=len(self.data.unlabelled),
            num_validation=len(self.data.validation),
            warnings=tuple(warnings),
        )

    def _mean(self, values: list[float]) -> MeanInterval:
        by_patient: dict[str, list[float]] = {}
        for at, (entry, value) in enumerate(zip(self.data.validation, values, strict=True)):
            by_patient.setdefault(str(entry.patient_id or f"\0{at}"), []).append(value)
        return mean_interval([fmean(part) for part in by_patient.values()])


def _teacher_dice(path: Path, pool: LabelledPool, device: torch.device) -> list[float]:
    network = load_teacher(path, device=device)
    found: list[float] = []
    for at in range(len(pool)):
        index = torch.tensor([at])
        probability = network(pool.take(index, device))
        found.append(float(mean_dice(probability, pool.take_targets(index, device))))
    return found


def _timed(run: Callable[[StageProgress], Any]) -> float:
    """Return the seconds of an iteration, the first left out."""
    times: list[float] = []
    run(lambda *_: times.append(time.perf_counter()))
    return (times[-1] - times[0]) / (len(times) - 1)
