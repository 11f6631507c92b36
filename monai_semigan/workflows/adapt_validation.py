# SPDX-License-Identifier: Apache-2.0
"""Adapt copies of an encoder to parts of a few labelled images, each scored on the others; then one to all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_semigan.bundle.bundle import Bundle
from monai_semigan.bundle.ood_file import read_references
from monai_semigan.errors import InputError, TrainingError
from monai_semigan.evaluation.small_sample import MeanInterval, mean_interval, patient_means
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.ood import OodReference
from monai_semigan.segmentation.ood_fit import score_images, with_site
from monai_semigan.training.adaptation import EncoderAdaptation
from monai_semigan.types import StageProgress
from monai_semigan.workflows.adapt_checks import shared_out
from monai_semigan.workflows.adapt_data import AdaptationData
from monai_semigan.workflows.adapt_result import AdaptOptions, StepScore
from monai_semigan.workflows.scoring import EncoderScores, score_encoder

__all__ = ["Adaptation"]

TOLERANCE = 0.005
"""Dice below the best up to which the most steps are taken: a handful of images cannot tell less apart, and on others
more steps were nearly always better."""

BLIND_STEPS = 20
"""Where nothing can be held out; many more steps learn a single image by heart (measured on children's X-rays)."""

BLIND_STEPS_WITH_OTHERS = 40
"""Likewise with unlabelled images, which hold that up."""

MAX_UNLIKE_SHARE = 0.5
"""Of the images that may be unlike those that the bundle was made for: another hospital is, another body part too."""


class Adaptation:
    """The cross-validation and the adaptation that ships.

    Args:
        source: The bundle before.
        network: Its own.
        data: What is learned.
        options: What was asked for.
        progress: Called with the stage (``cross-validation``, ``adaptation``), the steps done and their number.

    Attributes:
        before: Scores of the bundle before.
    """

    def __init__(
        self,
        source: Bundle,
        network: SemiGanSegmenter,
        data: AdaptationData,
        options: AdaptOptions,
        progress: StageProgress | None,
    ) -> None:
        self.source, self.network, self.data, self.options, self.progress = source, network, data, options, progress
        self.pool, self.patients, self.num_patients = data.labelled, data.patients, len(set(data.patients))
        self.modality, self.chain = next(iter(source.chains.items()))
        self.references = read_references(source, network)
        self.before = score_encoder(network, self.pool, local=self.chain.inversion.is_blind_to_contrast)

    def check_likeness(self) -> list[str]:
        """Refuse labelled images that the bundle does not know; return a warning where only some are so."""
        reference, limit = self.references.get(self.modality), self.chain.max_image_error
        if reference is None:
            unlike, measure = int((self.before.image_error > limit).sum()), "reconstruction error"
        else:
            limit = self.chain.max_ood
            scores = score_images(reference, self.network, self.pool.images)
            unlike, measure = int((scores > limit).sum()), "out-of-distribution score"
        said = (
            f"{unlike} of {len(self.pool)} images are unlike those that {self.source.name} was made for "
            f"({measure} above {limit:.3g})"
        )
        if unlike > MAX_UNLIKE_SHARE * len(self.pool) and not self.options.accept_unlike:
            raise InputError(f"{said}. Choose a bundle for such images, or pass --accept-unlike.")
        return [f"{said}."] if unlike else []

    def cross_validate(self) -> tuple[tuple[StepScore, ...], MeanInterval | None, EncoderScores | None, int]:
        """Return scores by number of steps, then of the one to take: its gain, its scores image by image, itself.

        Raises:
            TrainingError: None is better than the bundle as it is.
        """
        counts = self.options.step_counts
        if self.num_patients < 2:
            steps = BLIND_STEPS if self.data.unlabelled is None else BLIND_STEPS_WITH_OTHERS
            return (), None, None, min(steps, counts[-1])
        folds = shared_out(self.patients, min(self.options.folds, self.num_patients), self.options.seed)
        found = {count: self.before.blank() for count in counts}
        done, total = 0, counts[-1] * len(folds)
        for number, held in enumerate(folds):
            training = self._start(held, seed=self.options.seed + 1 + number)
            for count in counts:
                training.advance(count - training.steps)
                scores = score_encoder(
                    training.adapted(), self.pool.subset(held), local=self.chain.inversion.is_blind_to_contrast
                )
                found[count].place(held, scores)
                self._report("cross-validation", done + count, total)
            done += counts[-1]
        rows = [StepScore(0, self._mean(self.before.dice))]
        rows += [StepScore(count, self._mean(scores.dice)) for count, scores in found.items()]
        best = max(rows, key=lambda row: row.dice.mean)
        if best.steps == 0:
            tried = max(rows[1:], key=lambda row: row.dice.mean)
            raise TrainingError(
                f"The adapted bundle must be better on images that it did not learn, but their Dice is "
                f"{tried.dice.mean:.3f} at best and was {best.dice.mean:.3f} before: nothing was written. The bundle "
                "fits these labels as it is; else check the labels, or label more images."
            )
        steps = max(
            row.steps for row in rows[1:] if row.dice.mean >= max(best.dice.mean - TOLERANCE, rows[0].dice.mean)
        )
        return tuple(rows), self._mean(found[steps].dice - self.before.dice), found[steps], steps

    def finish(self, steps: int) -> SemiGanSegmenter:
        """Adapt to all images."""
        training = self._start([], seed=self.options.seed)
        for done in range(steps):
            training.advance(1)
            self._report("adaptation", done + 1, steps)
        return training.adapted()

    def known_images(self, adapted: SemiGanSegmenter) -> dict[str, OodReference]:
        """Return what the adapted bundle knows: the images before, and these."""
        known = dict(self.references)
        if self.modality in known:
            known[self.modality] = with_site(known[self.modality], adapted, self.pool.images)
        return known

    def area_ratio(self) -> dict[str, float | None]:
        """How large the labels are compared with what was drawn before, by class."""
        wanted = self.pool.targets.float().argmax(dim=1)
        return {
            name: round(float((wanted == at).sum() / drawn), 3) if (drawn := self.before.class_areas[at]) else None
            for at, name in enumerate(self.source.class_names)
            if at
        }

    def _start(self, held_out: Sequence[int], *, seed: int) -> EncoderAdaptation:
        """Start from the bundle before; nothing of the patients of images that are held out is seen."""
        return EncoderAdaptation(
            self.network,
            self.pool.subset([at for at in range(len(self.pool)) if at not in held_out]),
            self.options.training,
            unlabelled=self.data.unlabelled_without(held_out),
            seed=seed,
        )

    def _mean(self, values: np.ndarray) -> MeanInterval:
        return mean_interval(patient_means(values.tolist(), self.patients))

    def _report(self, stage: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(stage, done, total)
