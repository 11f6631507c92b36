# SPDX-License-Identifier: Apache-2.0
"""Adapt imported weights: label heads that were not there, one label channel to two, color to grey, the mean of w.

All of it is exact: the adapted networks compute what the imported ones do, on what both can see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from monai_semigan.networks.mapping import MappingNetwork
from monai_semigan.networks.synthesis import OutputHead

__all__ = ["fresh_label_heads", "grey", "mean_style", "two_label_channels"]

LUMA = (0.299, 0.587, 0.114)
"""Grey from red, green and blue (ITU-R BT.601), as in the conversion of color photographs to grey."""

MEAN_SAMPLES = 10_000
"""Latent codes that the mean of w is estimated from."""

State = dict[str, Tensor]


def fresh_label_heads(widths: Sequence[int], *, num_classes: int, w_dim: int, seed: int) -> State:
    """Return untrained label heads for a generator of these feature channels, the same for the same seed."""
    state = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for at, width in enumerate(widths):
            head = OutputHead(width, num_classes, w_dim)
            for name, tensor in head.state_dict().items():
                state[f"synthesis.blocks.{at}.to_label.{name}"] = tensor
    return state


def two_label_channels(generator: State, d_pair: State | None) -> None:
    """Turn a label of one channel ``y``, positive on the foreground, into two: ``-y`` and ``y``, in place.

    The pair discriminator's first layer reads half of each, so that it answers as before.
    """
    for key in [key for key in generator if key.endswith((".to_label.weight", ".to_label.bias"))]:
        generator[key] = torch.cat([-generator[key], generator[key]])
    for key in [key for key in d_pair or {} if key.endswith(".first.weight")]:
        assert d_pair is not None
        image, label = d_pair[key][:, :-1], d_pair[key][:, -1:] / 2
        d_pair[key] = torch.cat([image, -label, label], dim=1)


def grey(states: dict[str, State]) -> None:
    """Turn networks of color images into networks of grey ones, in place.

    The generator's image is the luma of the one it made; discriminators and encoder answer as to three equal channels.
    """
    for key, tensor in states["generator"].items():
        if key.endswith((".to_image.weight", ".to_image.bias")):
            weights = torch.tensor(LUMA, dtype=tensor.dtype).reshape(-1, *[1] * (tensor.ndim - 1))
            states["generator"][key] = (tensor * weights).sum(dim=0, keepdim=True)
    if "d_image" in states:
        # An equalized convolution divides by the root of its input channels.
        weight = states["d_image"]["from_image.weight"]
        states["d_image"]["from_image.weight"] = weight.sum(dim=1, keepdim=True) / math.sqrt(3)
    for key, tensor in states.get("d_pair", {}).items():
        if key.endswith(".first.weight"):
            states["d_pair"][key] = torch.cat([tensor[:, :3].sum(dim=1, keepdim=True), tensor[:, 3:]], dim=1)
    if "encoder" in states:
        stem = states["encoder"]["stem.conv.weight"]
        states["encoder"]["stem.conv.weight"] = stem.sum(dim=1, keepdim=True)


@torch.no_grad()
def mean_style(generator: State, *, z_dim: int, w_dim: int, num_mapping_layers: int, seed: int) -> Tensor:
    """Estimate the mean of w, ``(w_dim,)``, from the mapping network's weights."""
    mapping = MappingNetwork(z_dim=z_dim, w_dim=w_dim, num_layers=1, num_mapping_layers=num_mapping_layers)
    prefix = "mapping."
    weights = {key.removeprefix(prefix): value for key, value in generator.items() if key.startswith(prefix)}
    dtype = generator["synthesis.const"].dtype
    mapping.to(torch.promote_types(dtype, torch.float32)).load_state_dict({**weights, "latent_avg": mapping.latent_avg})
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(MEAN_SAMPLES, z_dim, generator=rng)
    return mapping.map(z.to(mapping.latent_avg.dtype)).mean(dim=0).to(dtype)
