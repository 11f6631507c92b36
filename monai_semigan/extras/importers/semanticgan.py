# SPDX-License-Identifier: Apache-2.0
"""Keys of the official SemanticGAN code beyond rosinality's: the pair discriminator and the encoder."""

from __future__ import annotations

from typing import Any

from monai_semigan.extras.importers.transfer import ForeignState, Rule
from monai_semigan.networks.official_encoder import STAGE_DEPTHS

__all__ = ["encoder_arguments", "encoder_rules", "pair_discriminator_arguments", "pair_discriminator_rules"]

HEAD_GROUPS = (("course_styles", 3), ("medium_styles", 4), ("fine_styles", None))
"""Groups of heads and how many each has, in the order of the styles; the last has the rest."""


def pair_discriminator_arguments(state: ForeignState) -> dict[str, Any]:
    """Read ``num_scales`` and ``base_channels`` off the pair discriminator's tensors.

    Raises:
        CheckpointError: A tensor that tells a size is missing.
    """
    return {
        "num_scales": state.count(r"scale(\d+)_layer0"),
        "base_channels": state.size("scale0_layer0.0.weight", 0),
    }


def pair_discriminator_rules(*, num_scales: int) -> dict[str, Rule]:
    """Return where each tensor of our pair discriminator comes from: there, the finest scale has the largest number."""
    rules = {}
    for at in range(num_scales):
        ours, theirs = f"critics.{at}", f"scale{num_scales - 1 - at}"
        for part in ("weight", "bias"):
            rules[f"{ours}.first.{part}"] = Rule(f"{theirs}_layer0.0.{part}")
            rules[f"{ours}.last.{part}"] = Rule(f"{theirs}_layer4.0.{part}")
        for layer in range(3):
            norm = f"{ours}.middle.{layer}.parametrizations.weight"
            for name, key in (("original", "orig"), ("0._u", "u"), ("0._v", "v")):
                rules[f"{norm}.{name}"] = Rule(f"{theirs}_layer{layer + 1}.0.0.weight_{key}")
    return rules


def encoder_arguments(state: ForeignState) -> dict[str, Any]:
    """Read ``channels`` and ``head_channels`` of `OfficialEncoder` off its tensors.

    Raises:
        CheckpointError: A tensor that tells a size is missing.
    """
    return {
        "channels": [state.size(f"FPN_module.layer{at}.0.conv1.weight", 0) for at in range(1, 5)],
        "head_channels": state.size("FPN_module.toplayer.weight", 0),
    }


def encoder_rules(head_convs: list[int]) -> dict[str, Rule]:
    """Return where each tensor of `OfficialEncoder` comes from; it has a head of so many convolutions per style."""
    trunk = "FPN_module"
    rules = {"stem.conv.weight": Rule(f"{trunk}.conv1.weight")} | _norm("stem.norm", f"{trunk}.bn1")
    for stage, depth in enumerate(STAGE_DEPTHS):
        for at in range(depth):
            ours, theirs = f"stages.{stage}.{at}", f"{trunk}.layer{stage + 1}.{at}"
            for number in (1, 2, 3):
                rules[f"{ours}.layer{number}.conv.weight"] = Rule(f"{theirs}.conv{number}.weight")
                rules |= _norm(f"{ours}.layer{number}.norm", f"{theirs}.bn{number}")
            if at == 0:
                rules[f"{ours}.shortcut.conv.weight"] = Rule(f"{theirs}.shortcut.0.weight")
                rules |= _norm(f"{ours}.shortcut.norm", f"{theirs}.shortcut.1")
    for part in ("weight", "bias"):
        rules[f"top.{part}"] = Rule(f"{trunk}.toplayer.{part}")
        for at in range(3):
            rules[f"laterals.{at}.{part}"] = Rule(f"{trunk}.latlayer{at + 1}.{part}")
            rules[f"smooths.{at}.{part}"] = Rule(f"{trunk}.smooth{at + 1}.{part}")
        for style, theirs in enumerate(_head_names(len(head_convs))):
            for at in range(head_convs[style]):
                rules[f"heads.{style}.convs.{at}.{part}"] = Rule(f"{theirs}.convs.{2 * at}.{part}")
            rules[f"heads.{style}.linear.{part}"] = Rule(f"{theirs}.linear.{part}")
    return rules


def _norm(ours: str, theirs: str) -> dict[str, Rule]:
    return {f"{ours}.{part}": Rule(f"{theirs}.{part}") for part in ("weight", "bias", "running_mean", "running_var")}


def _head_names(num_layers: int) -> list[str]:
    names = [f"{group}.{at}" for group, size in HEAD_GROUPS for at in range(num_layers if size is None else size)]
    return names[:num_layers]
