# SPDX-License-Identifier: Apache-2.0
"""What a report warns of: what was not found, and reasons not to trust what was."""

from __future__ import annotations

from collections.abc import Mapping

from monai_semigan.inference.bundle import Chain

__all__ = ["trust_warnings"]


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
