# SPDX-License-Identifier: Apache-2.0
"""The training that all baselines share: one loop, one augmentation, one choice of the checkpoint.

A `Method` is a step. What it sees, how long, how fast it learns and which of its networks is kept is decided here, so
that methods differ in their losses alone.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
from torch import Tensor, nn

from monai_semigan.baselines.budget import Budget, Stopwatch
from monai_semigan.errors import ConfigError, TrainingError
from monai_semigan.settings import Range, check_settings
from monai_semigan.training.augment import AugmentSettings, draw_augmentation
from monai_semigan.training.perturb import PerturbSettings, perturb
from monai_semigan.training.pool import EndlessOrder, ImagePool, LabelledPool
from monai_semigan.training.pool_scores import pool_dice
from monai_semigan.types import Progress

__all__ = [
    "Batch",
    "FrameSettings",
    "LearningData",
    "Method",
    "Sizes",
    "Trained",
    "descend",
    "train_baseline",
]


UNITS = 1000
"""Of a progress that is a share."""

MAX_GRADIENT = 5.0
"""Gradients are clipped to this norm."""


@dataclass(frozen=True, kw_only=True)
class FrameSettings:
    """What all baselines have in common.

    Attributes:
        batch_size: Labelled images per step, and as many unlabelled ones for methods that use them.
        learning_rate: Of the networks that segment, at its highest.
        weight_decay: Of AdamW.
        warm_up: Share of the training over which the rates rise linearly; then they fall to zero along a cosine.
        validations: How often the Dice on validation is taken; the network with the best is kept.
        warp: Geometry of images and labels.
        perturb: Intensity changes of the images.
    """

    batch_size: Annotated[int, Range(2, 65536)] = 8
    learning_rate: Annotated[float, Range(0, 1, exclusive="low")] = 1e-3
    weight_decay: Annotated[float, Range(0, 10)] = 1e-2
    warm_up: Annotated[float, Range(0, 1)] = 0.1
    validations: Annotated[int, Range(1, 10_000)] = 20
    warp: AugmentSettings = field(
        default_factory=lambda: AugmentSettings(
            rotation=0.1, scale=0.15, stretch=0.0, translation=0.05, brightness=0.0, contrast=0.0, probability=0.8,
            target_sign=None,
        )
    )  # fmt: skip
    perturb: PerturbSettings = field(
        default_factory=lambda: PerturbSettings(
            log2_gamma=0.3, contrast=0.2, brightness=0.1, bias_field=0.0, noise=0.05, blur=0.0, patch=0.0
        )
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class Sizes:
    """What networks are built for.

    Attributes:
        image_channels: 1 or 3.
        num_classes: K, background included.
        image_size: Side of the square, pixels.
    """

    image_channels: int
    num_classes: int
    image_size: int


@dataclass(frozen=True)
class LearningData:
    """Prepared images.

    Attributes:
        labelled: What is learned.
        unlabelled: Further images; None if there are none.
        validation: What chooses the checkpoint.
    """

    labelled: LabelledPool
    unlabelled: ImagePool | None
    validation: LabelledPool

    @property
    def sizes(self) -> Sizes:
        """Of the networks."""
        _, channels, side, _ = self.labelled.images.shape
        return Sizes(channels, self.labelled.targets.shape[1], side)


@dataclass(frozen=True)
class Batch:
    """What a step sees: warped, with its looks as they are.

    Attributes:
        image: Labelled images, ``(N, C, S, S)`` in [-1, 1].
        target: Their soft one-hot labels, ``(N, K, S, S)``.
        other: As many unlabelled images; None for a method that uses none.
        done: Share of the training that is done, in [0, 1).
        images_seen: Labelled images, these included.
    """

    image: Tensor
    target: Tensor
    other: Tensor | None
    done: float
    images_seen: int

    @property
    def unlabelled(self) -> Tensor:
        """The unlabelled images of a method that uses them."""
        assert self.other is not None, "the frame checks this"
        return self.other


class Method(ABC):
    """One way to learn: its networks, its optimizers, its step.

    Args:
        settings: Of the frame.

    Attributes:
        uses_unlabelled: Whether it sees unlabelled images.
    """

    uses_unlabelled = False

    def __init__(self, settings: FrameSettings) -> None:
        self.settings = settings

    @property
    @abstractmethod
    def candidates(self) -> Sequence[nn.Module]:
        """Networks that segment, images ``(N, C, S, S)`` to label logits ``(N, K, S, S)``: the best one is kept."""

    @property
    @abstractmethod
    def optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """All that a step uses: the frame sets their rates."""

    @abstractmethod
    def step(self, batch: Batch) -> Tensor:
        """Learn from a batch; return the loss of what segments, a scalar without graph."""

    def disturb(self, image: Tensor) -> Tensor:
        """Change the looks of images ``(N, C, S, S)``."""
        return perturb(image, self.settings.perturb)

    def adam(self, *networks: nn.Module, learning_rate: float | None = None) -> torch.optim.Optimizer:
        """Make the optimizer of networks; ``learning_rate`` None is the frame's."""
        rate = self.settings.learning_rate if learning_rate is None else learning_rate
        parameters = [parameter for network in networks for parameter in network.parameters()]
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=self.settings.weight_decay, foreach=True)


