# SPDX-License-Identifier: Apache-2.0
"""How fast a GPU inverts and trains, by op backend: ``python -m benchmarks.gpu_speed [--json FILE]``.

The inversion of 200 slices at 256 pixels, 100 steps each without early stop, from the first encoding to the last loss;
and whole iterations of the GAN's training, R1 and path length at their intervals, batches sent from memory. Networks
have the published widths and random weights, feature maps are bfloat16, products TF32. ``--device cpu`` with small
numbers runs it anywhere.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from monai_semigan.latent.inversion import Inversion, InversionSettings
from monai_semigan.losses.perceptual import FeatureDistance
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.ops.backend import backend_obstacle, use_backend
from monai_semigan.ops.precision import resolve_compute_dtype
from monai_semigan.training.augment import AugmentSettings
from monai_semigan.training.gan_step import GanNetworks, GanSettings, GanStep
from monai_semigan.training.pool import EndlessOrder, LabelledPool

NUM_CLASSES = 4
POOL = 64
"""Images in memory that training takes its batches from."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured.

    Attributes:
        size: Side of the images, pixels.
        slices: Images to invert.
        steps: Steps of each inversion.
        batch: Images inverted at once.
        training_batch: Images per training iteration.
        iterations: Training iterations; 16 hold one R1 step and two path length steps.
        channels: Widths of the networks, coarse to fine; None for the published ones.
    """

    size: int = 256
    slices: int = 200
    steps: int = 100
    batch: int = 40
    training_batch: int = 16
    iterations: int = 32
    channels: tuple[int, ...] | None = None


def inversion_seconds(plan: Plan, device: torch.device) -> float:
    """Invert all slices; the kernels are compiled and chosen before the clock starts."""
    network = _network(plan, device)
    image = torch.rand(plan.slices, 1, plan.size, plan.size, generator=torch.Generator().manual_seed(1)) * 2 - 1

    def run(batches: tuple[torch.Tensor, ...], steps: int) -> None:
        settings = InversionSettings(steps=steps, optimizer="lbfgs", patience=0, compute_dtype="bfloat16")
        inversion = Inversion(network.generator, network.encoder, FeatureDistance(network.d_image.features), settings)
        for batch in batches:
            inversion(batch.to(device))

    batches = image.split(plan.batch)
    run((batches[0], batches[-1]), 1)  # both sizes of batch
    return _seconds(lambda: run(batches, plan.steps), device)


def training_images_per_second(plan: Plan, device: torch.device) -> float:
    """Train on noise; the first iterations of both kinds are not counted."""
    network = _network(plan, device).requires_grad_(True)
    dtype, _ = resolve_compute_dtype("bfloat16", device)
    average = copy.deepcopy(network.generator).requires_grad_(False)
    network.generator.train().synthesis.compute_dtype = network.d_image.compute_dtype = dtype
    widths = {} if plan.channels is None else {"base_channels": plan.channels[0]}
    d_pair = MultiscaleDiscriminator(image_channels=1, num_classes=NUM_CLASSES, **widths).to(device)
    networks = GanNetworks(network.generator, average, network.d_image, d_pair)
    step = GanStep(networks, GanSettings(), augment_image=AugmentSettings(), augment_pair=AugmentSettings())
    images = torch.rand(POOL, 1, plan.size, plan.size) * 2 - 1
    targets = torch.rand(POOL, NUM_CLASSES, plan.size, plan.size).softmax(dim=1)
    pool, order = LabelledPool(images.half(), targets.half()), EndlessOrder(POOL, seed=0)

    def run(iterations: int) -> None:
        step.iteration = 0
        for at in range(iterations):
            indices = order.batch(at * plan.training_batch, plan.training_batch)
            image, target = pool.take(indices, device), pool.take_targets(indices, device)
            step(image, image, target, images_seen=at * plan.training_batch)

    run(2)
    return plan.iterations * plan.training_batch / _seconds(lambda: run(plan.iterations), device)


def measure(plan: Plan, device: torch.device) -> dict[str, Any]:
    """Measure both tasks with every backend that `auto` can choose on the device."""
    dtype, _ = resolve_compute_dtype("bfloat16", device)
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "compute_dtype": str(dtype).removeprefix("torch."),
        "plan": asdict(plan),
        "backends": {},
    }
    for backend in ("torch", "triton"):
        obstacle = backend_obstacle(backend, device)
        if obstacle is not None:
            result["backends"][backend] = {"obstacle": obstacle}
            continue
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with use_backend(backend):
            numbers = {
                "inversion_seconds": inversion_seconds(plan, device),
                "training_images_per_second": training_images_per_second(plan, device),
            }
        if device.type == "cuda":
            numbers["peak_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
        result["backends"][backend] = numbers
    return result


def text_of(result: dict[str, Any]) -> str:
    """Return the result as lines."""
    plan = result["plan"]
    lines = [f"{result['device']}, torch {result['torch']}, {result['compute_dtype']}, {plan['size']} px"]
    for backend, row in result["backends"].items():
        if "obstacle" in row:
            lines.append(f"{backend}: not measured, {row['obstacle']}")
            continue
        peak = f", peak {row['peak_gib']:.1f} GiB" if "peak_gib" in row else ""
        lines.append(
            f"{backend}: {plan['slices']} slices, {plan['steps']} steps in {row['inversion_seconds']:.3g} s; training"
            f" {row['training_images_per_second']:.3g} images/s in batches of {plan['training_batch']}{peak}"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--channels", type=int, nargs="+", help="widths, coarse to fine; the published ones without it")
    for name in ("size", "slices", "steps", "batch", "training_batch", "iterations"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(Plan, name))
    options = vars(parser.parse_args(arguments))
    file, device = options.pop("json"), torch.device(options.pop("device"))
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("Inversion and training were not measured: there is no CUDA device.")
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # both as training does
        torch.backends.cudnn.benchmark = True
    channels = options.pop("channels")
    result = measure(Plan(**options, channels=None if channels is None else tuple(channels)), device)
    if file:
        file.write_text(json.dumps(result, indent=2) + "\n")
    print(text_of(result))
    print(json.dumps(result))


def _network(plan: Plan, device: torch.device) -> SemiGanSegmenter:
    torch.manual_seed(0)
    network = SemiGanSegmenter(image_size=plan.size, num_classes=NUM_CLASSES, channels=plan.channels)
    network.is_trained.fill_(1)
    return network.to(device).eval()


def _seconds(run: Callable[[], None], device: torch.device) -> float:
    _wait(device)
    started = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
