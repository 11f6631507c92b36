# SPDX-License-Identifier: Apache-2.0
"""Adapt a bundle to a hospital, a scanner or a convention of labelling, from a few labelled images.

Whether it helps, and how many steps it takes, is found by cross-validation over these few images: no others are needed.
A bundle that does not get better on images that it did not learn is not written.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from monai_semigan.bundle.audit import MAX_CONFIG_BYTES
from monai_semigan.bundle.bundle import Bundle, load_network, open_bundle
from monai_semigan.bundle.description import AdaptedFrom, LongString, read_metadata
from monai_semigan.bundle.ood_file import read_references
from monai_semigan.devices import choose_device
from monai_semigan.errors import BundleError, InputError, TrainingError
from monai_semigan.evaluation.small_sample import MeanInterval, mean_interval, patient_means
from monai_semigan.files import read_json
from monai_semigan.io.datalist import Datalist, Entry, load_datalist
from monai_semigan.networks.checkpoint import file_digest
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.calibration_fit import moved_calibration
from monai_semigan.segmentation.ood import OodReference
from monai_semigan.segmentation.ood_fit import score_images, with_site
from monai_semigan.settings import Range, check_settings, to_json
from monai_semigan.training.adaptation import AdaptationSettings, EncoderAdaptation
from monai_semigan.training.pool import LabelledPool
from monai_semigan.types import PathLike, StageProgress
from monai_semigan.workflows.adapt_checks import check_labels, count_copies, patients_of, shared_out
from monai_semigan.workflows.adapted_card import write_card
from monai_semigan.workflows.calibration_learning import calibrated, store_calibrations
from monai_semigan.workflows.limits import ENOUGH_CASES, ScoredCase, limits_of, store_limits
from monai_semigan.workflows.ood_learning import store_references
from monai_semigan.workflows.packing import FIRST_VERSION, check_target, forget, name_of, write_bundle
from monai_semigan.workflows.scoring import EncoderScores, score_encoder
from monai_semigan.workflows.training_data import labelled_pool, training_preset

__all__ = ["AdaptOptions", "AdaptResult", "StepScore", "adapt"]

STEP_COUNTS = (10, 20, 40, 80, 120, 200, 400)
"""Numbers of steps that are compared, up to ``max_steps``."""

TOLERANCE = 0.005
"""Dice below the best up to which the most steps are taken: a handful of images cannot tell less apart, and on others
more steps were nearly always better."""

BLIND_STEPS = 20
"""Where nothing can be held out; many more steps learn a single image by heart (measured on children's X-rays)."""

MAX_UNLIKE_SHARE = 0.5
"""Of the images that may be unlike those that the bundle was made for: another hospital is, another body part too."""


@dataclass(frozen=True, kw_only=True)
class AdaptOptions:
    """What a user may ask of `adapt`.

    Attributes:
        max_steps: Most steps of the adaptation; fewer are taken where cross-validation says so.
        folds: Parts of the cross-validation: as many adaptations, each scored on images it did not see.
        accept_unlike: Adapt also to images that the bundle does not know, such as another body part.
        name: Of the new bundle; None for the folder's.
        version: Of the new bundle; None for 0.1.0.
        overwrite: Replace a bundle that lies at the output.
        device: ``auto``, ``cpu`` or ``cuda``.
        seed: Of everything random.
        training: How the encoder learns.
    """

    max_steps: Annotated[int, Range(1, 100_000)] = 120
    folds: Annotated[int, Range(2, 100)] = 3
    accept_unlike: bool = False
    name: LongString | None = None
    version: LongString | None = None
    overwrite: bool = False
    device: str = "auto"
    seed: Annotated[int, Range(0, 2**31)] = 0
    training: AdaptationSettings = field(default_factory=AdaptationSettings)

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def step_counts(self) -> tuple[int, ...]:
        """Numbers of steps that are compared; the last is ``max_steps``."""
        return (*(count for count in STEP_COUNTS if count < self.max_steps), self.max_steps)


@dataclass(frozen=True)
class StepScore:
    """What one number of steps gives on images that were not learned.

    Attributes:
        steps: The number; 0 is the bundle as it was.
        dice: Mean over patients, with its interval.
    """

    steps: int
    dice: MeanInterval


@dataclass(frozen=True, kw_only=True)
class AdaptResult:
    """What `adapt` did.

    Attributes:
        bundle: Folder of the new bundle.
        adapted_from: Name, version and digest of the bundle before.
        num_images: Labelled images.
        num_patients: Their patients.
        steps: Steps taken.
        rows: Scores on images that were not learned, by number of steps; empty where nothing could be held out.
        gain: Dice after less Dice before, of the same images; None likewise.
        area_ratio: How large the new labels are compared with what the bundle drew before, by class.
        old_before: Dice of the bundle before on the labelled samples that it ships; None if it ships none.
        old_after: Dice of the new bundle on the same.
        seconds: Wall time.
        warnings: What a user should know.
    """

    bundle: Path
    adapted_from: AdaptedFrom
    num_images: int
    num_patients: int
    steps: int
    rows: tuple[StepScore, ...]
    gain: MeanInterval | None
    area_ratio: Mapping[str, float | None]
    old_before: float | None
    old_after: float | None
    seconds: float
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain types."""
        content: dict[str, Any] = to_json(self)
        return content


def adapt(
    output: PathLike,
    *,
    bundle: PathLike,
    datalist: PathLike,
    options: AdaptOptions | None = None,
    progress: StageProgress | None = None,
) -> AdaptResult:
    """Adapt a bundle to the labelled images of a data list.

    Args:
        output: The new bundle's folder.
        bundle: Shipped name or folder.
        datalist: JSON data list; its labelled entries are learned, others are not looked at. 1 to 50 are meant; more
            are taken.
        options: What is asked for.
        progress: Called with the stage (``cross-validation``, ``adaptation``), the steps done and their number.

    Returns:
        Scores before and after, on images that were not learned, and what was written.

    Raises:
        BundleError: The bundle cannot be used, or ``output`` holds one already.
        InputError: The list or an image cannot be used; labels contradict each other or lack a class; or most images
            are unlike those that the bundle was made for.
        TrainingError: The adapted bundle is not better on images that were not learned; nothing is written.
        OutputError: ``output`` is a folder with something else, or cannot be written; nothing of it is left.
    """
    options, started = options or AdaptOptions(), time.perf_counter()
    source, data = open_bundle(bundle), load_datalist(datalist, warn=False)
    check_target(output, overwrite=options.overwrite)
    network = load_network(source, device=choose_device(options.device))
    pool = labelled_pool(data, data.labelled, training_preset(source), source.network.num_classes)
    warnings = check_labels(pool, source)
    patients = patients_of(data.labelled, pool)
    if copies := count_copies(pool):
        warnings.append(f"{copies} images are copies of others: all of an image count as one patient's.")
    path = source.root / "configs" / "metadata.json"
    learned = read_metadata(read_json(path, MAX_CONFIG_BYTES, error=BundleError), path).semigan.adapted_from
    if learned is not None and learned.data_digest == data.digest():
        warnings.append(f"{source.name} learned these images before, so no score here is of images not learned.")
    work = _Adaptation(source, network, pool, patients, options, progress)
    warnings += work.check_likeness()
    rows, gain, held_out, steps = work.cross_validate()
    if not rows:
        warnings.append(
            "One patient: nothing could be held out, so nothing says whether the new bundle is better. Label images of "
            "more patients."
        )
    elif work.num_patients < ENOUGH_CASES:
        warnings.append(
            f"{work.num_patients} patients give no percentile: the limits of trust say little below {ENOUGH_CASES}."
        )
    adapted = work.finish(steps)
    origin = AdaptedFrom(
        name=source.name,
        version=source.version,
        digest=source.digest,
        num_labelled=len(pool),
        steps=steps,
        data_digest=data.digest(),
    )
    old = _own_samples(source, learned=data.labelled)
    result = AdaptResult(
        bundle=Path(output),
        adapted_from=origin,
        num_images=len(pool),
        num_patients=work.num_patients,
        steps=steps,
        rows=rows,
        gain=gain,
        area_ratio=work.area_ratio(),
        old_before=None if old is None else float(score_encoder(network, old).dice.mean()),
        old_after=None if old is None else float(score_encoder(adapted, old).dice.mean()),
        seconds=time.perf_counter() - started,
        warnings=tuple(warnings),
    )
    _write(result, source, adapted, held_out, work.known_images(adapted), options)
    return result


class _Adaptation:
    """The cross-validation and the adaptation that ships."""

    def __init__(
        self,
        source: Bundle,
        network: SemiGanSegmenter,
        pool: LabelledPool,
        patients: Sequence[str],
        options: AdaptOptions,
        progress: StageProgress | None,
    ) -> None:
        self.source, self.network, self.pool, self.options, self.progress = source, network, pool, options, progress
        self.patients, self.num_patients = patients, len(set(patients))
        self.modality, self.chain = next(iter(source.chains.items()))
        self.references = read_references(source, network)
        self.before = score_encoder(network, pool, local=self.chain.inversion.is_blind_to_contrast)

    def check_likeness(self) -> list[str]:
        """Refuse images that the bundle does not know; return a warning where only some are so."""
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
            return (), None, None, min(BLIND_STEPS, counts[-1])
        folds = shared_out(self.patients, min(self.options.folds, self.num_patients), self.options.seed)
        found = {count: self.before.blank() for count in counts}
        done, total = 0, counts[-1] * len(folds)
        for number, held in enumerate(folds):
            learned = [at for at in range(len(self.pool)) if at not in held]
            training = self._start(learned, seed=self.options.seed + 1 + number)
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
        training = self._start(list(range(len(self.pool))), seed=self.options.seed)
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

    def _start(self, indices: Sequence[int], *, seed: int) -> EncoderAdaptation:
        return EncoderAdaptation(self.network, self.pool.subset(indices), self.options.training, seed=seed)

    def _mean(self, values: np.ndarray) -> MeanInterval:
        return mean_interval(patient_means(values.tolist(), self.patients))

    def _report(self, stage: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(stage, done, total)


def _own_samples(source: Bundle, *, learned: Sequence[Entry]) -> LabelledPool | None:
    """The images with masks that a bundle for images ships, if it does, without those that are learned."""
    folder = source.root / "samples"
    if source.takes_volumes or not all((folder / part).is_dir() for part in ("images", "masks")):
        return None
    masks = {path.stem: path for path in sorted((folder / "masks").iterdir())}
    known = {file_digest(entry.image) for entry in learned}
    entries = tuple(
        Entry(image=path, label=masks[path.stem])
        for path in sorted((folder / "images").iterdir())
        if path.stem in masks and file_digest(path) not in known
    )
    data = Datalist(path=folder, labelled=entries, unlabelled=(), validation=(), test={}, is_binary=True)
    return labelled_pool(data, entries, source.preset, source.network.num_classes) if entries else None


def _write(
    result: AdaptResult,
    source: Bundle,
    network: SemiGanSegmenter,
    held_out: EncoderScores | None,
    references: Mapping[str, OodReference],
    options: AdaptOptions,
) -> None:
    """Write the bundle with its limits and its card."""
    modality = next(iter(source.chains))

    def describe(metadata: dict[str, Any], *, is_new: bool) -> None:
        assert is_new, "a step changes the weights"
        block = metadata["semigan"]
        error_limits = block["max_image_error"]
        forget(metadata)
        block["max_image_error"] = error_limits
        block["adapted_from"] = asdict(result.adapted_from)
        if source.num_labels is not None:
            block["num_labels"] = source.num_labels + result.num_images
        for inversion in block["inversion"].values() if source.takes_volumes else [block["inversion"]]:
            inversion["steps"] = 0  # what was cross-validated is the encoder alone
        metadata["name"] = options.name if options.name is not None else name_of(result.bundle)
        metadata["version"] = options.version if options.version is not None else FIRST_VERSION
        metadata["changelog"] = {metadata["version"]: f"adapted from {source.name} {source.version}"}

    def write_texts(folder: Path, packed: Bundle) -> None:
        if held_out is not None:
            calibration = moved_calibration(source.chains[modality].calibration, held_out.expected_dice, held_out.dice)
            packed = calibrated(packed, {modality: calibration})
            store_calibrations(folder, packed)
            expected_dice = calibration(held_out.expected_dice)
            cases = [
                ScoredCase(modality, float(dice), None if math.isnan(expected) else float(expected), float(error))
                for dice, expected, error in zip(held_out.dice, expected_dice, held_out.image_error, strict=True)
            ]
            known = source.chains[modality].max_image_error  # what the bundle knew before, it still knows
            limits = {
                name: replace(limit, max_image_error=max(limit.max_image_error, known))
                for name, limit in limits_of(cases).items()
            }
            store_limits(packed, 0, limits)
        if references:
            store_references(folder, references)
        write_card(folder, packed, source, result)

    write_bundle(result.bundle, source, network, describe, write_texts)
