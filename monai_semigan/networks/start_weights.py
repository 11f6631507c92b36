# SPDX-License-Identifier: Apache-2.0
"""Files of weights that a training can start from: networks by name, and the arguments to build them.

Tensors, plus one JSON text. Loaded like every weight file here, without running code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from monai_semigan.errors import CheckpointError
from monai_semigan.networks.checkpoint_file import named_weights, read_checkpoint
from monai_semigan.networks.generator import Generator
from monai_semigan.types import PathLike

__all__ = ["StartWeights", "generator_arguments", "is_start", "read_start"]

FORMAT = "semigan-start-1"
NAMES = ("generator", "d_image", "d_pair", "encoder")


@dataclass(frozen=True)
class StartWeights:
    """Networks to start from.

    Attributes:
        network: Arguments of `SemiGanSegmenter`, for a bundle's ``network`` block.
        pair_discriminator: ``num_scales`` and ``base_channels`` of the pair discriminator; None without one.
        states: State dicts by name: ``generator``, and if there are any ``d_image``, ``d_pair``, ``encoder``.
    """

    network: dict[str, Any]
    pair_discriminator: dict[str, Any] | None
    states: dict[str, dict[str, Tensor]]

    def content(self) -> dict[str, Any]:
        """Return what a file of them holds."""
        settings = json.dumps({"network": self.network, "pair_discriminator": self.pair_discriminator}, indent=2)
        return {"format": FORMAT, "settings": settings, **self.states}

    def segmenter_state(self) -> dict[str, Tensor]:
        """Return the state dict of a trained `SemiGanSegmenter`.

        Raises:
            CheckpointError: A network of it is missing.
        """
        missing = [name for name in ("generator", "encoder", "d_image") if name not in self.states]
        if missing:
            raise CheckpointError(
                f"The weights must have generator, encoder and image discriminator, but lack {', '.join(missing)}. "
                "Convert the files of GAN and encoder together, or train the encoder with `semigan train encoder`."
            )
        parts = {
            f"{name}.{key}": tensor
            for name, state in self.states.items()
            if name != "d_pair"
            for key, tensor in state.items()
        }
        return {**parts, "is_trained": torch.ones(())}


def read_start(path: PathLike) -> StartWeights:
    """Read a file that ``semigan convert`` wrote.

    Raises:
        CheckpointError: The file is missing, damaged, carries code, or is something else.
    """
    content = read_checkpoint(path)
    if not is_start(content):
        raise CheckpointError(f"`{path}` must have the format {FORMAT!r}. Make it with `semigan convert`.")
    damaged = f"`{path}` must describe its networks, but is damaged. Convert again."
    try:
        settings = json.loads(content["settings"])
        network, pair_discriminator = settings["network"], settings["pair_discriminator"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(damaged) from error
    if not isinstance(network, dict) or not isinstance(pair_discriminator, (dict, type(None))):
        raise CheckpointError(damaged)
    states = {name: named_weights(content[name], source=path, name=name) for name in NAMES if name in content}
    return StartWeights(network, pair_discriminator, {"generator": {}, **states})


def is_start(content: dict[str, Any]) -> bool:
    """Whether a loaded file is one that `read_start` reads."""
    return content.get("format") == FORMAT


def generator_arguments(generator: Generator) -> dict[str, Any]:
    """Return the arguments that build a generator of these weights, the channels as a table; nothing is enlarged."""
    synthesis, mapping = generator.synthesis, generator.mapping
    return {
        "image_size": synthesis.image_size // synthesis.downsampling,
        "num_classes": synthesis.num_classes,
        "image_channels": synthesis.image_channels,
        "z_dim": mapping.z_dim,
        "w_dim": mapping.w_dim,
        "num_mapping_layers": len(mapping.layers),
        "channels": [block.conv.weight.shape[0] for block in synthesis.blocks],
    }