@dataclass(frozen=True)
class Trained:
    """What a training gave.

    Attributes:
        network: The one with the best validation Dice, in evaluation mode.
        dice: Its mean Dice on validation.
        seconds: Of training.
        steps: Optimizer steps.
    """

    network: nn.Module
    dice: float
    seconds: float
    steps: int


def train_baseline(
    make: Callable[[FrameSettings, Sizes], Method],
    data: LearningData,
    settings: FrameSettings,
    *,
    budget: Budget,
    device: torch.device,
    seed: int = 0,
    progress: Progress | None = None,
) -> Trained:
    """Train a method within a budget; by steps on a CPU, the same numbers every time.

    Args:
        make: Builds the method.
        data: What it learns from.
        settings: Of the frame.
        budget: How long.
        device: Where.
        seed: Of everything random.
        progress: Called with thousandths of the budget, used and all.

    Raises:
        ConfigError: The method needs unlabelled images, and there are none.
        TrainingError: The loss became NaN or infinite.
    """
    torch.manual_seed(seed)
    method = make(settings, data.sizes)
    for network in _networks(method):
        network.to(device)
    if method.uses_unlabelled and data.unlabelled is None:
        raise ConfigError("The data list must have unlabelled images for this method, got none.")
    highest = [[group["lr"] for group in optimizer.param_groups] for optimizer in method.optimizers]
    batches = _batches(data if method.uses_unlabelled else _without_unlabelled(data), settings, device, seed)
    watch, best, steps, validated = Stopwatch(device), _Best(), 0, 0
    while (done := budget.share(seconds=watch.seconds, steps=steps)) < 1:
        with watch:
            for optimizer, rates in zip(method.optimizers, highest, strict=True):
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * _schedule(done, settings.warm_up)
            image, target, other = next(batches)
            steps += 1
            loss = method.step(Batch(image, target, other, done, steps * settings.batch_size))
        if not math.isfinite(float(loss)):
            raise TrainingError(f"The loss must stay finite, but is not after {steps} steps. Lower the learning rate.")
        now = min(budget.share(seconds=watch.seconds, steps=steps), 1.0)
        if now >= (validated + 1) / settings.validations:
            validated = int(now * settings.validations)
            best.look(method.candidates, data.validation, device)
        if progress is not None:
            progress(int(now * UNITS), UNITS)
    best.look(method.candidates, data.validation, device)
    assert best.network is not None
    return Trained(best.network.eval().requires_grad_(False), best.dice, watch.seconds, steps)


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> Tensor:
    """Take a step of an optimizer down a loss; return the loss without its graph."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    for group in optimizer.param_groups:
        torch.nn.utils.clip_grad_norm_(group["params"], MAX_GRADIENT)
    optimizer.step()
    return loss.detach()


class _Best:
    """The network with the best mean Dice on validation."""

    def __init__(self) -> None:
        self.network: nn.Module | None = None
        self.dice = -1.0

    def look(self, candidates: Sequence[nn.Module], validation: LabelledPool, device: torch.device) -> None:
        for network in candidates:
            was_training = network.training
            dice = float(pool_dice(network.eval(), validation, device).mean())
            network.train(was_training)
            if dice > self.dice:
                self.network, self.dice = copy.deepcopy(network), dice


def _networks(method: Method) -> list[nn.Module]:
    """Return all that a method has."""
    own = [value for value in vars(method).values() if isinstance(value, (nn.Module, nn.ModuleList))]
    return [*own, *method.candidates]


def _without_unlabelled(data: LearningData) -> LearningData:
    return LearningData(data.labelled, None, data.validation)


def _batches(
    data: LearningData, settings: FrameSettings, device: torch.device, seed: int
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """Yield warped batches without end."""
    n, position = settings.batch_size, 0
    order = EndlessOrder(len(data.labelled), seed=2 * seed)
    other_order = None if data.unlabelled is None else EndlessOrder(len(data.unlabelled), seed=2 * seed + 1)
    while True:
        indices = order.batch(position, n)
        drawn = draw_augmentation(settings.warp, n, settings.warp.probability, device=device)
        image = drawn.image(data.labelled.take(indices, device)).clamp(-1, 1)
        target, other = drawn.label(data.labelled.take_targets(indices, device)), None
        if other_order is not None and data.unlabelled is not None:
            drawn = draw_augmentation(settings.warp, n, settings.warp.probability, device=device)
            other = drawn.image(data.unlabelled.take(other_order.batch(position, n), device)).clamp(-1, 1)
        yield image, target, other
        position += n


def _schedule(done: float, warm_up: float) -> float:
    if done < warm_up:
        return (done + 1e-3) / (warm_up + 1e-3)
    return 0.5 + 0.5 * math.cos(math.pi * (done - warm_up) / max(1 - warm_up, 1e-9))
