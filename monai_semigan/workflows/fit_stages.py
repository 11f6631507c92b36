# SPDX-License-Identifier: Apache-2.0
"""The stages of a fit: a plan, then teacher, generator and encoder, and the plain U-Net that they are compared with."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch

from monai_semigan.atomic import replacing, scratch_folder
from monai_semigan.baselines.frame import FrameSettings
from monai_semigan.bundle.audit import MAX_CONFIG_BYTES
from monai_semigan.bundle.bundle import Bundle, open_bundle
from monai_semigan.bundle.description import LongString
from monai_semigan.bundles import list_bundles
from monai_semigan.errors import BundleError, ConfigError, InputError, TrainingError
from monai_semigan.files import make_folder, read_json, write_json
from monai_semigan.io.datalist import Datalist
from monai_semigan.settings import Range, check_settings, read_settings, to_json
from monai_semigan.training.encoder_task import BEST_NAME
from monai_semigan.training.settings import EncoderTraining, GanTraining
from monai_semigan.training.teacher import BASIC_UNET_FEATURES, TEACHER_NAME, TeacherSettings
from monai_semigan.training.teacher_training import train_teacher
from monai_semigan.types import StageProgress
from monai_semigan.workflows.fit_checks import DataFacts
from monai_semigan.workflows.fit_folder import (
    DATA_NAME,
    begin,
    check_same,
    listed,
    own_list,
    skeleton,
    started_with_another,
)
from monai_semigan.workflows.fit_plan import FitPlan, Speeds, make_plan
from monai_semigan.workflows.train import encoder_trainer, gan_trainer, training_device
from monai_semigan.workflows.training_data import image_pool, labelled_pool, training_preset
from monai_semigan.workflows.training_files import bundle_training

__all__ = ["UNET_NAME", "FitOptions", "FitStages", "source_bundle"]

UNET_NAME = "unet.pt"
PLAN_NAME = "plan.json"

TIMED_IMAGES = 8
TIMED_ITERATIONS = 4
"""Of which the first warms up."""

LONGEST_PERIOD = 16
"""Iterations of the GAN that are timed at most, so that R1 and path length, which come every few, have their share."""

BATCH = {"cpu": 8, "cuda": 16}

USUAL = FrameSettings()

PLAIN_UNET = TeacherSettings(
    network="basic_unet",
    features=BASIC_UNET_FEATURES,
    steps=2000,
    batch_size=USUAL.batch_size,
    learning_rate=USUAL.learning_rate,
    warp=USUAL.warp,
    perturb=USUAL.perturb,
)
"""What is compared with: a MONAI `BasicUNet` with the baselines' usual augmentation, trained on the labelled images
alone."""


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


def source_bundle(base: str | None, domain: str | None) -> Bundle:
    """Open the bundle for images whose settings are used: the one to start from, or the shipped one of a domain.

    Raises:
        BundleError: The bundle to start from cannot be used, or has no weights.
        ConfigError: It is for volumes, or there is none of the domain.
    """
    if base is not None:
        source = open_bundle(base)
    else:
        by_domain = {open_bundle(name).domain.name: name for name in list_bundles()}
        if domain is None or domain not in by_domain:
            raise ConfigError(
                f"`domain` must be one of {', '.join(by_domain)} without a bundle to start from (--base), got {domain}."
            )
        source = open_bundle(by_domain[domain])
    if source.takes_volumes:
        raise ConfigError(
            "`base` must be a bundle for images, got one for volumes: train it step by step, see docs/training.md."
        )
    if base is not None and source.weights_file is None:
        raise BundleError(f"`{source.name}` must have weights to start from. Choose another --base.")
    return source


class FitStages:
    """The stages; each is left out if its file is there.

    Args:
        run: Folder of what is trained.
        source: Bundle whose settings are used, and whose weights are started from if ``options.base`` is given.
        data: What is learned.
        facts: Of the data.
        options: What is asked for.
        progress: Called with the stage, what is done and its total.
        clock: Tells seconds, which a budget is shared out by; None for those of the clock on the wall.
    """

    def __init__(
        self,
        run: Path,
        source: Bundle,
        data: Datalist,
        facts: DataFacts,
        options: FitOptions,
        progress: StageProgress | None,
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.run, self.source, self.facts, self.options, self.progress = run, source, facts, options, progress
        self.device = training_device(options.device)
        self.clock = clock or wall_clock(self.device)
        self.keeps_generator = options.base is not None and facts.num_classes == source.network.num_classes
        asked = {
            "base": None if options.base is None else source.digest,
            "domain": source.domain.name,
            "seed": options.seed,
            "device": self.device.type,  # decides on the images of a batch
        }
        if (run / PLAN_NAME).exists():
            check_same(run, asked)
        else:
            begin(run, asked)
        self.batch_size = BATCH[self.device.type]
        self.data = own_list(run, data)
        self.skeleton = skeleton(run, source, self.data, facts.num_classes)
        root = str(self.skeleton.root)
        self.gan = bundle_training(GanTraining, root, "train.json")
        self.encoder = bundle_training(EncoderTraining, root, "train_encoder.json")
        preset, count = training_preset(self.skeleton), facts.num_classes
        self.labelled = labelled_pool(self.data, self.data.labelled, preset, count, self.gan.symmetries)
        self.validation = labelled_pool(self.data, self.data.validation, preset, count)

    # The plan

    def plan(self, budget_s: float) -> FitPlan:
        """Return the plan of the call before, or measure and make one.

        Raises:
            ConfigError: The call before had another budget, or this one is too small.
        """
        path = self.run / PLAN_NAME
        if path.exists():
            before = read_settings(FitPlan, read_json(path, MAX_CONFIG_BYTES, error=InputError), PLAN_NAME)
            if before.budget_s != budget_s:
                raise started_with_another(self.run, "budget")
            return before
        image_pool(self.data.unlabelled, training_preset(self.skeleton))  # a bad file is found before hours of training
        most = self.most | {"unet": float(PLAIN_UNET.steps)}
        found = make_plan(budget_s, self.speeds(), most=most, trains_gan=not self.keeps_generator)
        write_json(path, to_json(found))
        return found

    @property
    def most(self) -> dict[str, float]:
        """The longest that the settings ask for: steps of the teacher, thousands of images of GAN and encoder."""
        return {
            "teacher": float(self._teacher.steps),
            "gan": self.gan.run.total_kimg,
            "encoder": self.encoder.run.total_kimg,
        }

    @property
    def _teacher(self) -> TeacherSettings:
        return (self.gan.teacher or TeacherSettings()).as_direct_route(self.skeleton.network)

    def speeds(self) -> Speeds:
        """Time a few iterations of each stage, as they will run, on a few of the images."""
        with scratch_folder(self.run, "timing") as folder:
            few = self.data.labelled[:TIMED_IMAGES]
            lists = {"labelled": few, "unlabelled": self.data.unlabelled[:TIMED_IMAGES]}
            content = {name: [listed(entry) for entry in entries] for name, entries in lists.items()}
            content["validation"] = [listed(self.data.validation[0])]
            kind = "binary" if self.data.is_binary else "classes"
            path = folder / DATA_NAME
            write_json(path, {"schema": "semigan-datalist-1", "label_values": kind, **content})
            teacher = self._timed_step(self._teacher, folder / TEACHER_NAME)
            unet = self._timed_step(PLAIN_UNET, folder / UNET_NAME)
            settings = self._timed_run(TIMED_ITERATIONS)
            gan = 0.0
            if not self.keeps_generator:
                period = max(self.gan.gan.r1_interval, self.gan.gan.path_length_interval)
                run = self._timed_run(min(period, LONGEST_PERIOD) + 1)
                gan = _timed(self._gan(folder, self._teacher, run, datalist=path), self.clock)
            config = {**to_json(self.encoder), "teacher": str(folder / TEACHER_NAME), "run": settings}
            places = {
                "datalist": path,
                "gan_run": None if self.keeps_generator else folder / "gan",
                "start": self._start,
            }
            encoder = _timed(self._trainer(encoder_trainer, folder / "encoder", config, **places), self.clock)
        return Speeds(teacher, unet, encoder / self.batch_size, gan / self.batch_size)

    def _timed_step(self, learner: TeacherSettings, path: Path) -> float:
        few = self.labelled.subset(range(min(TIMED_IMAGES, len(self.labelled))))
        learner = replace(learner, steps=TIMED_ITERATIONS)
        return _timed(
            lambda tick: train_teacher(few, learner, device=self.device, path=path, progress=tick), self.clock
        )

    # The stages

    @property
    def _start(self) -> Path | None:
        return self.source.weights_file if self.options.base is not None else None

    def _run(self, total_kimg: float) -> dict[str, Any]:
        tick = max(total_kimg / 16, self.batch_size / 1000)
        return {"total_kimg": total_kimg, "batch_size": self.batch_size, "tick_kimg": tick, "seed": self.options.seed}

    def _timed_run(self, iterations: int) -> dict[str, Any]:
        """Return the settings of a run whose only tick is at its end, where it is not timed."""
        total_kimg = iterations * self.batch_size / 1000
        return {**self._run(total_kimg), "tick_kimg": total_kimg}

    def _gan(
        self, folder: Path, teacher: TeacherSettings, run: Mapping[str, Any], *, datalist: Path | None
    ) -> Callable[[StageProgress | None], Any]:
        """Return the training of the GAN in a folder where its teacher lies."""
        gan_run = make_folder(folder / "gan")
        if not (gan_run / TEACHER_NAME).exists():
            with replacing(gan_run / TEACHER_NAME) as copy:
                shutil.copy(folder / TEACHER_NAME, copy)
        config = {**to_json(self.gan), "teacher": to_json(teacher), "run": run}
        return self._trainer(gan_trainer, gan_run, config, datalist=datalist, start=self._start)

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
        self.train_network(plan)
        self._learn(self.run / UNET_NAME, replace(PLAIN_UNET, steps=plan.unet_steps), "plain U-Net")

    def train_network(self, plan: FitPlan) -> Path:
        """Run what is not done yet of all but the plain U-Net; return the network's weights, which `pack` takes.

        Raises:
            TrainingError: They are not there.
        """
        teacher = self.run / TEACHER_NAME
        settings = replace(self._teacher, steps=plan.teacher_steps)
        self._learn(teacher, settings, "teacher")
        gan_run = None
        if plan.gan_kimg:
            gan_run = self.run / "gan"
            self._gan(self.run, settings, self._run(plan.gan_kimg), datalist=self.data.path)(self.progress)
        config = {**to_json(self.encoder), "teacher": str(teacher), "run": self._run(plan.encoder_kimg)}
        places = {"datalist": self.data.path, "gan_run": gan_run, "start": self._start}
        self._trainer(encoder_trainer, self.run / "encoder", config, **places)(self.progress)
        return self.weights

    @property
    def weights(self) -> Path:
        """The trained network, which `pack` takes.

        Raises:
            TrainingError: It is not there.
        """
        best = self.run / "encoder" / BEST_NAME
        if not best.exists():
            raise TrainingError(f"`{best}` must hold the encoder, but is missing. Delete `{best.parent}`, then repeat.")
        return best

    def _learn(self, path: Path, settings: TeacherSettings, stage: str) -> None:
        if path.exists():
            return
        report = self.progress
        unlabelled = None
        if settings.consistency is not None:
            unlabelled = image_pool(self.data.unlabelled, training_preset(self.skeleton), self.gan.symmetries)
        train_teacher(
            self.labelled,
            settings,
            unlabelled=unlabelled,
            device=self.device,
            seed=self.options.seed,
            path=path,
            progress=None if report is None else lambda _, done, total: report(stage, done, total),
        )


def wall_clock(device: torch.device) -> Callable[[], float]:
    """Return a clock that waits for what a GPU was told to do."""

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return now


def _timed(run: Callable[[StageProgress], Any], clock: Callable[[], float]) -> float:
    """Return the seconds of an iteration, the first left out."""
    times: list[float] = []
    run(lambda *_: times.append(clock()))
    return (times[-1] - times[0]) / (len(times) - 1)
