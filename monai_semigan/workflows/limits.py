# SPDX-License-Identifier: Apache-2.0
"""A bundle's limits, above or below which a result is doubted: found on cases that were not trained on, and stored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_semigan.bundle.audit import MAX_CONFIG_BYTES
from monai_semigan.bundle.bundle import Bundle
from monai_semigan.domains.base import IMAGE
from monai_semigan.errors import BundleError
from monai_semigan.files import read_json, write_json

__all__ = [
    "ENOUGH_CASES",
    "ERROR_MARGIN",
    "UNCERTAIN_SHARE",
    "Limits",
    "ScoredCase",
    "describe_limits",
    "limits_of",
    "rounded_down",
    "store_monai_steps",
]

UNCERTAIN_SHARE = 0.05
"""Share of validation cases that the limit of expected Dice calls uncertain: rare at home, so that it is looked at."""

ERROR_MARGIN = 1.25
"""Of the largest reconstruction error at home, up to which other images are alike: scanners and hospitals differ."""

ENOUGH_CASES = 20
"""Below, no case lies below a share of `UNCERTAIN_SHARE`, and the limits say little."""

LEAST_LIMIT = 1e-6
"""An expected Dice that no label is below, where a modality was not tried."""


@dataclass(frozen=True)
class Limits:
    """Of one chain.

    Attributes:
        max_image_error: The largest error of the encoder's reconstruction, and `ERROR_MARGIN`.
        min_expected_dice: Expected Dice of its most uncertain class that all but 5 % of the cases have, or more where
            that lets bad labels pass; None if no class was found in any.
        num_cases: Cases it was found on.
    """

    max_image_error: float
    min_expected_dice: float | None
    num_cases: int


@dataclass(frozen=True)
class ScoredCase:
    """How one case was segmented.

    Attributes:
        chain: Modality, or ``image``.
        dice: Mean over classes.
        expected_dice: Of its most uncertain class; None if no class was found.
        image_error: Of the encoder's reconstruction; None if nothing was reconstructed.
    """

    chain: str
    dice: float
    expected_dice: float | None
    image_error: float | None


def limits_of(cases: Sequence[ScoredCase]) -> dict[str, Limits]:
    """Return the limits by chain."""
    limits = {}
    for name in sorted({case.chain for case in cases}):
        mine = [case for case in cases if case.chain == name]
        expected = [case.expected_dice for case in mine if case.expected_dice is not None]
        errors = [case.image_error for case in mine if case.image_error is not None]
        limits[name] = Limits(
            max(errors, default=1.0) * ERROR_MARGIN,
            float(np.quantile(expected, UNCERTAIN_SHARE)) if expected else None,
            len(mine),
        )
    return limits


def rounded_down(limit: float) -> float:
    """Return a limit in thousandths, above 0; never above the limit, as that would call more cases uncertain.

    One that is whole thousandths but for its last bits stays, or it would fall by one each time it is stored.
    """
    return math.floor(round(1000 * limit, 6)) / 1000 or LEAST_LIMIT


def describe_limits(metadata: dict[str, Any], bundle: Bundle, steps: int, limits: Mapping[str, Limits]) -> None:
    """Change steps of inversion and limits in a bundle's description; those of a modality that was not tried stay."""
    block = metadata["semigan"]
    errors, expected = {}, {}
    for name, chain in bundle.chains.items():
        found = limits.get(name)
        errors[name] = chain.max_image_error if found is None else float(f"{found.max_image_error:.3g}")
        expected[name] = chain.min_expected_dice
        if found is not None:
            (block["inversion"][name] if bundle.takes_volumes else block["inversion"])["steps"] = steps
            if found.min_expected_dice is not None and found.min_expected_dice > 0:
                expected[name] = rounded_down(found.min_expected_dice)
    block["max_image_error"] = errors if bundle.takes_volumes else errors[IMAGE]
    if any(value is not None for value in expected.values()):
        known = {name: LEAST_LIMIT if value is None else value for name, value in expected.items()}
        block["min_expected_dice"] = known if bundle.takes_volumes else known[IMAGE]


def store_monai_steps(bundle: Bundle, steps: int, limits: Mapping[str, Limits]) -> None:
    """Write steps of inversion into ``configs/inference.json`` too, if MONAI's runner is given them there.

    Raises:
        OutputError: They cannot be written.
    """
    path = bundle.root / "configs" / "inference.json"
    inference = read_json(path, MAX_CONFIG_BYTES, error=BundleError) if path.is_file() else {}
    if "steps" in inference and limits.keys() == bundle.chains.keys():
        write_json(path, inference | {"steps": steps})
