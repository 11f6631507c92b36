# SPDX-License-Identifier: Apache-2.0
"""Weights of a network of coarser images for one of finer images, as progressive growing does (Karras et al. 2018).

The generator counts its blocks from 4 pixels up, so what it learned keeps its names, and finer blocks are added. The
image discriminator and the encoder count their levels from full resolution down, so theirs move. A direct route knows
images of one size alone, so it does not grow: a teacher of the finer images takes its place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from monai_semigan.networks.generator import Generator

__all__ = ["as_of_finer", "halvings_between"]

FROM_FULL_SIZE = re.compile(r"((?:blocks|pyramid\.(?:laterals|smooths|outputs))\.)(\d+)(\..+)")
"""Names of discriminator and encoder that hold how often the image was halved."""

BLOCK = re.compile(r"generator\.synthesis\.blocks\.(\d+)\..+")


def halvings_between(generator: Generator, state: Mapping[str, Tensor]) -> int:
    """Return how many times a generator's images must be halved to be as those of weights; below 0 to be enlarged.

    Args:
        generator: The network.
        state: Weights of a whole segmenter, with its generator; without one, 0.
    """
    known = {int(found[1]) for found in map(BLOCK.fullmatch, state) if found}
    return len(generator.synthesis.blocks) - (max(known) + 1) if known else 0


def as_of_finer(state: Mapping[str, Tensor], halvings: int) -> dict[str, Tensor]:
    """Name the weights of an image discriminator or an encoder by the levels of a network of finer images.

    Args:
        state: The weights; those of a generator stay as they are.
        halvings: See `halvings_between`. Below 0, levels that are too fine are left out.
    """
    named: dict[str, Tensor] = {}
    for name, value in state.items():
        found = FROM_FULL_SIZE.fullmatch(name)
        if halvings and name.startswith("direct."):
            continue
        if found is None:
            named[name] = value
        elif int(found[2]) + halvings >= 0:
            named[f"{found[1]}{int(found[2]) + halvings}{found[3]}"] = value
    return named
