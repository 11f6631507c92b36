# SPDX-License-Identifier: Apache-2.0
"""Draw images with their labels from a bundle's generator."""

from __future__ import annotations

from pathlib import Path

import torch

from monai_semigan.bundle.bundle import load_network, open_bundle
from monai_semigan.devices import choose_device
from monai_semigan.errors import ConfigError
from monai_semigan.latent.sampling import sample_w_plus
from monai_semigan.training.sample_sheet import sample_sheet, save_image
from monai_semigan.types import PathLike

__all__ = ["sample"]


@torch.no_grad()
def sample(
    output: PathLike,
    *,
    bundle: str,
    num_samples: int = 32,
    seed: int = 0,
    truncation_psi: float = 1.0,
    columns: int = 8,
    device: str = "auto",
) -> Path:
    """Write a grid of generated images, each with its label tinted beside it.

    Sample ``i`` depends on ``seed + i`` alone: a larger grid repeats the smaller one.

    Args:
        output: PNG file.
        bundle: Shipped name or folder.
        num_samples: Images, 1 to 1,024.
        seed: Seed of the first sample.
        truncation_psi: 1 draws from all that was learned, 0 gives the mean.
        columns: Pairs per row.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        ConfigError: A number is out of range.
        BundleError: The bundle cannot be used.
    """
    if not 1 <= num_samples <= 1024:
        raise ConfigError(f"`num_samples` must be 1 to 1024, got {num_samples}.")
    if not 0 <= truncation_psi <= 1:
        raise ConfigError(f"`truncation_psi` must lie in [0, 1], got {truncation_psi}.")
    network = load_network(open_bundle(bundle), device=choose_device(device))
    rngs = [torch.Generator(network.device).manual_seed(seed + at) for at in range(num_samples)]
    mapping = network.generator.mapping
    w_plus = torch.cat([sample_w_plus(mapping, 1, truncation_psi=truncation_psi, rng=rng) for rng in rngs])
    image, label_logits = network.generator.synthesis(w_plus)
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_image(path, sample_sheet(image.cpu(), label_logits.softmax(dim=1).cpu(), columns=columns))
    return path
