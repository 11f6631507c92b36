# SPDX-License-Identifier: Apache-2.0
"""Every metric of every class of one case."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_semigan.evaluation.empty import OVERLAP_IF_BOTH_EMPTY
from monai_semigan.evaluation.overlap import class_masks, dice, intersection_over_union
from monai_semigan.evaluation.surface import SurfaceDistances, surface_distances
from monai_semigan.evaluation.table import CaseScore

__all__ = ["score_case", "with_absent_classes"]


def score_case(
    predicted: np.ndarray,
    reference: np.ndarray,
    *,
    case: str,
    patient: str,
    ignore: np.ndarray | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    spacing_mm: Sequence[float] | None = None,
) -> list[CaseScore]:
    """Score every foreground class of one case.

    Args:
        predicted: Class ids, any number of axes.
        reference: Class ids, the same shape.
        case: Its name.
        patient: Whose it is.
        ignore: Pixels to leave out, bool, the same shape.
        num_classes: Number of classes with the background; None takes the largest that occurs.
        class_names: Name per class.
        spacing_mm: Pixel distance per axis; None leaves out the distances in millimetres.

    Raises:
        InputError: The maps differ in size.
        ConfigError: The spacing is not one positive number per axis.
    """
    most = num_classes or max(len(class_names or ()), int(predicted.max()) + 1, int(reference.max()) + 1, 2)
    scores = []
    for index in range(1, most):
        masks = class_masks(predicted, reference, index, ignore=ignore)
        in_px = surface_distances(*masks, ignore=ignore)
        in_mm = _in_mm(in_px, masks, spacing_mm, ignore)
        scores.append(
            CaseScore(
                case=case,
                patient=patient,
                class_name=class_names[index] if class_names and index < len(class_names) else f"class {index}",
                dice=dice(*masks),
                iou=intersection_over_union(*masks),
                hd95_px=in_px.hd95 if in_px else None,
                assd_px=in_px.assd if in_px else None,
                hd95_mm=in_mm.hd95 if in_mm else None,
                assd_mm=in_mm.assd if in_mm else None,
                is_prediction_empty=not masks[0].any(),
                is_reference_empty=not masks[1].any(),
            )
        )
    return scores


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
                    class_name=class_name,
                    dice=OVERLAP_IF_BOTH_EMPTY,
                    iou=OVERLAP_IF_BOTH_EMPTY,
                    hd95_px=None,
                    assd_px=None,
                    hd95_mm=None,
                    assd_mm=None,
                    is_reference_empty=True,
                    is_prediction_empty=True,
                )
                for class_name in class_names[len(case) :]
            ),
        )
    ]


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
