# SPDX-License-Identifier: Apache-2.0
"""Adapt a bundle to a hospital, a scanner or a convention of labelling, from a few labelled images.

Whether it helps, and how many steps it takes, is found by cross-validation over these few images: no others are needed.
A bundle that does not get better on images that it did not learn is not written.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from monai_semigan.bundle.audit import MAX_CONFIG_BYTES, METADATA
from monai_semigan.bundle.bundle import Bundle, load_network, open_bundle
from monai_semigan.bundle.description import AdaptedFrom, read_metadata
from monai_semigan.devices import choose_device
from monai_semigan.errors import BundleError
from monai_semigan.files import read_json
from monai_semigan.io.datalist import Datalist, Entry, load_datalist
from monai_semigan.networks.checkpoint_file import file_digest
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.calibration_fit import moved_calibration
from monai_semigan.segmentation.ood import OodReference
from monai_semigan.training.pool import LabelledPool
from monai_semigan.types import PathLike, StageProgress
from monai_semigan.workflows.adapt_checks import check_labels, count_copies
from monai_semigan.workflows.adapt_data import read_adaptation_data
from monai_semigan.workflows.adapt_result import AdaptOptions, AdaptResult, StepScore
from monai_semigan.workflows.adapt_validation import Adaptation
from monai_semigan.workflows.adapted_card import write_card
from monai_semigan.workflows.calibration_learning import LearnedExpectation, calibrated, describe_calibrations
from monai_semigan.workflows.limits import (
    ENOUGH_CASES,
    Limits,
    ScoredCase,
    describe_limits,
    limits_of,
    store_monai_steps,
)
from monai_semigan.workflows.packing import FIRST_VERSION, check_target, forget, name_of, write_bundle
from monai_semigan.workflows.scoring import EncoderScores, score_encoder
from monai_semigan.workflows.training_data import labelled_pool
from monai_semigan.workflows.trust_storing import store_trust

__all__ = ["AdaptOptions", "AdaptResult", "StepScore", "adapt"]


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
        datalist: JSON data list; its labelled entries are learned, 1 to 50 are meant, more are taken. The unlabelled
            ones, at most `MOST_UNLABELLED` of them, say what images of the place look like. Others are not looked at.
        options: What is asked for.
        progress: Called with the stage (``cross-validation``, ``adaptation``), the steps done and their number.

    Returns:
        Scores before and after, on images that were not learned, and what was written.

    Raises:
        BundleError: The bundle cannot be used, or ``output`` holds one already.
        ConfigError: The list has no labelled image.
        InputError: The list or an image cannot be used; labels contradict each other or lack a class; or most images
            are unlike those that the bundle was made for.
        TrainingError: The adapted bundle is not better on images that were not learned; nothing is written.
        OutputError: ``output`` is a folder with something else, or cannot be written; nothing of it is left.
    """
    options, started = options or AdaptOptions(), time.perf_counter()
    source, data = open_bundle(bundle), load_datalist(datalist, warn=False)
    check_target(output, overwrite=options.overwrite)
    network = load_network(source, device=choose_device(options.device))
    images = read_adaptation_data(data, source)
    pool = images.labelled
    warnings = check_labels(pool, source)
    if copies := count_copies(pool):
        warnings.append(f"{copies} images are copies of others: all of an image count as one patient's.")
    if _learned_before(source, data):
        warnings.append(f"{source.name} learned these images before, so no score here is of images not learned.")
    work = Adaptation(source, network, images, options, progress)
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
        num_unlabelled=0 if images.unlabelled is None else len(images.unlabelled),
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


def _learned_before(source: Bundle, data: Datalist) -> bool:
    path = source.root / METADATA
    learned = read_metadata(read_json(path, MAX_CONFIG_BYTES, error=BundleError), path).semigan.adapted_from
    return learned is not None and learned.data_digest == data.digest()


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
    classes = source.network.num_classes  # masks of two show the organ in any value, such as 255
    data = Datalist(path=folder, labelled=entries, unlabelled=(), validation=(), test={}, is_binary=classes == 2)
    return labelled_pool(data, entries, source.preset, classes) if entries else None


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
        limits: dict[str, Limits] = {}
        if held_out is not None:
            calibration = moved_calibration(source.chains[modality].calibration, held_out.expected_dice, held_out.dice)
            packed = calibrated(packed, {modality: LearnedExpectation(calibration)})
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

        def describe_trust(metadata: dict[str, Any]) -> None:
            describe_calibrations(metadata, packed)
            describe_limits(metadata, packed, 0, limits)

        store_trust(folder, references, describe_trust)
        store_monai_steps(packed, 0, limits)
        write_card(folder, packed, source, result)

    write_bundle(result.bundle, source, network, describe, write_texts)
