# SPDX-License-Identifier: Apache-2.0
"""What is measured of the networks: rendering, inversion step, training step, memory, operations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from benchmarks.counts import forward_gflop, inversion_step_gflop
from benchmarks.grouped import grouped
from benchmarks.measure import Row, compare
from benchmarks.memory import peak_growth_bytes
from benchmarks.programs import (
    GROUPED,
    NUM_CLASSES,
    OFFICIAL,
    OURS,
    OURS_BF16,
    build_programs,
    full_generator,
    require_equal,
    styles_and_target,
)
from benchmarks.separate_step import SeparateGanStep
from monai_semigan.networks.discriminator import ImageDiscriminator
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator
from monai_semigan.ops.precision import bfloat16_obstacle
from monai_semigan.training.augment import AugmentSettings
from monai_semigan.training.gan_step import GanNetworks, GanSettings, GanStep

__all__ = ["Plan", "count_rows", "memory_rows", "network_rows", "training_rows"]

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured.

    Attributes:
        sizes: Image sides.
        batches: Beside one at all sizes, at the smallest.
        repeats: Of every timing; the first run of each is not counted.
        training_sizes: Image sides of the training step.
        training_batch: Its images.
        peer: Checkout of the official code; None for the grouped formulation alone.
    """

    sizes: tuple[int, ...]
    batches: tuple[int, ...]
    repeats: int
    training_sizes: tuple[int, ...]
    training_batch: int
    peer: Path | None = None

    @property
    def base(self) -> str:
        """What ratios are against."""
        return GROUPED if self.peer is None else OFFICIAL

    @property
    def programs(self) -> list[str]:
        """Names of everything that runs here; bfloat16 only where the processor has instructions for it."""
        names = [OURS, GROUPED]
        if bfloat16_obstacle(torch.device("cpu")) is None:
            names.append(OURS_BF16)
        return names if self.peer is None else [*names, OFFICIAL]


def network_rows(plan: Plan) -> Iterator[Row]:
    """Time rendering and inversion steps, after checking that all programs render the same."""
    shapes = [(size, 1) for size in plan.sizes] + [(plan.sizes[0], batch) for batch in plan.batches]
    for size, batch in shapes:
        generator = full_generator(size)
        programs = build_programs(generator, plan.programs, plan.peer)
        w_plus, target = styles_and_target(generator, batch)
        difference = require_equal(programs, w_plus)
        runs = {name: partial(program.render, w_plus) for name, program in programs.items()}
        timings = compare(runs, repeats=plan.repeats)
        yield Row.of_timings("forward", size, batch, timings, base=plan.base, difference=difference)
        runs = {name: partial(program.step, w_plus, target) for name, program in programs.items()}
        yield Row.of_timings("inversion step", size, batch, compare(runs, repeats=plan.repeats), base=plan.base)


def training_rows(plan: Plan) -> Iterator[Row]:
    """Time one iteration with R1 and path length, as every sixteenth is, and one without."""
    for size in plan.training_sizes:
        steps = {OURS: _training_step(size), GROUPED: _training_step(size, is_base=True)}
        image = styles_and_target(steps[OURS].networks.generator, plan.training_batch)[1]
        label = torch.rand(plan.training_batch, NUM_CLASSES, size, size, generator=torch.Generator().manual_seed(0))
        for task, iteration in (("training step with R1 and path length", 0), ("training step", 1)):
            runs = {name: partial(_train, step, iteration, image, label) for name, step in steps.items()}
            # Without the official code even with a checkout: its training is a script, not a function.
            timings = compare(runs, repeats=min(plan.repeats, 3), warm_up=iteration == 1)
            yield Row.of_timings(task, size, plan.training_batch, timings, base=GROUPED)


def memory_rows(plan: Plan) -> Iterator[Row]:
    """Measure by how much one call raises the peak of memory."""
    for task in ("forward", "inversion"):
        values = {
            name: peak_growth_bytes(task, name, size=plan.sizes[-1], batch=1, peer=plan.peer) / GIB
            for name in plan.programs
        }
        name = "memory of a forward" if task == "forward" else "memory of an inversion step"
        yield Row.of(name, plan.sizes[-1], 1, values, unit="GiB", base=plan.base)


def count_rows(plan: Plan, sizes: Sequence[int]) -> Iterator[Row]:
    """Count operations."""
    names = [name for name in plan.programs if name != OURS_BF16]
    for size in sizes:
        for task, count in (("forward", forward_gflop), ("inversion step", inversion_step_gflop)):
            values = count(size, names, peer=plan.peer)
            yield Row.of(f"operations of {'a' if task == 'forward' else 'an'} {task}", size, 1, values,
                         unit="GFLOP", base=plan.base)  # fmt: skip


def _training_step(size: int, *, is_base: bool = False) -> GanStep:
    generator, average = full_generator(size), full_generator(size)
    torch.manual_seed(1)
    d_image = ImageDiscriminator(image_size=size)
    d_pair = MultiscaleDiscriminator(image_channels=1, num_classes=NUM_CLASSES)
    networks = GanNetworks(generator.train(), average, d_image, d_pair)
    kind = GanStep
    if is_base:
        kind = SeparateGanStep
        networks = GanNetworks(grouped(generator).train(), average, grouped(d_image), d_pair)
    plain = AugmentSettings(probability=0.0)
    return kind(networks, GanSettings(), augment_image=plain, augment_pair=plain)


def _train(step: GanStep, iteration: int, image: torch.Tensor, label: torch.Tensor) -> None:
    step.iteration = iteration
    step(image, image, label, images_seen=1000)
