# SPDX-License-Identifier: Apache-2.0
"""What a report warns of: what was not found, and reasons not to trust what was."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from monai_semigan.segmentation.chain import Chain
from monai_semigan.segmentation.expected_dice import expected_dice

__all__ = ["expected_by_class", "trust_warnings"]


def expected_by_class(overlap: Tensor, found: Mapping[str, bool]) -> dict[str, float | None]:
    """Name the expected Dice of each class; None for one that the finished label or the network's own does not have.

    Args:
        overlap: `expected_overlap` of one case, ``(K - 1, 2)``.
        found: By class, whether the finished label has it.
    """
    return {
        name: float(value) if is_found and value.isfinite() else None
        for (name, is_found), value in zip(found.items(), expected_dice(overlap), strict=True)
    }


def trust_warnings(
    chain: Chain, *, found: Mapping[str, bool], image_error: float | None, expected_dice: Mapping[str, float | None]
) -> list[str]:
    """Write a case's warnings; of labels that must not be trusted at all it need not be said that they are uncertain.

    Args:
        chain: Whose limits hold.
        found: By class, whether the label has it.
        image_error: Of the encoder's reconstruction; None if nothing was reconstructed.
        expected_dice: By class; None where it was not found.
    """
    warnings = [f"No {name} was found." for name, is_found in found.items() if not is_found]
    if image_error is not None and image_error > chain.max_image_error:
        warnings.append(
            "Unlike the images this bundle was made for: do not trust the label "
            f"(reconstruction error {image_error:.3f}, usual up to {chain.max_image_error:.3f})."
        )
    elif chain.min_expected_dice is not None:
        warnings += [
            f"The label of {name} is uncertain: check it before use "
            f"(expected Dice {value:.3f}, usual from {chain.min_expected_dice:.3f})."
            for name, value in expected_dice.items()
            if value is not None and value < chain.min_expected_dice
        ]
    return warnings
