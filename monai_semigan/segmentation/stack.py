# SPDX-License-Identifier: Apache-2.0
"""A stack of slices through a 2-D network: encode all, look where the organ can be, refine there.

Refinement runs twice over the stack, first the even slices from the encoder, then the odd ones, which may start from
what their neighbours found. So slices are still refined in batches, and every second one profits from its neighbours.
Whatever is kept for all slices is small (styles and numbers, some kilobytes a slice); images and logits live for one
batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

import numpy as np
import torch
from torch import Tensor

from monai_semigan.errors import ConfigError
from monai_semigan.latent.inversion import Inversion, InversionSettings
from monai_semigan.losses.local_correlation import local_correlation_loss
from monai_semigan.losses.perceptual import FeatureDistance
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.expected_dice import expected_overlap
from monai_semigan.settings import Range, check_settings
from monai_semigan.types import Progress

__all__ = ["SliceNumbers", "SliceSource", "SlicewiseSettings", "segment_slices"]


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
class SliceNumbers:
    """What is known of each slice afterwards, ``(K,)`` where nothing else is said.

    Attributes:
        is_empty: Nothing to see: the network was not asked.
        is_refined: Inversion was run.
        has_organ: Foreground covers at least ``min_share`` of the square in the final result.
        image_error: Mean squared error of the final reconstruction, or the local correlation loss of settings that are
            blind to contrast; NaN for empty slices.
        encoder_image_error: The same of the encoder's.
        overlap: `expected_overlap` of each slice, ``(K, C - 1, 2)`` for C classes; zeros without the organ.
    """

    is_empty: np.ndarray
    is_refined: np.ndarray
    has_organ: np.ndarray
    image_error: np.ndarray
    encoder_image_error: np.ndarray
    overlap: np.ndarray


def segment_slices(
    network: SemiGanSegmenter,
    source: SliceSource,
    inversion: InversionSettings,
    settings: SlicewiseSettings,
    *,
    write: Callable[[int, np.ndarray], None],
    progress: Progress | None = None,
) -> SliceNumbers:
    """Segment a stack; a host's autocast is turned off inside: it would change the result.

    Args:
        network: Trained, on its device.
        source: The slices.
        inversion: Settings of the refinement; ``steps=0`` is the encoder alone.
        settings: Batches and the rule for where the organ can be.
        write: Called as ``write(index, label_logits)`` with ``(K, S, S)`` float32 of every slice that has the organ, in
            any order; slices for which it is not called are background.
        progress: Called with work done and in all: a slice counts once, and ``steps`` more if it is refined.

    Raises:
        CheckpointError: The network has no trained weights.
    """
    network.require_trained()
    stack = _Stack(network, source, inversion, settings, write, progress)
    with torch.autocast(stack.device.type, enabled=False):
        stack.encode()
        if inversion.steps > 0:
            stack.refine()
    return SliceNumbers(**{name: value.numpy() for name, value in stack.numbers.items()})


class _Stack:
    def __init__(
        self,
        network: SemiGanSegmenter,
        source: SliceSource,
        inversion: InversionSettings,
        settings: SlicewiseSettings,
        write: Callable[[int, np.ndarray], None],
        progress: Progress | None,
    ) -> None:
        self.network, self.source, self.settings = network, source, settings
        self.write, self.progress = write, progress
        self.device = network.generator.mapping.latent_avg.device
        self.inversion = Inversion(
            network.generator, network.encoder, FeatureDistance(network.d_image.features), inversion
        )
        count = len(source)
        self.numbers = {name: torch.zeros(count, dtype=torch.bool) for name in ("is_empty", "is_refined", "has_organ")}
        self.numbers |= {name: torch.full((count,), torch.nan) for name in ("image_error", "encoder_image_error")}
        self.numbers["overlap"] = torch.zeros(count, network.generator.synthesis.num_classes - 1, 2)
        self.w_plus: Tensor | None = None  # (K, L, w_dim) of refined slices, NaN elsewhere
        self.done, self.total = 0, count

    def encode(self) -> None:
        """First pass: the encoder's result for every slice; written at once where no refinement follows."""
        is_final = self.inversion.settings.steps == 0
        for indices in _batches(list(range(len(self.source))), self.settings.batch_size):
            image, kept = self._load(indices)
            if kept:
                with torch.inference_mode():
                    w_plus = self.network.encoder(image)
                    self._finish(kept, image, w_plus, w_plus, is_final=is_final, name="encoder_image_error")
            self._advance(len(indices))
        self.numbers["image_error"].copy_(self.numbers["encoder_image_error"])

    def refine(self) -> None:
        """Second pass: even slices, then odd ones from their neighbours; slices in the margin as well."""
        chosen = _grown(self.numbers["has_organ"], self.settings.margin) & ~self.numbers["is_empty"]
        indices = [int(index) for index in chosen.nonzero()[:, 0]]
        self.numbers["is_refined"] = chosen
        self.total += len(indices)
        generator = self.network.generator
        self.w_plus = torch.full((len(self.source), generator.num_layers, generator.mapping.w_dim), torch.nan)
        for parity in (0, 1):
            for batch in _batches([index for index in indices if index % 2 == parity], self.settings.batch_size):
                image, kept = self._load(batch)
                result = self.inversion(image, neighbors=self._neighbors(kept) if parity else None)
                self.w_plus[kept] = result.w_plus.cpu()
                with torch.inference_mode():
                    self._finish(kept, image, result.w_plus, result.encoder_w_plus, is_final=True, name="image_error")
                self._advance(len(batch))

    def _load(self, indices: list[int]) -> tuple[Tensor, list[int]]:
        image = torch.from_numpy(self.source.prepared(indices))
        is_empty = image.flatten(1).isnan().any(dim=1)
        self.numbers["is_empty"][indices] = is_empty
        kept = [index for index, empty in zip(indices, is_empty.tolist(), strict=True) if not empty]
        return image[~is_empty].to(self.device), kept

    def _neighbors(self, indices: list[int]) -> Tensor:
        """Styles of the slices before and after, ``(N, 2, L, w_dim)``, NaN where there are none."""
        assert self.w_plus is not None
        padded = torch.cat([torch.full_like(self.w_plus[:1], torch.nan)] * 2)
        around = torch.cat([padded[:1], self.w_plus, padded[1:]])
        at = torch.tensor(indices) + 1
        return torch.stack([around[at - 1], around[at + 1]], dim=1).to(self.device)

    def _finish(
        self, indices: list[int], image: Tensor, w_plus: Tensor, encoded: Tensor, *, is_final: bool, name: str
    ) -> None:
        synthesis, share = self.network.generator.synthesis, self.inversion.settings.encoder_share
        reconstruction, refined_logits = synthesis(w_plus)
        encoded_logits = refined_logits if encoded is w_plus else synthesis(encoded)[1]
        label_logits = refined_logits.lerp(encoded_logits, share)
        if self.inversion.settings.is_blind_to_contrast:
            error = local_correlation_loss(reconstruction, image)
        else:
            error = (reconstruction - image).square().flatten(1).mean(dim=1)
        self.numbers[name][indices] = error.cpu()
        foreground = (label_logits.argmax(dim=1) > 0).float().flatten(1).mean(dim=1)
        has_organ = (foreground >= max(self.settings.min_share, 1e-9)).cpu()
        self.numbers["has_organ"][indices] = has_organ
        if is_final:
            overlap = expected_overlap(label_logits, refined_logits, encoded_logits).cpu()
            self.numbers["overlap"][indices] = overlap * has_organ[:, None, None]
            logits = label_logits.float().cpu().numpy()
            for row, index in enumerate(indices):
                if has_organ[row]:
                    self.write(index, logits[row])

    def _advance(self, count: int) -> None:
        self.done += count
        if self.progress is not None:
            self.progress(self.done, self.total)


def _grown(mask: Tensor, margin: int) -> Tensor:
    """Add ``margin`` neighbours on both sides of every True."""
    grown = mask.clone()
    for distance in range(1, margin + 1):
        grown[distance:] |= mask[:-distance]
        grown[:-distance] |= mask[distance:]
    return grown


def _batches(indices: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(indices), size):
        yield indices[start : start + size]
