# SPDX-License-Identifier: Apache-2.0
"""What a report warns of: what was not found, and reasons not to trust what was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from monai_semigan.segmentation.chain import Chain
from monai_semigan.segmentation.expected_dice import DiceCalibration, expected_dice
from monai_semigan.segmentation.record import ClassRecord, OodRecord, volume_text

__all__ = ["classes_at_faces", "expected_by_class", "trust_warnings", "unlike_reasons"]


def expected_by_class(
    overlap: torch.Tensor, is_found: Sequence[bool], calibration: DiceCalibration | None
) -> list[float | None]:
    """Return the expected Dice of each class; None for one that the finished label or the network's own does not have.

    Args:
        overlap: `expected_overlap` of one case, ``(K - 1, 2)``.
        is_found: By class, background left out, whether the finished label has it.
        calibration: Of the chain; without one nothing is expected.
    """
    if calibration is None:
        return [None] * len(is_found)
    values = calibration(expected_dice(overlap).double().numpy()).tolist()
    return [value if found and math.isfinite(value) else None for value, found in zip(values, is_found, strict=True)]


def classes_at_faces(label: np.ndarray) -> set[int]:
    """Return the classes that reach a face of a volume ``(I, J, K)``: such an organ may go on outside."""
    faces = [label.take(at, axis=axis) for axis in range(label.ndim) for at in (0, -1)]
    return {int(value) for face in faces for value in np.unique(face) if value}


def unlike_reasons(chain: Chain, encoder_error: float | None, ood: OodRecord | None) -> tuple[str, ...]:
    """Say why a case is unlike those that the bundle was made for; empty where it is not.

    Args:
        chain: Whose limits hold.
        encoder_error: Error of the encoder's reconstruction; None if nothing was reconstructed.
        ood: How unlike the bundle's images the case is; None if that is not known.
    """
    reasons = []
    if ood is not None and ood.is_unlike:
        reasons.append(f"out-of-distribution score {ood.score:.2f}, usual up to {ood.limit:.2f}")
    if encoder_error is not None and encoder_error > chain.max_image_error:
        reasons.append(f"reconstruction error {encoder_error:.3f}, usual up to {chain.max_image_error:.3f}")
    return tuple(reasons)


def trust_warnings(
    chain: Chain,
    classes: Sequence[ClassRecord],
    unlike: Sequence[str] = (),
    plausible_ml: Mapping[str, tuple[float, float]] | None = None,
) -> list[str]:
    """Write a case's warnings; of labels that must not be trusted at all it need not be said that they are uncertain.

    Args:
        chain: Whose limits hold.
        classes: Background left out.
        unlike: `unlike_reasons`.
        plausible_ml: By class, between which volumes a whole organ lies, mL.
    """
    warnings = [f"No {part.name} was found." for part in classes if part.share == 0]
    warnings += [
        f"The {part.name} reaches the edge of the volume: it may be cut there, and what is measured a part of it."
        for part in classes
        if part.is_cut
    ]
    warnings += [said for part in classes if (said := _implausible(part, (plausible_ml or {}).get(part.name)))]
    if unlike:
        return [*warnings, f"Unlike the images this bundle was made for: do not trust the label ({'; '.join(unlike)})."]
    least = chain.min_expected_dice
    return warnings + [
        f"The label of {part.name} is uncertain: check it before use "
        f"(expected Dice {part.expected_dice:.3f}, usual from {least:.3f})."
        for part in classes
        if least is not None and part.expected_dice is not None and part.expected_dice < least
    ]


def _implausible(part: ClassRecord, limits: tuple[float, float] | None) -> str | None:
    """Say that an organ is too large, or, unless it may be cut, too small."""
    if limits is None or not part.volume_ml:
        return None
    least, most = limits
    if part.volume_ml > most or (part.volume_ml < least and not part.is_cut):
        return (
            f"The {part.name} measures {volume_text(part.volume_ml)} mL, but a whole one {least:g} to {most:g} mL: the "
            "label is wrong, the voxels' size is, or the organ is unusual."
        )
    return None
