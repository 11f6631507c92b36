# SPDX-License-Identifier: Apache-2.0
"""The chains of a bundle that a data list tells something of, and how its images look to each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from monai_semigan.bundle.bundle import Bundle
from monai_semigan.transforms.ct_to_mr import CrossModalitySettings, cross_modality
from monai_semigan.workflows.training_data import training_preset

__all__ = ["Shown", "learned_chains"]

Shown = Callable[..., Tensor]
"""``shown(images, seed=...)``: prepared images ``(N, C, S, S)`` as the chain's modality shows them."""


def learned_chains(bundle: Bundle) -> Iterator[tuple[str, Any, Shown]]:
    """Yield name, preset and looks of each chain that was learned.

    A bundle for volumes is trained on pictures of slices of its first modality. What it knows of a modality whose
    images are compared without regard to contrast are these slices under random looks of other modalities. Of any
    other chain it learned nothing.
    """
    for at, (name, chain) in enumerate(bundle.chains.items()):
        if at and not chain.inversion.is_blind_to_contrast:
            continue
        preset = training_preset(bundle, name if bundle.takes_volumes else None)
        yield name, preset, _with_looks if at else _as_they_are


def _as_they_are(images: Tensor, *, seed: int) -> Tensor:
    return images


def _with_looks(images: Tensor, *, seed: int) -> Tensor:
    """Show prepared slices ``(N, 1, S, S)`` as another modality might; other random numbers go on as before."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return cross_modality(images, CrossModalitySettings()) if len(images) else images
