# SPDX-License-Identifier: Apache-2.0
"""A stack of slices through a 2-D network: encode all, look where the organ can be, refine there.

Images are a stack whose slices have nothing to do with each other: all are refined. In a volume, refinement runs twice
over the slices that have the organ, first the even ones from the encoder, then the odd ones, which may start from what
their neighbours found. So slices are still refined in batches, and every second one profits from its neighbours.

Convolutions choose their kernels by the size of the batch, so finished slices stay in theirs. Batches of images have
the size that was asked for, and a smaller one is filled with copies: a result does not depend on an image's mates. A
volume is worked through as a whole, so its slices are shared out evenly, and few copies are needed. What is kept for
all slices is small (styles and numbers, some kilobytes a slice); images, offsets and logits live for one batch: a slice
that starts from a neighbour takes its styles alone, as offsets belong to their own image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Protocol

import numpy as np
import torch
from torch import Tensor

from monai_semigan.errors import ConfigError
from monai_semigan.latent.inversion import Inversion
from monai_semigan.losses.local_correlation import local_correlation_loss
from monai_semigan.networks.embedding import Embedding
from monai_semigan.segmentation.fusion import LabelFusion
from monai_semigan.segmentation.ood import OodReference
from monai_semigan.settings import Range, check_settings
from monai_semigan.types import Progress

__all__ = ["SliceNumbers", "SliceOutput", "SliceSource", "SlicewiseSettings", "segment_stack"]


@dataclass(frozen=True, kw_only=True)
class SlicewiseSettings:
    """How a stack is worked through.

    Attributes:
        batch_size: Slices at once.
        min_share: Share of the network's square that foreground must cover for a slice to count as having the organ.
        margin: Slices above and below those with the organ that are refined too: the first pass may miss thin ends.
        max_tissue_shift: Where an organ ends along the stack, see `limit_extent`; with ``max_tissue_spread``, or None.
        max_tissue_spread: See `limit_extent`.
    """

    batch_size: Annotated[int, Range(1, 4096)] = 16
    min_share: Annotated[float, Range(0, 1, exclusive="high")] = 0.002
    margin: Annotated[int, Range(0, 1000)] = 1
    max_tissue_shift: Annotated[float, Range(0, 1e6, exclusive="low")] | None = None
    max_tissue_spread: Annotated[float, Range(0, 1e6, exclusive="low")] | None = None

    def __post_init__(self) -> None:
        check_settings(self)
        if (self.max_tissue_shift is None) != (self.max_tissue_spread is None):
            raise ConfigError(
                "`max_tissue_shift` and `max_tissue_spread` must both be given or both be missing, "
                f"got {self.max_tissue_shift} and {self.max_tissue_spread}."
            )


class SliceSource(Protocol):
    """Slices prepared for the network, when they are asked for."""

    def __len__(self) -> int:
        """Number of slices."""

    def prepared(self, indices: Sequence[int]) -> np.ndarray:
        """Return slices ``(N, C, S, S)`` float32 in [-1, 1]; NaN throughout for a slice without anything to see."""


@dataclass(frozen=True)
class SliceOutput:
    """What the network made of a slice.

    Attributes:
        label_logits: ``(K, S, S)`` float32.
        reconstruction: The generator's image, ``(C, S, S)`` float32, about [-1, 1].
    """

    label_logits: np.ndarray
    reconstruction: np.ndarray


@dataclass(frozen=True)
class SliceNumbers:
    """What is known of each slice, S slices.

    Attributes:
        is_empty: Nothing to see, ``(S,)`` bool.
        is_refined: Refined by inversion, ``(S,)`` bool.
        has_label: Some class covers enough of the square, ``(S,)`` bool.
        image_error: Of the final reconstruction, ``(S,)`` float32, NaN where there is none: mean squared, or by local
            correlation where the inversion compares images so.
        encoder_image_error: The same of the encoder's reconstruction.
        overlap: See `expected_overlap`, ``(S, K - 1, 2)`` float32; zeros in slices without label.
        steps_taken: Of the inversion, ``(S,)``.
        traces: Loss of the inversion by step; empty for a slice that was not refined.
        ood: Steps from what is usual by part of the reference, ``(S, P)`` float64, see `OodReference`; NaN where there
            is nothing to see, and P is 0 without a reference.
    """

    is_empty: np.ndarray
    is_refined: np.ndarray
    has_label: np.ndarray
    image_error: np.ndarray
    encoder_image_error: np.ndarray
    overlap: np.ndarray
    steps_taken: np.ndarray
    traces: list[tuple[float, ...]] = field(default_factory=list)
    ood: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))

    @classmethod
    def blank(cls, count: int, num_classes: int, num_parts: int = 0) -> SliceNumbers:
        """Return the numbers of slices that were not looked at yet."""
        return cls(
            is_empty=np.zeros(count, dtype=bool),
            is_refined=np.zeros(count, dtype=bool),
            has_label=np.zeros(count, dtype=bool),
            image_error=np.full(count, np.nan, dtype=np.float32),
            encoder_image_error=np.full(count, np.nan, dtype=np.float32),
            overlap=np.zeros((count, num_classes - 1, 2), dtype=np.float32),
            steps_taken=np.zeros(count, dtype=np.int64),
            traces=[()] * count,
            ood=np.full((count, num_parts), np.nan),
        )


def segment_stack(
    inversion: Inversion,
    source: SliceSource,
    settings: SlicewiseSettings,
    *,
    receive: Callable[[int, SliceOutput], None],
    are_neighbors: bool,
    reference: OodReference | None = None,
    progress: Progress | None = None,
) -> SliceNumbers:
    """Segment a stack; a host's autocast is turned off inside: it would change the result.

    Args:
        inversion: With a trained generator and encoder; ``steps=0`` in its settings is the encoder alone.
        source: The slices.
        settings: Batches and the rule for where the organ can be.
        receive: Called as ``receive(index, output)``, in any order, for every slice; in a volume for those with label
            alone, the others are background.
        are_neighbors: Whether the slices lie side by side in a volume.
        reference: What slices are compared with, to say how unlike they are; None says nothing of it.
        progress: Called with work done and in all: a slice counts once, and once more if it is refined in a second
            pass.
    """
    stack = _Stack(inversion, source, settings, receive, are_neighbors, reference, progress)
    with torch.autocast(stack.device.type, enabled=False):
        if are_neighbors or inversion.settings.steps == 0:
            stack.encode()
        if inversion.settings.steps > 0:
            stack.refine()
    return stack.numbers


class _Stack:
    def __init__(
        self,
        inversion: Inversion,
        source: SliceSource,
        settings: SlicewiseSettings,
        receive: Callable[[int, SliceOutput], None],
        are_neighbors: bool,
        reference: OodReference | None,
        progress: Progress | None,
    ) -> None:
        self.inversion, self.source, self.settings = inversion, source, settings
        self.receive, self.are_neighbors, self.progress = receive, are_neighbors, progress
        self.reference = reference
        generator = inversion.generator
        self.synthesis, self.device = generator.synthesis, generator.mapping.latent_avg.device
        self.fusion = LabelFusion(inversion.settings.encoder_share)
        num_parts = 0 if reference is None else len(reference.names)
        self.numbers = SliceNumbers.blank(len(source), generator.synthesis.num_classes, num_parts)
        self.w_plus = torch.full((0, generator.num_layers, generator.mapping.w_dim), torch.nan)  # of refined slices
        self.done, self.total = 0, len(source)

    def encode(self) -> None:
        """First pass: the encoder's result for every slice; handed out at once where no refinement follows."""
        is_final = self.inversion.settings.steps == 0
        for indices, size in self._batches(list(range(len(self.source)))):
            image, kept = self._load(indices, size)
            if kept:
                with torch.inference_mode():
                    encoded = self.inversion.encoder(image)
                    self._finish(kept, image, encoded, encoded, is_final=is_final)
            self._advance(len(indices))

    def refine(self) -> None:
        """Refine all images; of a volume the slices with label and their margin, odd ones after even ones."""
        numbers = self.numbers
        if not self.are_neighbors:
            self._refine_all(list(range(len(self.source))), after=False)
            return
        numbers.is_refined[:] = _grown(numbers.has_label, self.settings.margin) & ~numbers.is_empty
        chosen = np.flatnonzero(numbers.is_refined).tolist()
        self.total += len(chosen)
        self.w_plus = self.w_plus.new_full((len(self.source), *self.w_plus.shape[1:]), torch.nan)
        for parity in (0, 1):
            self._refine_all([index for index in chosen if index % 2 == parity], after=parity == 1)

    def _refine_all(self, indices: list[int], *, after: bool) -> None:
        for batch, size in self._batches(indices):
            image, kept = self._load(batch, size)
            if kept:
                result = self.inversion(image, neighbors=self._neighbors(kept, len(image)) if after else None)
                if self.are_neighbors:
                    self.w_plus[kept] = result.embedding.w_plus[: len(kept)].cpu()
                with torch.inference_mode():
                    self._finish(kept, image, result.embedding, result.encoded, is_final=True)
                self.numbers.is_refined[kept] = True
                self.numbers.steps_taken[kept] = result.steps_taken[: len(kept)].cpu().numpy()
                for index, trace in zip(kept, result.trace.tolist(), strict=False):
                    self.numbers.traces[index] = tuple(loss for loss in trace if math.isfinite(loss))
            self._advance(len(batch))

    def _batches(self, indices: list[int]) -> Iterator[tuple[list[int], int]]:
        """Yield batches, and the size that each is filled up to."""
        size = self.settings.batch_size
        if self.are_neighbors and indices:
            size = math.ceil(len(indices) / math.ceil(len(indices) / size))
        for start in range(0, len(indices), size):
            yield indices[start : start + size], size

    def _load(self, indices: list[int], size: int) -> tuple[Tensor, list[int]]:
        """Return the prepared slices, filled up to a batch of a size, and which ones they are: without empty ones."""
        image = torch.from_numpy(self.source.prepared(indices))
        is_empty = image.flatten(1).isnan().any(dim=1)
        self.numbers.is_empty[indices] = is_empty.numpy()
        kept = [index for index, empty in zip(indices, is_empty.tolist(), strict=True) if not empty]
        image = image[~is_empty]
        missing = size - len(image) if kept else 0
        return torch.cat([image, image[-1:].expand(missing, -1, -1, -1)]).to(self.device), kept

    def _neighbors(self, indices: list[int], count: int) -> Tensor:
        """Styles of the slices before and after, ``(count, 2, L, w_dim)``, NaN where there are none."""
        padded = torch.full_like(self.w_plus[:1], torch.nan)
        around = torch.cat([padded, self.w_plus, padded])
        at = torch.tensor(indices + indices[-1:] * (count - len(indices))) + 1
        return torch.stack([around[at - 1], around[at + 1]], dim=1).to(self.device)

    def _finish(
        self, indices: list[int], image: Tensor, embedding: Embedding, encoded: Embedding, *, is_final: bool
    ) -> None:
        """Render, note the numbers of the slices, and hand them out."""
        numbers, count = self.numbers, len(indices)
        reconstruction, refined_logits = self.synthesis(embedding)
        start, encoded_logits = (reconstruction, refined_logits) if encoded is embedding else self.synthesis(encoded)
        fused = self.fusion(refined_logits, encoded_logits)
        numbers.image_error[indices] = self._error(reconstruction, image)[:count].cpu()
        numbers.encoder_image_error[indices] = self._error(start, image)[:count].cpu()
        if self.reference is not None:
            numbers.ood[indices] = self.reference(image, encoded, start, encoded_logits)[:count].cpu().numpy()
        share = (fused.label_logits.argmax(dim=1) > 0).float().flatten(1).mean(dim=1)
        least = self.settings.min_share if self.are_neighbors else 0.0
        has_label = (share >= max(least, 1e-9))[:count].cpu().numpy()
        numbers.has_label[indices] = has_label
        if not is_final:
            return
        numbers.overlap[indices] = fused.overlap[:count].cpu().numpy() * has_label[:, None, None]
        logits, images = fused.label_logits[:count].float().cpu().numpy(), reconstruction[:count].float().cpu().numpy()
        for row, index in enumerate(indices):
            if has_label[row] or not self.are_neighbors:
                self.receive(index, SliceOutput(logits[row], images[row]))

    def _error(self, reconstruction: Tensor, image: Tensor) -> Tensor:
        if self.inversion.settings.is_blind_to_contrast:
            return local_correlation_loss(reconstruction, image)
        return (reconstruction - image).square().flatten(1).mean(dim=1)

    def _advance(self, count: int) -> None:
        self.done += count
        if self.progress is not None:
            self.progress(self.done, self.total)


def _grown(mask: np.ndarray, margin: int) -> np.ndarray:
    """Add ``margin`` neighbours on both sides of every True."""
    grown = mask.copy()
    for distance in range(1, margin + 1):
        grown[distance:] |= mask[:-distance]
        grown[:-distance] |= mask[distance:]
    return grown
