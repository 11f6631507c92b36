# SPDX-License-Identifier: Apache-2.0
"""The programs that are compared, each able to render styles and to take one inversion step with the same weights.

``ours`` is what `semigan segment` runs. A base is the grouped formulation, or the official generator of the user's own
checkout; both take their step as the official program does: image and label, the target's features each time, one map
after the other, gradients of the weights as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.features import VggFeatures, unit_map_distance
from benchmarks.grouped import grouped
from benchmarks.peer import official_generator
from monai_semigan.errors import CheckpointError
from monai_semigan.latent.inversion import Inversion, InversionSettings, InversionTargets
from monai_semigan.losses.perceptual import FeatureDistance
from monai_semigan.networks.embedding import Embedding
from monai_semigan.networks.generator import Generator

__all__ = [
    "GROUPED",
    "OFFICIAL",
    "OURS",
    "OURS_BF16",
    "BaseProgram",
    "OurProgram",
    "Runner",
    "build_programs",
    "full_generator",
    "require_equal",
    "styles_and_target",
]

OURS, OURS_BF16 = "ours", "ours bf16"
GROUPED = "grouped"
"""The grouped formulation of our own networks; not the official program."""
OFFICIAL = "official"
"""The official generator from the user's checkout."""

NUM_CLASSES = 4
IMAGE_WEIGHT = 0.1
"""Of the squared error beside the perceptual distance, as in the official program."""

TOLERANCE = 1e-4
"""Largest relative difference in float32 between programs that count as equal."""

Render = Callable[[Tensor], tuple[Tensor, Tensor]]


def full_generator(size: int, *, channels: tuple[int, ...] | None = None) -> Generator:
    """Build a grey generator with the official widths and random weights; its noise counts."""
    torch.manual_seed(0)
    generator = Generator(image_size=size, num_classes=NUM_CLASSES, channels=channels)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.1)
    return generator.eval()


def styles_and_target(generator: Generator, batch: int) -> tuple[Tensor, Tensor]:
    """Draw styles, and images of other styles as targets."""
    rng = torch.Generator().manual_seed(batch)
    size, layers = generator.image_size, generator.num_layers
    w_plus = torch.randn(batch, layers, generator.mapping.w_dim, generator=rng)
    return w_plus, torch.rand(batch, 1, size, size, generator=rng) * 2 - 1


class OurProgram:
    """The package's own inversion, whose encoder is not part of the step; weights are frozen, as in a bundle."""

    def __init__(self, generator: Generator, *, compute_dtype: str = "float32") -> None:
        self.generator = generator.requires_grad_(False)
        settings = InversionSettings(
            image_weight=IMAGE_WEIGHT, perceptual_weight=1.0, encoder_weight=0.0, compute_dtype=compute_dtype
        )
        distance = FeatureDistance(VggFeatures(channels_last=True).to(generator.synthesis.const.device))
        self.inversion = Inversion(generator, nn.Identity(), distance, settings)  # type: ignore[arg-type]
        self.prepared: tuple[Tensor, InversionTargets] | None = None

    def render(self, w_plus: Tensor) -> tuple[Tensor, Tensor]:
        """Render as inference does."""
        with torch.inference_mode(), self.inversion.precision(w_plus.device):
            return self.generator.synthesis(w_plus)

    def prepare(self, w_plus: Tensor, target: Tensor) -> InversionTargets:
        """Do what is done once per target, if it was not yet."""
        if self.prepared is None or self.prepared[0] is not target:
            self.prepared = target, self.inversion.prepare(target, Embedding(w_plus))
        return self.prepared[1]

    def step(self, w_plus: Tensor, target: Tensor) -> Tensor:
        """Take a step; the target is prepared in the first call with it."""
        return self.inversion.gradient(Embedding(w_plus), self.prepare(w_plus, target))[1].view_as(w_plus)


class BaseProgram:
    """The official program's step around a generator."""

    def __init__(self, render: Render, device: torch.device) -> None:
        self.renders = render
        self.features = VggFeatures(channels_last=False).to(device)

    @classmethod
    def grouped(cls, generator: Generator) -> BaseProgram:
        """Build the stand-in from our generator's weights."""
        twin = grouped(generator).requires_grad_(True)
        return cls(twin.synthesis, generator.synthesis.const.device)

    @classmethod
    def official(cls, generator: Generator, checkout: Path) -> BaseProgram:
        """Build it from the user's checkout, with our generator's weights."""
        device = generator.synthesis.const.device
        network = official_generator(checkout, generator).to(device)
        return cls(lambda w_plus: network([w_plus], input_is_latent=True, randomize_noise=False)[:2], device)

    def render(self, w_plus: Tensor) -> tuple[Tensor, Tensor]:
        """Render without gradients."""
        with torch.no_grad():
            return self.renders(w_plus)

    def step(self, w_plus: Tensor, target: Tensor) -> Tensor:
        """Take a step; the weights' gradients are computed too, as nobody has switched them off."""
        w_plus = w_plus.detach().requires_grad_(True)
        self.loss(w_plus, target).sum().backward()  # type: ignore[no-untyped-call]
        assert w_plus.grad is not None
        return w_plus.grad

    def loss(self, w_plus: Tensor, target: Tensor) -> Tensor:
        """Return the loss per image."""
        image, _ = self.renders(w_plus)
        with torch.no_grad():
            features = self.features(target)
        distance = unit_map_distance(self.features(image), features)
        return distance + IMAGE_WEIGHT * (image - target).square().flatten(1).mean(dim=1)


Runner = OurProgram | BaseProgram


def build_programs(generator: Generator, names: Sequence[str], peer: Path | None = None) -> dict[str, Runner]:
    """Build programs by name, all with the generator's weights."""
    builders: dict[str, Callable[[], Runner]] = {
        OURS: lambda: OurProgram(generator),
        OURS_BF16: lambda: OurProgram(generator, compute_dtype="bfloat16"),
        GROUPED: lambda: BaseProgram.grouped(generator),
        OFFICIAL: lambda: BaseProgram.official(generator, peer or Path()),
    }
    return {name: builders[name]() for name in names}


def require_equal(programs: Mapping[str, Runner], w_plus: Tensor) -> float:
    """Compare image and label logits of the float32 programs; return the largest difference over the largest value.

    Raises:
        CheckpointError: It is above `TOLERANCE`: what would be timed is not the same computation.
    """
    results = {name: program.render(w_plus) for name, program in programs.items() if name != OURS_BF16}
    reference = results.pop(OURS)
    worst = max(
        float((value - expected).abs().max() / expected.abs().max())
        for result in results.values()
        for value, expected in zip(result, reference, strict=True)
    )
    if not worst <= TOLERANCE:
        raise CheckpointError(f"Programs must agree to {TOLERANCE} with the same weights, but differ by {worst:.2g}.")
    return worst
