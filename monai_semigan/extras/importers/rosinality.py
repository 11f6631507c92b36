# SPDX-License-Identifier: Apache-2.0
"""Keys of rosinality's StyleGAN2, which the official SemanticGAN code shares: generator and image discriminator.

Both implementations compute what the networks here compute; only names and axes of size 1 differ.
"""

from __future__ import annotations

from typing import Any

from monai_semigan.extras.importers.transfer import (
    ForeignState,
    Rule,
    one_number,
    per_channel_map,
    with_batch,
)

__all__ = ["discriminator_channels", "discriminator_rules", "drop_buffers", "generator_arguments", "generator_rules"]


def generator_arguments(state: ForeignState) -> dict[str, Any]:
    """Read the generator's arguments off its tensors; ``num_classes`` is there if it has label heads.

    Raises:
        CheckpointError: A tensor that tells a size is missing.
    """
    num_mapping_layers = state.count(r"style\.(\d+)\.weight") - 1  # element 0 is the normalization
    num_blocks = state.count(r"to_rgbs\.(\d+)\.bias") + 1
    widths = [state.size(f"to_rgbs.{at}.conv.weight", 2) for at in range(num_blocks - 1)]
    arguments = {
        "image_size": 4 * 2 ** (num_blocks - 1),
        "image_channels": state.size("to_rgb1.bias", 1),
        "z_dim": state.size("style.1.weight", 1),
        "w_dim": state.size("style.1.weight", 0),
        "num_mapping_layers": num_mapping_layers,
        "channels": [state.size("input.input", 1), *widths],
    }
    return arguments | ({"num_classes": state.size("to_seg1.bias", 1)} if state.has("to_seg1.bias") else {})


def generator_rules(*, num_blocks: int, num_mapping_layers: int, has_label: bool) -> dict[str, Rule]:
    """Return where each tensor of our generator comes from."""
    rules = {"synthesis.const": Rule("input.input")}
    for at in range(num_mapping_layers):
        for part in ("weight", "bias"):
            rules[f"mapping.layers.{at}.{part}"] = Rule(f"style.{at + 1}.{part}")
    for at in range(num_blocks):
        block = f"synthesis.blocks.{at}"
        if at:
            rules |= _styled(f"{block}.conv_up", f"convs.{2 * at - 2}", f"noises.noise_{2 * at - 1}")
        rules |= _styled(f"{block}.conv", f"convs.{2 * at - 1}" if at else "conv1", f"noises.noise_{2 * at}")
        rules |= _head(f"{block}.to_image", f"to_rgbs.{at - 1}" if at else "to_rgb1")
        if has_label:
            rules |= _head(f"{block}.to_label", f"to_segs.{at - 1}" if at else "to_seg1")
    return rules


def _styled(ours: str, theirs: str, noise: str) -> dict[str, Rule]:
    return {
        f"{ours}.weight": Rule(f"{theirs}.conv.weight", with_batch),
        f"{ours}.affine.weight": Rule(f"{theirs}.conv.modulation.weight"),
        f"{ours}.affine.bias": Rule(f"{theirs}.conv.modulation.bias"),
        f"{ours}.noise_strength": Rule(f"{theirs}.noise.weight", one_number),
        f"{ours}.bias": Rule(f"{theirs}.activate.bias"),
        f"{ours}.noise_const": Rule(noise),
    }


def _head(ours: str, theirs: str) -> dict[str, Rule]:
    return {
        f"{ours}.weight": Rule(f"{theirs}.conv.weight", with_batch),
        f"{ours}.affine.weight": Rule(f"{theirs}.conv.modulation.weight"),
        f"{ours}.affine.bias": Rule(f"{theirs}.conv.modulation.bias"),
        f"{ours}.bias": Rule(f"{theirs}.bias", per_channel_map),
    }


def discriminator_channels(state: ForeignState) -> list[int]:
    """Read the image discriminator's channels at 4, 8, ... pixels off its tensors.

    Raises:
        CheckpointError: A tensor that tells a size is missing.
    """
    num_blocks = max(state.count(r"convs\.(\d+)\.skip\.1\.weight") - 1, 0)
    widths = [state.size(f"convs.{at + 1}.skip.1.weight", 0) for at in range(num_blocks)]
    return [state.size("convs.0.0.weight", 0), *widths][::-1]


def discriminator_rules(*, num_blocks: int) -> dict[str, Rule]:
    """Return where each tensor of our image discriminator comes from; ``num_blocks`` residual blocks."""
    rules = {
        "from_image.weight": Rule("convs.0.0.weight"),
        "from_image.bias": Rule("convs.0.1.bias"),
        "final_conv.weight": Rule("final_conv.0.weight"),
        "final_conv.bias": Rule("final_conv.1.bias"),
    }
    for part in ("weight", "bias"):
        rules[f"final_linear.{part}"] = Rule(f"final_linear.0.{part}")
        rules[f"output.{part}"] = Rule(f"final_linear.1.{part}")
    for at in range(num_blocks):
        ours, theirs = f"blocks.{at}", f"convs.{at + 1}"
        rules |= {
            f"{ours}.conv1.weight": Rule(f"{theirs}.conv1.0.weight"),
            f"{ours}.conv1.bias": Rule(f"{theirs}.conv1.1.bias"),
            f"{ours}.conv2.weight": Rule(f"{theirs}.conv2.1.weight"),
            f"{ours}.conv2.bias": Rule(f"{theirs}.conv2.2.bias"),
            f"{ours}.skip.weight": Rule(f"{theirs}.skip.1.weight"),
        }
    return rules


def drop_buffers(state: ForeignState) -> None:
    """Check and drop the filters that this layout stores: gain 4 where it upsamples, 1 in the discriminator."""
    state.check_filters(r"convs\.\d+\.conv\.blur\.kernel|to_(rgb|seg)s\.\d+\.upsample\.kernel", gain=4.0)
    state.check_filters(r"convs\.\d+\.(conv2|skip)\.0\.kernel", gain=1.0)
