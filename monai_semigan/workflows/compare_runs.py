# SPDX-License-Identifier: Apache-2.0
"""The trainings of a comparison, each in a folder that appears when it is done, and their scores beside them."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monai_semigan.atomic import replacing_folder
from monai_semigan.baselines.budget import Budget
from monai_semigan.baselines.frame import Sizes, train_baseline
from monai_semigan.baselines.methods import BASELINES, BaselineSettings, baseline, build_network
from monai_semigan.bundle.audit import MAX_CONFIG_BYTES
from monai_semigan.bundle.bundle import Bundle
from monai_semigan.errors import CheckpointError, InputError
from monai_semigan.files import read_json, write_json
from monai_semigan.io.datalist import MAX_BYTES, Datalist
from monai_semigan.io.label_subset import label_order
from monai_semigan.networks.checkpoint import build_with_weights
from monai_semigan.networks.checkpoint_file import named_weights, read_checkpoint
from monai_semigan.report.comparison_record import VALIDATION, RunRecord, ScoreRecord
from monai_semigan.settings import read_settings, to_json
from monai_semigan.training.snapshot import write_tensors
from monai_semigan.types import Progress, StageProgress
from monai_semigan.workflows.compare_data import ComparisonData
from monai_semigan.workflows.compare_joint import joint_network, train_joint
from monai_semigan.workflows.compare_scoring import score_set
from monai_semigan.workflows.fit_stages import FitOptions

__all__ = ["JOINT", "METHODS", "SUPERVISED", "ComparisonRuns", "asked_of"]

logger = logging.getLogger(__name__)

JOINT = ("ours", "ours-no")
"""Our method, with test-time optimization and without: one training, scored twice."""

METHODS = (*BASELINES, *JOINT)

SUPERVISED = BASELINES[:2]
"""Those that learn from labelled images alone."""

RUN_NAME = "run.json"
WEIGHTS_NAME = "network.pt"
SCORINGS_NAME = "test_scorings.json"
FORMAT = "semigan-compared-1"
TRAINED_ON = ("labelled", "unlabelled", VALIDATION)
"""Roles of a data list that a training depends on: a test set may be mended or added later."""

REMEDY = "Delete its folder, then repeat: it is trained again"


def asked_of(
    data: Datalist, source: Bundle, *, has_base: bool, budget: Budget, settings: BaselineSettings
) -> dict[str, Any]:
    """Return what all trainings of a folder must have in common, as `check_same` takes it."""
    order = [[entry.image.name for entry in group] for group in label_order(data)]
    return {
        "data list": data.digest(TRAINED_ON),
        "order of labels": hashlib.sha256(repr(order).encode()).hexdigest(),
        "base": source.digest if has_base else None,
        "preparation": source.digest,
        "budget": to_json(budget),
        "settings": to_json(settings),
    }


class ComparisonRuns:
    """Train and score what is not there yet.

    Args:
        folder: Of the comparison.
        images: The data.
        source: The bundle whose preparation is used.
        options: Of a fit: base or domain, and device.
        budget: Of each training.
        settings: Of the baselines.
        device: Where.
    """

    def __init__(
        self,
        folder: Path,
        images: ComparisonData,
        source: Bundle,
        *,
        options: FitOptions,
        budget: Budget,
        settings: BaselineSettings,
        device: torch.device,
    ) -> None:
        self.folder, self.images, self.source, self.options = folder, images, source, options
        self.budget, self.settings, self.device = budget, settings, device

    def place(self, method: str, labels: int, seed: int) -> Path:
        """Return the folder of a training; both kinds of our method share one."""
        return self.folder / f"{JOINT[0] if method in JOINT else method}-{labels}-{seed}"

    def read_what_is_missing(self, wanted: Sequence[tuple[str, int, int]], set_names: Sequence[str]) -> None:
        """Read the files of what is not trained and not scored yet: a bad one is found before hours of training.

        Raises:
            InputError: One cannot be read, or does not fit.
        """
        untrained = [item for item in wanted if not self.place(*item).exists()]
        if untrained:
            uses_unlabelled = any(method not in SUPERVISED for method, _, _ in untrained)
            self.images.learning(max(labels for _, labels, _ in untrained), uses_unlabelled=uses_unlabelled)
        for name in set_names:
            if not all(self._score_path(*item, name).exists() for item in wanted):
                self.images.scored(name)

    def train(self, method: str, labels: int, seed: int, *, progress: StageProgress | None) -> None:
        """Train, if it is not done.

        Raises:
            TrainingError: The training failed; nothing of it is left.
        """
        target = self.place(method, labels, seed)
        if target.exists():
            return
        row = self.images.row(labels)
        with replacing_folder(target) as folder:
            learn = self._learn_joint if method in JOINT else self._learn_baseline
            steps, seconds, dice = learn(folder, method, labels, seed, progress)
            run = RunRecord(
                labels=labels,
                seed=seed,
                num_labelled=len(row.labelled),
                num_unlabelled=len(row.unlabelled),
                steps=steps,
                seconds=round(seconds, 2),
                validation_dice=dice,
            )
            write_json(folder / RUN_NAME, to_json(run))
        logger.info("%s: %d steps in %.0f s, validation Dice %.3f", target.name, steps, seconds, dice)

    def score(self, method: str, labels: int, seed: int, set_name: str) -> ScoreRecord:
        """Score a training on a set, or read its scores.

        Raises:
            CheckpointError: The network's file is damaged.
            InputError: Another file of the folder is.
        """
        folder = self.place(method, labels, seed)
        path = self._score_path(method, labels, seed, set_name)
        if path.exists():
            return read_settings(ScoreRecord, read_json(path, MAX_BYTES, error=InputError), str(path), error=InputError)
        run = read_settings(
            RunRecord, read_json(folder / RUN_NAME, MAX_CONFIG_BYTES, error=InputError), RUN_NAME, error=InputError
        )
        dice, distances = score_set(self._network(method, folder), self.images.scored(set_name), self.device)
        score = ScoreRecord(method=method, set_name=set_name, run=run, dice=tuple(dice), hd95_px=tuple(distances))
        write_json(path, to_json(score))
        return score

    def count_test_scoring(self, wanted: list[tuple[str, int, int]], set_names: list[str]) -> dict[str, int]:
        """Write down that test sets are going to be scored, where any scores are missing; return how often each was.

        It is written before the first score: a call that is killed counts as well.
        """
        path = self.folder / SCORINGS_NAME
        before: list[dict[str, Any]] = read_json(path, MAX_BYTES, error=InputError) if path.exists() else []
        for name in set_names:
            missing = sum(not self._score_path(*item, name).exists() for item in wanted)
            if missing:
                before.append({"set": name, "networks": missing, "time": time.strftime("%Y-%m-%d %H:%M:%S")})
        if before:
            write_json(path, before)
        return {
            name: sum(item["set"] == name for item in before) for name in dict.fromkeys(item["set"] for item in before)
        }

    def _score_path(self, method: str, labels: int, seed: int, set_name: str) -> Path:
        part = set_name
        if set_name != VALIDATION:  # a name may hold what a file name may not, and its files may change
            content = f"{set_name} {self.images.data.digest([set_name])}"
            part = f"test-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
        return self.place(method, labels, seed) / f"{method}.{part}.json"

    def _learn_baseline(
        self, folder: Path, method: str, labels: int, seed: int, progress: StageProgress | None
    ) -> tuple[int, float, float]:
        report: Progress | None = None
        if progress is not None:
            stage = f"{method}, {labels} labels, seed {seed}"
            report = lambda done, total: progress(stage, done, total)  # noqa: E731
        trained = train_baseline(
            baseline(method, self.settings),
            self.images.learning(labels, uses_unlabelled=method not in SUPERVISED),
            self.settings.frame,
            budget=self.budget,
            device=self.device,
            seed=seed,
            progress=report,
        )
        write_tensors(folder / WEIGHTS_NAME, {"format": FORMAT, "weights": trained.network.state_dict()})
        return trained.steps, trained.seconds, trained.dice

    def _learn_joint(
        self, folder: Path, method: str, labels: int, seed: int, progress: StageProgress | None
    ) -> tuple[int, float, float]:
        report: StageProgress | None = None
        if progress is not None:
            report = lambda stage, done, total: progress(f"ours, {labels} labels, seed {seed}: {stage}", done, total)  # noqa: E731
        trained = train_joint(
            folder,
            self.source,
            self.images.row(labels),
            self.images.num_classes,
            options=replace(self.options, seed=seed),
            budget=self.budget,
            progress=report,
        )
        dice, _ = score_set(
            joint_network(folder, self.device, optimizes=False), self.images.scored(VALIDATION), self.device
        )
        return trained.steps, trained.seconds, sum(dice) / len(dice)

    def _network(self, method: str, folder: Path) -> Callable[[Tensor], Tensor]:
        if method in JOINT:
            return joint_network(folder, self.device, optimizes=method == JOINT[0])
        path = folder / WEIGHTS_NAME
        content = read_checkpoint(path, remedy=f"{REMEDY}.")
        if content.get("format") != FORMAT:
            raise CheckpointError(f"`{path}` must have the format {FORMAT}. {REMEDY}.")
        weights = named_weights(content.get("weights"), source=path, name="weights")
        _, channels, side, _ = self.images.scored(VALIDATION).pool.images.shape
        sizes = Sizes(channels, self.images.num_classes, side)
        network = build_with_weights(lambda: build_network(method, self.settings, sizes), weights, source=path)
        return torch.no_grad()(network.eval().to(self.device).forward)
