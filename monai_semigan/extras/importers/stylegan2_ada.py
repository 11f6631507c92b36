# SPDX-License-Identifier: Apache-2.0
"""Keys of StyleGAN2-ADA's networks, which the StyleGAN3 release writes too for its StyleGAN2 configuration.

Weights are taken as they are. That code leaves out the constant ``1 / sqrt(I k^2)`` where demodulation cancels it, so
that its epsilon of 1e-8 is relative to larger sums: a difference below float32's precision. Its clamp of activations at
256, meant for float16, and the group size of the discriminator's minibatch standard deviation are stored in no tensor.
"""

from __future__ import annotations

from typing import Any

from monai_semigan.extras.importers.transfer import (
    ForeignState,
    Rule,
    without_batch,
    without_batch_and_channel,
)

__all__ = ["discriminator_channels", "discriminator_rules", "drop_buffers", "generator_arguments", "generator_rules"]


def _num_blocks(state: ForeignState, pattern: str) -> int:
    """Return the number of resolutions 4, 8, ... up to the largest that the pattern's group matches."""
    return max((state.count(pattern, limit=2048) - 1).bit_length() - 2, 1)


def generator_arguments(state: ForeignState) -> dict[str, Any]:
    """Read the generator's arguments off its tensors.

    Raises:
        CheckpointError: A tensor that tells a size is missing.
    """
    num_blocks = _num_blocks(state, r"synthesis\.b(\d+)\.")
    return {
        "image_size": 4 * 2 ** (num_blocks - 1),
        "image_channels": state.size("synthesis.b4.torgb.bias", 0),
        "z_dim": state.size("mapping.fc0.weight", 1),
        "w_dim": state.size("mapping.fc0.weight", 0),
        "num_mapping_layers": state.count(r"mapping\.fc(\d+)\.weight"),
        "channels": [state.size(f"synthesis.b{4 * 2**at}.torgb.weight", 1) for at in range(num_blocks)],
    }


def generator_rules(*, num_blocks: int, num_mapping_layers: int, has_average: bool) -> dict[str, Rule]:
    """Return where each tensor of our generator comes from, the label heads left out."""
    rules = {"synthesis.const": Rule("synthesis.b4.const", without_batch)}
    if has_average:
        rules["mapping.latent_avg"] = Rule("mapping.w_avg")
    for at in range(num_mapping_layers):
        for part in ("weight", "bias"):
            rules[f"mapping.layers.{at}.{part}"] = Rule(f"mapping.fc{at}.{part}")
    for at in range(num_blocks):
        ours, theirs = f"synthesis.blocks.{at}", f"synthesis.b{4 * 2**at}"
        if at:
            rules |= _styled(f"{ours}.conv_up", f"{theirs}.conv0")
        rules |= _styled(f"{ours}.conv", f"{theirs}.conv1")
        for part in ("weight", "bias", "affine.weight", "affine.bias"):
            rules[f"{ours}.to_image.{part}"] = Rule(f"{theirs}.torgb.{part}")
    return rules


def _styled(ours: str, theirs: str) -> dict[str, Rule]:
    parts = ("weight", "bias", "affine.weight", "affine.bias", "noise_strength")
    rules = {f"{ours}.{part}": Rule(f"{theirs}.{part}") for part in parts}
    return rules | {f"{ours}.noise_const": Rule(f"{theirs}.noise_const", without_batch_and_channel)}


def discriminator_channels(state: ForeignState) -> list[int]:
    """Read the image discriminator's channels at 4, 8, ... pixels off its tensors.

    Raises:
        CheckpointError: A tensor that tells a size is missing.
    """
    sizes = [4 * 2**at for at in range(1, max(_num_blocks(state, r"b(\d+)\."), 2))]
    return [*(state.size(f"b{size}.skip.weight", 0) for size in sizes), state.size(f"b{sizes[-1]}.fromrgb.weight", 0)]


def discriminator_rules(*, num_blocks: int) -> dict[str, Rule]:
    """Return where each tensor of our image discriminator comes from; ``num_blocks`` residual blocks."""
    rules = {}
    for part in ("weight", "bias"):
        rules[f"from_image.{part}"] = Rule(f"b{4 * 2**num_blocks}.fromrgb.{part}")
        rules[f"final_conv.{part}"] = Rule(f"b4.conv.{part}")
        rules[f"final_linear.{part}"] = Rule(f"b4.fc.{part}")
        rules[f"output.{part}"] = Rule(f"b4.out.{part}")
    for at in range(num_blocks):
        ours, theirs = f"blocks.{at}", f"b{4 * 2 ** (num_blocks - at)}"
        for part in ("weight", "bias"):
            rules[f"{ours}.conv1.{part}"] = Rule(f"{theirs}.conv0.{part}")
            rules[f"{ours}.conv2.{part}"] = Rule(f"{theirs}.conv1.{part}")
        rules[f"{ours}.skip.weight"] = Rule(f"{theirs}.skip.weight")
    return rules


def drop_buffers(state: ForeignState) -> None:
    """Check and drop the filters that this layout stores, of sum 1."""
    state.check_filters(r"(.+\.)?resample_filter", gain=1.0)
