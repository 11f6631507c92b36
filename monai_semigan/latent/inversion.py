# SPDX-License-Identifier: Apache-2.0
"""Find the embedding whose image is most like a given one, starting from the encoder (test-time optimization).

SemanticGAN (Li et al. 2021), equation 8: minimize over w_plus the distance of the rendered image to the target, with a
pull to the encoder; here over the offsets too, or over them alone, if the encoder predicts some. Images are optimized
in batches; every operation acts on each sample alone and losses are summed over the batch, so an image's path does not
depend on its mates. Finished images stay in the batch: kernels, and with them the last bits of a result, are chosen by
a batch's size. Noise is fixed: nothing here is random.

What a step costs is one rendering of the image and the way back through it, and through the perceptual distance: no
label is rendered, no weight gets a gradient, the targets' features are computed once. In bfloat16 only the feature maps
are: embeddings, their gradients, the optimizer's state, heads and sums stay float32, and the result is rendered in
float32.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated

import torch
from torch import Tensor

from monai_semigan.errors import ConfigError, check_shape
from monai_semigan.latent.descent import Adam, Descent, Lbfgs, Optimizer
from monai_semigan.losses.local_correlation import local_correlation_loss
from monai_semigan.losses.perceptual import PerceptualDistance
from monai_semigan.networks.embedding import Embedding, Parts
from monai_semigan.networks.encoder import Encoder
from monai_semigan.networks.freezing import frozen
from monai_semigan.networks.generator import Generator
from monai_semigan.networks.official_encoder import OfficialEncoder
from monai_semigan.ops.precision import ComputeDtype, resolve_compute_dtype
from monai_semigan.settings import Range, check_settings
from monai_semigan.types import Progress

__all__ = ["Inversion", "InversionResult", "InversionSettings", "InversionTargets"]

logger = logging.getLogger(__name__)

Weight = Annotated[float, Range(0, 1e6)]
"""Of one term of the loss."""


@dataclass(frozen=True, kw_only=True)
class InversionSettings:
    """Numbers of the test-time optimization.

    Attributes:
        steps: Optimization steps; 0 keeps the encoder's embedding.
        optimize: What moves: ``styles``, the offsets (``features``), or ``both``.
        optimizer: ``adam``, or ``lbfgs``, which needs about half as many steps for the same loss and has no rate: it
            ignores ``learning_rate`` and the two ramps.
        learning_rate: Of Adam, at its highest.
        ramp_up: Share of the steps over which the rate rises linearly.
        ramp_down: Share of the steps over which it falls to zero along a cosine (StyleGAN2, appendix D).
        image_weight: Weight of the mean squared error of the image.
        perceptual_weight: Weight of the perceptual distance.
        correlation_weight: Weight of the squared local correlation, blind to contrast: for images of another modality
            than the generator's, with ``image_weight`` and ``perceptual_weight`` 0.
        encoder_weight: Weight of the mean squared distance of w_plus to the encoder's.
        feature_weight: Weight of the mean squared distance of the offsets to the encoder's.
        neighbor_weight: Weight of the mean squared distance of w_plus to a neighbouring slice's, where there is one.
        cycle_weight: Weight of the mean squared distance of w_plus to the encoding of the rendered image.
        cycle_gradient: Differentiate through that encoding; without it, it is only a target.
        encoder_share: Share of the encoder's label logits in the result, in [0, 1]; the rest are the refined ones. The
            two err differently where an image is unlike the training images.
        tolerance: An image is finished when its best loss has not fallen by this share within ``patience`` steps.
        patience: Steps; 0 turns the early stop off.
        compute_dtype: Of the feature maps during optimization: ``float32``, ``bfloat16``, or ``auto`` for bfloat16
            where it is fast. Asked for where it is slow, float32 runs, with a warning.
    """

    steps: Annotated[int, Range(0, 10_000)] = 50
    optimize: Parts = "styles"
    optimizer: Optimizer = "adam"
    learning_rate: Annotated[float, Range(0, 1e3, exclusive="low")] = 0.05
    ramp_up: Annotated[float, Range(0, 1)] = 0.1
    ramp_down: Annotated[float, Range(0, 1)] = 0.5
    image_weight: Weight = 2.0
    perceptual_weight: Weight = 1.0
    correlation_weight: Weight = 0.0
    encoder_weight: Weight = 0.02
    feature_weight: Weight = 0.05
    neighbor_weight: Weight = 0.0
    cycle_weight: Weight = 0.0
    cycle_gradient: bool = False
    encoder_share: Annotated[float, Range(0, 1)] = 0.0
    tolerance: Annotated[float, Range(0, 1)] = 0.01
    patience: Annotated[int, Range(0, 10_000)] = 10
    compute_dtype: ComputeDtype = "float32"

    @property
    def is_blind_to_contrast(self) -> bool:
        """Whether images are compared by local correlation alone, so that squared differences say nothing."""
        return self.correlation_weight > 0 and self.image_weight == self.perceptual_weight == 0

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class InversionResult:
    """Where the optimization ended.

    Attributes:
        embedding: Best of each image, N images.
        encoded: The encoder's.
        trace: Loss before each step and after the last, ``(N, steps + 1)``; NaN from where an image had finished.
        steps_taken: Steps per image, ``(N,)``.
        kept: Embeddings by step, as asked for; a finished image keeps its best.
    """

    embedding: Embedding
    encoded: Embedding
    trace: Tensor
    steps_taken: Tensor
    kept: dict[int, Embedding] = field(default_factory=dict)


class Inversion:
    """Invert images with a trained generator and encoder.

    Args:
        generator: Renders embeddings.
        encoder: Gives the start.
        distance: Compares images.
        settings: Steps, rates and weights.
    """

    def __init__(
        self,
        generator: Generator,
        encoder: Encoder | OfficialEncoder,
        distance: PerceptualDistance,
        settings: InversionSettings,
    ) -> None:
        self.generator, self.encoder, self.distance, self.settings = generator, encoder, distance, settings
        self.has_warned = False

    def __call__(
        self,
        image: Tensor,
        *,
        neighbors: Tensor | None = None,
        keep_at: Sequence[int] = (),
        progress: Progress | None = None,
    ) -> InversionResult:
        """Invert a batch.

        Works under a host's ``torch.no_grad`` or ``torch.inference_mode``, and without autocast.

        Args:
            image: Targets, ``(N, C, S, S)`` in [-1, 1].
            neighbors: Styles of M neighbouring slices of each image, ``(N, M, L, w_dim)``, all NaN where there is none.
                An image starts from the one whose loss is lowest, if that is below its encoder's, with its own offsets;
                their mean is what ``neighbor_weight`` pulls to.
            keep_at: Steps whose embeddings are kept.
            progress: Called with the steps done and their number.

        Raises:
            ConfigError: ``optimize`` names offsets, but the encoder predicts none.
            ShapeError: The images are not of the network's shape.
        """
        size = self.generator.image_size
        check_shape("image", image.shape, f"N {self.encoder.image_channels} {size} {size}")
        with (
            torch.inference_mode(False),
            torch.autocast(image.device.type, enabled=False),
            frozen(self.generator, self.encoder),
        ):
            target = image.detach().clone().float()
            with torch.no_grad(), self.precision(target.device):
                targets = self.prepare(target, self.encoder(target), neighbors=neighbors)
                start = targets.encoded if neighbors is None else self._best_start(targets, neighbors)
            with torch.enable_grad():
                return self._optimize(targets, start, keep_at, progress)

    @torch.no_grad()
    def prepare(self, image: Tensor, encoded: Embedding, *, neighbors: Tensor | None = None) -> InversionTargets:
        """Compute once what every step needs of images ``(N, C, S, S)`` and of the encoder's embedding of them."""
        if self.settings.optimize != "styles" and not encoded.features:
            raise ConfigError(
                f"`optimize` must be styles for an encoder without `feature_sizes`, got {self.settings.optimize}."
            )
        features = list(self.distance.prepare(self._narrowed(image)))
        return InversionTargets(image, features, encoded, _mean_neighbor(neighbors))

    def gradient(self, at: Embedding, targets: InversionTargets) -> tuple[Tensor, Tensor]:
        """Return the loss per image, ``(N,)``, and the gradient of its sum in what is optimized, ``(N, 1, M)``."""
        parts = self.settings.optimize
        with self.precision(at.w_plus.device):
            packed = at.packed(parts).detach().requires_grad_(True)
            loss = self._loss(at.unpacked(packed, parts), targets)
            (grad,) = torch.autograd.grad(loss.sum(), packed)
        return loss.detach(), grad

    @contextmanager
    def precision(self, device: torch.device) -> Iterator[None]:
        """Compute the generator's feature maps as ``compute_dtype`` says inside the block."""
        synthesis, dtype = self.generator.synthesis, self._dtype(device)
        if dtype == torch.float32:
            yield
            return
        before = synthesis.compute_dtype
        try:
            synthesis.compute_dtype = dtype
            yield
        finally:
            synthesis.compute_dtype = before

    def _best_start(self, targets: InversionTargets, neighbors: Tensor) -> Embedding:
        starts = [targets.encoded.w_plus, *neighbors.unbind(dim=1)]
        losses = torch.stack([self._loss(targets.encoded.with_styles(start), targets) for start in starts])
        chosen = losses.nan_to_num(math.inf).argmin(dim=0)  # NaN, where there is no neighbour
        return targets.encoded.with_styles(torch.stack(starts)[chosen, torch.arange(len(chosen), device=chosen.device)])

    def _optimize(
        self, targets: InversionTargets, start: Embedding, keep_at: Sequence[int], progress: Progress | None
    ) -> InversionResult:
        settings, total = self.settings, self.settings.steps
        packed = start.packed(settings.optimize).clone()
        best = _Best(packed, total)
        descent: Descent = Adam(self._rate) if settings.optimizer == "adam" else Lbfgs()
        kept: dict[int, Embedding] = {}

        def unpacked(numbers: Tensor) -> Embedding:
            return start.unpacked(numbers, settings.optimize)

        for step in range(total + 1):
            is_last = step == total
            at = unpacked(packed)
            loss, grad = self._last_loss(at, targets) if is_last else self.gradient(at, targets)
            best.update(step, loss, packed)
            if step in keep_at:
                kept[step] = unpacked(torch.where(best.is_moving[:, None, None], packed, best.packed)).detach()
            if progress is not None:
                progress(step, total)
            if is_last:
                break
            with torch.no_grad():
                packed = descent.step(packed, loss, grad)
            # No image can finish before its patience ends: until then a GPU is not waited for.
            if settings.patience and best.all_finished(settings, can_be=step >= settings.patience):
                kept |= {at: unpacked(best.packed).detach() for at in keep_at if step < at <= total}
                break
        return InversionResult(unpacked(best.packed), targets.encoded, best.trace, best.steps_taken, kept)

    @torch.no_grad()
    def _last_loss(self, at: Embedding, targets: InversionTargets) -> tuple[Tensor, Tensor]:
        """Return the loss, and no gradient."""
        with self.precision(at.w_plus.device):
            return self._loss(at, targets), at.w_plus.new_empty(0)

    def _loss(self, at: Embedding, targets: InversionTargets) -> Tensor:
        settings, w_plus = self.settings, at.w_plus
        image = self.generator.synthesis.image(at)
        loss = settings.image_weight * (image - targets.image).square().flatten(1).mean(dim=1)
        if settings.perceptual_weight > 0:
            distance = self.distance(self._narrowed(image), targets.prepared)
            loss = loss + settings.perceptual_weight * distance
        if settings.correlation_weight > 0:
            loss = loss + settings.correlation_weight * local_correlation_loss(image, targets.image)
        loss = loss + settings.encoder_weight * _distance(w_plus, targets.encoded.w_plus)
        if settings.optimize != "styles":  # else the offsets are the encoder's
            loss = loss + settings.feature_weight * at.feature_distance(targets.encoded)
        if settings.neighbor_weight > 0 and targets.neighbor is not None:
            # Without a neighbour the distance is NaN and counts as none.
            apart = (w_plus - targets.neighbor).nan_to_num(0.0).square().flatten(1).mean(dim=1)
            loss = loss + settings.neighbor_weight * apart
        if settings.cycle_weight > 0:
            with torch.set_grad_enabled(settings.cycle_gradient):
                encoded = self.encoder(image).w_plus
            loss = loss + settings.cycle_weight * _distance(w_plus, encoded)
        return loss  # (N,)

    def _narrowed(self, image: Tensor) -> Tensor:
        """Cast an image to bfloat16, if that is what is computed in; a perceptual network follows its input."""
        return image.bfloat16() if self._dtype(image.device) == torch.bfloat16 else image

    def _dtype(self, device: torch.device) -> torch.dtype:
        dtype, obstacle = resolve_compute_dtype(self.settings.compute_dtype, device)
        if obstacle is not None and not self.has_warned:
            logger.warning("bfloat16 would be slow here, as %s: the inversion computes in float32.", obstacle)
            self.has_warned = True
        return dtype

    def _rate(self, step: int) -> float:
        """Learning rate of a step: its middle counts, so that no step is wasted on a rate of zero."""
        settings, done = self.settings, (step + 0.5) / self.settings.steps
        rise = min(1.0, done / settings.ramp_up) if settings.ramp_up else 1.0
        fall = min(1.0, (1 - done) / settings.ramp_down) if settings.ramp_down else 1.0
        return settings.learning_rate * rise * (0.5 - 0.5 * math.cos(fall * math.pi))


