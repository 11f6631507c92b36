# SPDX-License-Identifier: Apache-2.0
"""How long each stage of a fit may take: a budget of time and this machine's measured speed in, lengths out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from monai_semigan.errors import ConfigError
from monai_semigan.settings import Range, check_settings

__all__ = ["FitPlan", "Speeds", "clock", "make_plan", "parse_budget"]

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

SHARES = {
    False: {"teacher": 0.2, "gan": 0.0, "encoder": 0.4, "unet": 0.25},
    True: {"teacher": 0.1, "gan": 0.45, "encoder": 0.2, "unet": 0.15},
}
"""Of the budget by stage, without and with a generator to train; the rest is for reading, tuning and scoring. The plain
U-Net gets more than the teacher: what we compare with must not be short of time."""

NAMES = {"teacher": "teacher", "gan": "GAN", "encoder": "encoder", "unet": "plain U-Net"}

LEAST = {"teacher": 60, "gan": 4.0, "encoder": 0.4, "unet": 60}
"""Least steps, or thousands of images, below which nothing useful comes out."""


@dataclass(frozen=True)
class Speeds:
    """Measured on this machine.

    Attributes:
        teacher_step: Seconds of a step of the teacher.
        unet_step: Seconds of a step of the plain U-Net.
        encoder_image: Seconds per image of each kind of the encoder's training.
        gan_image: Seconds per image of the GAN's; 0 where none is trained.
    """

    teacher_step: float
    unet_step: float
    encoder_image: float
    gan_image: float = 0.0


@dataclass(frozen=True, kw_only=True)
class FitPlan:
    """Lengths of the stages.

    Attributes:
        budget_s: What was asked for, seconds.
        teacher_steps: Of the teacher.
        gan_kimg: Thousands of images of the GAN; 0 keeps the generator of the bundle to start from.
        encoder_kimg: Thousands of images of each kind of the encoder.
        unet_steps: Of the plain U-Net that the result is compared with.
        reasons: What was chosen and why, for the card.
    """

    budget_s: Annotated[float, Range(0, 1e8, exclusive="low")]
    teacher_steps: Annotated[int, Range(1)]
    gan_kimg: Annotated[float, Range(0, 1e6)]
    encoder_kimg: Annotated[float, Range(0, 1e6, exclusive="low")]
    unet_steps: Annotated[int, Range(1)]
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_settings(self)


def parse_budget(text: str) -> float:
    """Read a time such as ``90s``, ``45m``, ``1h30m`` or ``2h``; seconds.

    Raises:
        ConfigError: It is none.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text.strip().lower())
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != text.strip().lower():
        raise ConfigError(f"`budget` must be a time such as 45m or 2h, got {text!r:.40}.")
    return sum(float(number) * UNITS[unit] for number, unit in parts)


def make_plan(budget_s: float, speeds: Speeds, *, most: Mapping[str, float], trains_gan: bool) -> FitPlan:
    """Share a budget out.

    Args:
        budget_s: Seconds for everything.
        speeds: As measured.
        most: Steps (``teacher``, ``unet``) or thousands of images (``gan``, ``encoder``) beyond which the bundle's
            settings do not go.
        trains_gan: Whether a generator is trained.

    Raises:
        ConfigError: The budget is too small for the least lengths.
    """
    cost = {
        "teacher": speeds.teacher_step,
        "gan": speeds.gan_image * 1000,
        "encoder": speeds.encoder_image * 1000,
        "unet": speeds.unet_step,
    }
    shares = {stage: share for stage, share in SHARES[trains_gan].items() if share}
    needed = max(LEAST[stage] * cost[stage] / share for stage, share in shares.items())
    if budget_s < needed:
        raise ConfigError(
            f"`budget` must be at least {clock(needed)} on this machine, got {clock(budget_s)}: below, a stage would "
            f"learn nothing. {'Give more time, or start from a bundle (--base).' if trains_gan else 'Give more time.'}"
        )
    lengths = {stage: min(budget_s * share / cost[stage], most[stage]) for stage, share in shares.items()}
    reasons = tuple(
        f"{NAMES[stage]}: "
        + (f"{length:.3g} thousand images" if stage in ("gan", "encoder") else f"{length:.0f} steps")
        + f", about {clock(length * cost[stage])}: "
        + ("all that the settings ask for" if length == most[stage] else f"{shares[stage]:.0%} of the budget")
        for stage, length in lengths.items()
    )
    return FitPlan(
        budget_s=budget_s,
        teacher_steps=max(round(lengths["teacher"]), 1),
        gan_kimg=round(lengths.get("gan", 0.0), 2),
        encoder_kimg=round(lengths["encoder"], 2),
        unet_steps=max(round(lengths["unet"]), 1),
        reasons=reasons,
    )


def clock(seconds: float) -> str:
    """Write a time for people."""
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
