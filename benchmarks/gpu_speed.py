# SPDX-License-Identifier: Apache-2.0
"""How fast whole work goes on a GPU, with the torch and the triton backend: inversion of slices, training of a GAN.

Networks of the published widths with random weights: speed does not depend on them. One grey channel, four classes.

python -m benchmarks.gpu_speed --json build/gpu_speed.json
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import Any

import torch

from monai_semigan.inference.segmenter import segment_batch
from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.ops.backend import Backend, backend_obstacle, use_backend
from monai_semigan.training.augment import AugmentSettings
from monai_semigan.training.gan_step import GanNetworks, GanSettings, GanStep

NUM_CLASSES = 4


def network_of(size: int, device: torch.device, **changes: Any) -> SemiGanSegmenter:
    """Build a network of the published widths that counts as trained."""
    torch.manual_seed(0)
    network = SemiGanSegmenter(image_size=size, num_classes=NUM_CLASSES, **changes).to(device)
    network.is_trained.fill_(1)
    return network.eval().requires_grad_(False)


def inversion_seconds(network: SemiGanSegmenter, *, slices: int, steps: int, batch: int) -> float:
    """Time the inversion of slices in batches, all steps taken, bfloat16 where that is fast."""
    size, device = network.generator.image_size, network.is_trained.device
    images = torch.rand(slices, 1, size, size, generator=torch.Generator().manual_seed(0)).to(device) * 2 - 1
    settings = InversionSettings(steps=steps, patience=0, compute_dtype="auto")
    segment_batch(network, images[:batch], InversionSettings(steps=1, patience=0, compute_dtype="auto"))  # warm up
    started = _now(device)
    for part in images.split(batch):
        segment_batch(network, part, settings)
    return _now(device) - started


def training_images_per_second(network: SemiGanSegmenter, *, iterations: int, batch: int) -> float:
    """Time iterations of the joint GAN, R1 and path length at their intervals; bfloat16 on a GPU."""
    size, device = network.generator.image_size, network.is_trained.device
    generator = copy.deepcopy(network.generator).train().requires_grad_(True)
    d_image = copy.deepcopy(network.d_image).train().requires_grad_(True)
    d_pair = MultiscaleDiscriminator(image_channels=1, num_classes=NUM_CLASSES).to(device)
    if device.type == "cuda":
        generator.synthesis.compute_dtype = d_image.compute_dtype = torch.bfloat16
    plain = AugmentSettings(probability=0.0)
    networks = GanNetworks(generator, copy.deepcopy(generator), d_image, d_pair)
    step = GanStep(networks, GanSettings(), augment_image=plain, augment_pair=plain)
    image = torch.rand(batch, 1, size, size, device=device) * 2 - 1
    label = torch.full((batch, NUM_CLASSES, size, size), 1 / NUM_CLASSES, device=device)
    step(image, image, label, images_seen=0)  # warm up, with R1 and path length
    started = _now(device)
    for at in range(1, iterations + 1):
        step(image, image, label, images_seen=at * batch)
    return iterations * batch / (_now(device) - started)


def measure(
    device: torch.device, *, size: int, slices: int, steps: int, iterations: int, batch: int, **changes: Any
) -> dict[str, Any]:
    """Measure with every backend that runs on the device."""
    network = network_of(size, device, **changes)
    backends: dict[Backend, dict[str, float]] = {}
    names: tuple[Backend, ...] = ("torch", "triton")
    for name in names:
        if backend_obstacle(name, device) is not None:
            continue
        with use_backend(name):
            backends[name] = {
                "inversion_s": inversion_seconds(network, slices=slices, steps=steps, batch=batch),
                "training_images_per_s": training_images_per_second(network, iterations=iterations, batch=batch),
            }
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"device": where, "size_px": size, "slices": slices, "steps": steps, "batch": batch, "backends": backends}


def main() -> None:
    """Measure on the first CUDA device, or say why not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("The GPU's speed was not measured: there is no CUDA device.")
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    result = measure(torch.device("cuda"), size=256, slices=200, steps=100, iterations=64, batch=16)
    text = json.dumps(result, indent=1)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    print(text)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    main()
