# SPDX-License-Identifier: Apache-2.0
"""What ``compare.json`` holds: methods against each other, by number of labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from monai_semigan.settings import Range, check_settings

__all__ = [
    "COMPARISON_SCHEMA",
    "VALIDATION",
    "BaseRecord",
    "ComparisonRecord",
    "RunRecord",
    "ScoreRecord",
    "SummaryRecord",
]

COMPARISON_SCHEMA: Final = "semigan-comparison-1"

VALIDATION = "validation"
"""The set that chose the checkpoints; test sets have the data list's names behind ``test:``."""

Count = Annotated[int, Range(0)]
Share = Annotated[float, Range(0, 1)]


@dataclass(frozen=True, kw_only=True)
class BaseRecord:
    """The bundle that our method started from.

    Attributes:
        name: Of the bundle.
        version: Of it.
        digest: SHA-256 over its description and weights.
        num_labels: Labels that it was trained with, as the user said; null if not said.
    """

    name: str
    version: str
    digest: str
    num_labels: Annotated[int, Range(1)] | None = None


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One training.

    Attributes:
        labels: What was asked for: patients where the data list has ranks, images where it has none.
        num_labelled: Labelled images.
        num_unlabelled: Unlabelled images that it could learn from.
        steps: Optimizer steps; of our method of all its stages.
        seconds: Of training: of the processor on a CPU, of the clock on a GPU.
        validation_dice: Of the kept checkpoint, mean over images.
    """

    labels: Annotated[int, Range(1)]
    seed: Count
    num_labelled: Annotated[int, Range(1)]
    num_unlabelled: Count
    steps: Annotated[int, Range(1)]
    seconds: Annotated[float, Range(0)]
    validation_dice: Share

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class ScoreRecord:
    """One trained method on one set.

    Attributes:
        set_name: ``validation``, or ``test:`` and the data list's name.
        dice: Of each patient, in the set's order: mean over foreground classes, then over the patient's images.
        hd95_px: Of each patient, pixels of the network's grid, the worst class; null where a map has no surface.
    """

    method: str
    set_name: str
    run: RunRecord
    dice: tuple[Share, ...]
    hd95_px: tuple[Annotated[float, Range(0)] | None, ...]

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class SummaryRecord:
    """A method with a number of labels on a set, over patients and seeds.

    Attributes:
        dice: Mean Dice.
        low: Lower end of its 95 % interval over patients and seeds; null for one patient and one seed.
        high: Upper end.
        hd95_px: Mean HD95 where there is one; null if nowhere.
        less_unet: Mean Dice less that of the U-Net, of the same patients and seeds; null without a U-Net.
        less_unet_low: Lower end of its interval.
        less_unet_high: Upper end.
        steps: Mean over seeds.
        seconds: Mean over seeds.
        is_marked: The method started from a bundle that may have learned from more labels than these: not fair.
    """

    method: str
    labels: int
    set_name: str
    dice: float
    low: float | None
    high: float | None
    hd95_px: float | None
    less_unet: float | None
    less_unet_low: float | None
    less_unet_high: float | None
    steps: float
    seconds: float
    is_marked: bool


@dataclass(frozen=True, kw_only=True)
class ComparisonRecord:
    """All of a comparison.

    Attributes:
        schema: Version of this description.
        created: When, local time.
        budget: Of each training, in words.
        device: ``cpu`` or ``cuda``.
        image_size: Side of the network's grid, pixels, on which all is scored.
        num_classes: Background included.
        num_patients: By set.
        seeds: Repetitions.
        base: The bundle that our method started from; null if it was trained from nothing, or is not compared.
        test_scorings: How many calls scored each test set.
        notes: What a reader should know.
        summaries: The table.
        scores: What it was made from.
        settings: Of the baselines.
        versions: Of what computed.
    """

    schema: Literal["semigan-comparison-1"] = COMPARISON_SCHEMA
    created: str
    budget: str
    device: str
    image_size: int
    num_classes: int
    num_patients: Mapping[str, int]
    seeds: int
    base: BaseRecord | None
    test_scorings: Mapping[str, int]
    notes: tuple[str, ...]
    summaries: tuple[SummaryRecord, ...]
    scores: tuple[ScoreRecord, ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
