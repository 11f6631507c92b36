# SPDX-License-Identifier: Apache-2.0
"""Our own method in a comparison: what `fit` trains, within the budget of all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from monai_semigan.atomic import scratch_folder
from monai_semigan.baselines.budget import Budget, Stopwatch
from monai_semigan.bundle.bundle import Bundle, load_network, open_bundle
from monai_semigan.devices import choose_device
from monai_semigan.io.datalist import Datalist
from monai_semigan.latent.inversion import Inversion
from monai_semigan.losses.perceptual import FeatureDistance
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.fusion import LabelFusion
from monai_semigan.types import StageProgress
from monai_semigan.workflows.direct_share import store_share, with_best_share
from monai_semigan.workflows.fit_checks import DataFacts
from monai_semigan.workflows.fit_plan import SHARES, FitPlan, Speeds
from monai_semigan.workflows.fit_stages import FitOptions, FitStages
from monai_semigan.workflows.packing import pack

__all__ = ["JointTraining", "joint_network", "share_out", "train_joint"]

BUNDLE_NAME = "bundle"

NAME = "compared"
"""Of the bundles that are trained."""


@dataclass(frozen=True)
class JointTraining:
    """What a training took.

    Attributes:
        steps: Optimizer steps of all stages.
        seconds: Of training, with what the stages validate and write on the way.
    """

    steps: int
    seconds: float


def train_joint(
    folder: Path,
    source: Bundle,
    row: Datalist,
    num_classes: int,
    *,
    options: FitOptions,
    budget: Budget,
    progress: StageProgress | None = None,
) -> JointTraining:
    """Train teacher, generator (without a bundle to start from) and encoder; leave a bundle in ``folder``.

    Args:
        folder: An existing folder.
        source: Bundle whose settings are used; its weights are started from if ``options.base`` is given.
        row: What is learned.
        num_classes: K, background included.
        options: Of a fit; its budget is not looked at.
        budget: Of all stages together.
        progress: Called with the stage, what is done and its total.

    Raises:
        TrainingError: A training failed.
    """
    with scratch_folder(folder, "training") as scratch:
        watch = Stopwatch(choose_device(options.device))
        spent = _Spent(progress, watch)
        facts = DataFacts(num_classes, (), len(row.unlabelled), ())
        stages = FitStages(scratch, source, row, facts, options, spent, clock=watch.now)
        speeds = None if budget.seconds is None else stages.speeds()
        plan = share_out(
            budget, speeds, most=stages.most, trains_gan=not stages.keeps_generator, batch_size=stages.batch_size
        )
        spent.begin()
        weights = stages.train_network(plan)
        root = pack(folder / BUNDLE_NAME, bundle=stages.skeleton.root, weights=weights, name=NAME)
        _choose_share(root, row, stages.device)
        iterations = (plan.gan_kimg + plan.encoder_kimg) * 1000 / stages.batch_size
    return JointTraining(plan.teacher_steps + round(iterations), spent.seconds)


def _choose_share(root: Path, row: Datalist, device: torch.device) -> None:
    bundle = open_bundle(root)
    _, share = with_best_share(bundle, load_network(bundle, device=device), row)
    if share is not None:
        store_share(root, share)


def share_out(
    budget: Budget, speeds: Speeds | None, *, most: Mapping[str, float], trains_gan: bool, batch_size: int
) -> FitPlan:
    """Share a budget out as a fit does, without what a fit keeps for tuning and for its U-Net.

    Args:
        budget: For all stages.
        speeds: As measured; None for a budget of steps.
        most: See `FitStages.most`.
        trains_gan: Whether a generator is trained.
        batch_size: Images of each kind in a step of GAN and encoder.
    """
    shares = {stage: share for stage, share in SHARES[trains_gan].items() if share and stage != "unet"}
    costs = {"teacher": 1.0, "gan": 1.0, "encoder": 1.0}  # seconds of a step, or steps
    if speeds is not None:
        costs = {
            "teacher": speeds.teacher_step,
            "gan": speeds.gan_image * batch_size,
            "encoder": speeds.encoder_image * batch_size,
        }
    whole = budget.seconds if budget.seconds is not None else float(budget.steps or 1)
    steps = {
        stage: max(round(whole * share / sum(shares.values()) / costs[stage]), 1) for stage, share in shares.items()
    }
    return FitPlan(
        budget_s=whole,
        teacher_steps=min(steps["teacher"], int(most["teacher"])),
        gan_kimg=min(steps.get("gan", 0) * batch_size / 1000, most["gan"]),
        encoder_kimg=min(steps["encoder"] * batch_size / 1000, most["encoder"]),
        unet_steps=1,
    )


def joint_network(folder: Path, device: torch.device, *, optimizes: bool) -> Callable[[Tensor], Tensor]:
    """Load what `train_joint` left: images ``(N, C, S, S)`` to label logits ``(N, K, S, S)``.

    Args:
        folder: As there.
        device: Where.
        optimizes: Whether the embedding is optimized at test time, with the bundle's number of steps.

    Raises:
        BundleError: The bundle is not whole.
    """
    bundle = open_bundle(folder / BUNDLE_NAME)
    network = load_network(bundle, device=device)
    settings = bundle.inversion
    if not optimizes or settings.steps == 0:
        return torch.no_grad()(network.forward)
    inversion = Inversion(network.generator, network.encoder, FeatureDistance(network.d_image.features), settings)
    return lambda image: _refined(network, inversion, image)


@torch.no_grad()
def _refined(network: SemiGanSegmenter, inversion: Inversion, image: Tensor) -> Tensor:
    found = inversion(image)
    refined, encoded = (network.generator.synthesis(part)[1] for part in (found.embedding, found.encoded))
    return LabelFusion(inversion.settings.encoder_share)(refined, encoded).label_logits


class _Spent:
    """Hand progress on, and sum up the seconds from call to call within the stages: reading and packing count not."""

    def __init__(self, progress: StageProgress | None, watch: Stopwatch) -> None:
        self.progress, self.watch = progress, watch
        self.seconds, self._stage, self._last, self._first = 0.0, "", 0.0, True

    def begin(self) -> None:
        """Count from here on: the measuring of speeds is no training."""
        self.seconds, self._stage = 0.0, ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = self.watch.now()
        if stage == self._stage:
            self.seconds += (now - self._last) * (2 if self._first else 1)  # the first step began before its first call
        self._first, self._stage, self._last = stage != self._stage, stage, now
        if self.progress is not None:
            self.progress(stage, done, total)