@dataclass(frozen=True)
class InversionTargets:
    """What is known of the targets before the first step.

    Attributes:
        image: ``(N, C, S, S)`` in [-1, 1].
        prepared: What the perceptual distance made of them.
        encoded: The encoder's embedding.
        neighbor: Mean styles of the neighbouring slices, ``(N, L, w_dim)``, NaN where there is none.
    """

    image: Tensor
    prepared: list[Tensor]
    encoded: Embedding
    neighbor: Tensor | None = None


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean square per image, ``(N,)``."""
    return (a - b).square().flatten(1).mean(dim=1)


def _mean_neighbor(neighbors: Tensor | None) -> Tensor | None:
    return None if neighbors is None else neighbors.nanmean(dim=1)


class _Best:
    """The best numbers so far, packed, the trace, and which images still move: those that lately got better."""

    def __init__(self, start: Tensor, steps: int) -> None:
        n = len(start)
        self.packed = start.clone()
        self.loss = start.new_full((n,), math.inf)
        self.reference = self.loss.clone()  # loss that has to be undercut by the tolerance
        self.reference_step = torch.zeros(n, dtype=torch.long, device=start.device)
        self.is_moving = torch.ones(n, dtype=torch.bool, device=start.device)
        self.trace = start.new_full((n, steps + 1), math.nan)
        self.steps_taken = torch.zeros_like(self.reference_step)

    def update(self, step: int, loss: Tensor, packed: Tensor) -> None:
        moving = self.is_moving
        self.trace[:, step] = torch.where(moving, loss, math.nan)
        self.steps_taken = torch.where(moving, step, self.steps_taken)
        improved = moving & (loss < self.loss)  # False for NaN: a diverged image keeps its best
        self.loss = torch.where(improved, loss, self.loss)
        self.packed = torch.where(improved[:, None, None], packed, self.packed)

    def all_finished(self, settings: InversionSettings, *, can_be: bool) -> bool:
        """Stop the images that did not get better within the patience; tell whether none is left, if that can be."""
        progressed = self.loss < self.reference * (1 - settings.tolerance)
        self.reference = torch.where(progressed, self.loss, self.reference)
        self.reference_step = torch.where(progressed, self.steps_taken, self.reference_step)
        self.is_moving &= self.steps_taken - self.reference_step < settings.patience
        return can_be and not bool(self.is_moving.any())
