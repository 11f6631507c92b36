# SPDX-License-Identifier: Apache-2.0
"""What may be asked of an adaptation, and what it says when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from monai_semigan.bundle.description import AdaptedFrom, LongString
from monai_semigan.evaluation.small_sample import MeanInterval
from monai_semigan.settings import Range, check_settings, to_json
from monai_semigan.training.adaptation import AdaptationSettings

__all__ = ["AdaptOptions", "AdaptResult", "StepScore"]

STEP_COUNTS = (10, 20, 40, 80, 120, 200, 400)
"""Numbers of steps that are compared, up to ``max_steps``."""


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
        num_unlabelled: Images without labels that taught, too.
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
    num_unlabelled: int
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
