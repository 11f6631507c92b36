# SPDX-License-Identifier: Apache-2.0
"""Every metric of every class of two label maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from monai_semigan.errors import ConfigError, InputError
from monai_semigan.evaluation.empty import OVERLAP_IF_BOTH_EMPTY
from monai_semigan.evaluation.overlap import check_same_shape, class_masks, dice, intersection_over_union
from monai_semigan.evaluation.surface import SurfaceDistances, surface_distances
from monai_semigan.evaluation.table import METRIC_NAMES, METRICS, CaseScore, ClassScore
from monai_semigan.templates import MISSING, render

__all__ = ["LabelScore", "score_label", "with_absent_classes"]

LARGEST_ID = 255

NO_VOLUME = {"predicted_ml": 0.0, "reference_ml": 0.0, "difference_ml": 0.0}
"""Of a class that a volume does not have."""


@dataclass(frozen=True, repr=False)
class LabelScore:
    """How a label agrees with its reference: a table in a terminal and in a notebook.

    Attributes:
        classes: Per class, the background left out.
    """

    classes: tuple[ClassScore, ...]

    @property
    def mean_dice(self) -> float:
        """Mean over the classes."""
        return float(np.mean([score.dice for score in self.classes]))

    def __getitem__(self, class_name: str) -> ClassScore:
        """Return the score of a class.

        Raises:
            KeyError: There is no such class.
        """
        return {score.class_name: score for score in self.classes}[class_name]

    def of_case(self, case: str, patient: str, ood: float | None = None) -> list[CaseScore]:
        """Name the case that was scored, whose it is, and how unlike the images of its bundle."""
        return [CaseScore(case=case, patient=patient, ood=ood, **vars(score)) for score in self.classes]

    @cached_property
    def _table(self) -> list[tuple[str, ...]]:
        metrics = [name for name in METRICS if any(getattr(score, name) is not None for score in self.classes)]
        head = ("class", *(METRIC_NAMES[name] for name in metrics))
        values = [[getattr(score, name) for name in metrics] for score in self.classes]
        return [head] + [
            (score.class_name, *(MISSING if value is None else f"{value:.3f}" for value in row))
            for score, row in zip(self.classes, values, strict=True)
        ]

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self._table, strict=True)]
        lines = (
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in self._table
        )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return render("score.html", head=self._table[0], rows=self._table[1:])


def score_label(
    label: np.ndarray,
    reference: np.ndarray,
    spacing_mm: Sequence[float] | None = None,
    *,
    ignore: np.ndarray | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
) -> LabelScore:
    """Score every foreground class of a label against a reference.

    A volume (three axes, with a spacing) gets distances in millimetres and volumes in millilitres, an image distances
    in pixels, and in millimetres where the spacing is known. Each class is scored inside its own box, so that time and
    memory follow the organ's size.

    Args:
        label: Class ids, any number of axes.
        reference: Class ids, the same shape.
        spacing_mm: Pixel distance per axis; None leaves out the distances in millimetres.
        ignore: Pixels to leave out, bool, the same shape.
        num_classes: Number of classes with the background; None takes the largest that occurs.
        class_names: Name per class, the background's first.

    Raises:
        InputError: The maps differ in size, or hold other values than class ids.
        ConfigError: The spacing is not one positive number per axis.
    """
    label, reference = _class_ids("label", label), _class_ids("reference", reference)
    check_same_shape(label, reference, ignore)
    if spacing_mm is not None and (np.ndim(spacing_mm) != 1 or len(spacing_mm) != label.ndim):
        raise ConfigError(f"`spacing_mm` must be one number above 0 per axis, {label.ndim}, got {spacing_mm!r:.60}.")
    boxes = [ndimage.find_objects(part) for part in (label, reference)]
    most = num_classes or max(len(class_names or ()), *(len(found) + 1 for found in boxes), 2)
    is_volume = reference.ndim == 3 and spacing_mm is not None
    voxel_ml = float(np.prod(spacing_mm)) / 1000 if is_volume and spacing_mm is not None else None
    scores = []
    for index in range(1, most):
        box = _box_of(index, boxes, reference.shape)
        unknown = None if ignore is None else ignore[box].astype(bool)
        masks = class_masks(label[box], reference[box], index, ignore=unknown)
        in_px = None if is_volume else surface_distances(*masks, ignore=unknown)
        in_mm = _in_mm(in_px, masks, spacing_mm, unknown)
        volumes = [np.count_nonzero(mask) * voxel_ml for mask in masks] if voxel_ml else None
        scores.append(
            ClassScore(
                class_name=class_names[index] if class_names and index < len(class_names) else f"class {index}",
                dice=dice(*masks),
                iou=intersection_over_union(*masks),
                hd95_px=in_px.hd95 if in_px else None,
                assd_px=in_px.assd if in_px else None,
                hd95_mm=in_mm.hd95 if in_mm else None,
                assd_mm=in_mm.assd if in_mm else None,
                is_prediction_empty=not masks[0].any(),
                is_reference_empty=not masks[1].any(),
                predicted_ml=volumes[0] if volumes else None,
                reference_ml=volumes[1] if volumes else None,
                difference_ml=volumes[0] - volumes[1] if volumes else None,
            )
        )
    return LabelScore(tuple(scores))


def with_absent_classes(cases: Sequence[Sequence[CaseScore]]) -> list[CaseScore]:
    """Give every case a row for every class: one that only other cases have is absent from both its maps."""
    class_names = [score.class_name for score in max(cases, key=len, default=())]
    return [
        score
        for case in cases
        for score in (
            *case,
            *(
                CaseScore(
                    case=case[0].case,
                    patient=case[0].patient,
                    ood=case[0].ood,
                    class_name=class_name,
                    dice=OVERLAP_IF_BOTH_EMPTY,
                    iou=OVERLAP_IF_BOTH_EMPTY,
                    is_reference_empty=True,
                    is_prediction_empty=True,
                    **(NO_VOLUME if case[0].reference_ml is not None else {}),
                )
                for class_name in class_names[len(case) :]
            ),
        )
    ]


def _class_ids(name: str, values: np.ndarray) -> np.ndarray:
    """Take bool and whole numbers, also those that are stored as floats."""
    label = np.asarray(values)
    if label.dtype.kind == "b":
        return label.astype(np.uint8)
    if label.dtype.kind == "f" and np.isfinite(label).all() and (label == np.floor(label)).all():
        label = label.astype(np.int64)
    if label.dtype.kind not in "ui" or (label.size and label.min() < 0):
        raise InputError(f"`{name}` must hold class ids from 0 on, got other values ({label.dtype}).")
    # As many slots as the largest id are searched: what is no id, such as a grey value, must not fill the memory.
    if label.size and label.max() > LARGEST_ID:
        raise InputError(f"`{name}` must hold class ids 0 to {LARGEST_ID}, got {int(label.max())}.")
    return label


def _in_mm(
    in_px: SurfaceDistances | None,
    masks: tuple[np.ndarray, np.ndarray],
    spacing_mm: Sequence[float] | None,
    ignore: np.ndarray | None,
) -> SurfaceDistances | None:
    if spacing_mm is None:
        return None
    if in_px is not None and len(spacing_mm) == masks[0].ndim and len(set(spacing_mm)) == 1 and spacing_mm[0] > 0:
        return in_px.scaled(spacing_mm[0])
    return surface_distances(*masks, spacing=spacing_mm, ignore=ignore)


def _box_of(
    index: int, boxes: Sequence[Sequence[tuple[slice, ...] | None]], shape: tuple[int, ...]
) -> tuple[slice, ...]:
    """Find the box around a class in both maps, one pixel larger: at its rim stands what really is there."""
    found = [box for label in boxes if index <= len(label) and (box := label[index - 1]) is not None]
    if not found:
        return (slice(0, 1),) * len(shape)  # any box: the class is not in it
    return tuple(
        slice(max(min(side.start for side in sides) - 1, 0), max(side.stop for side in sides) + 1)
        for sides in zip(*found, strict=True)
    )
