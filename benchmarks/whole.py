# SPDX-License-Identifier: Apache-2.0
"""Whole inversions of neighbouring slices with a trained network: ours against the official way to go about it.

The network is that of the shipped lung bundle, and the slices are a sample of it, moved and scaled a little from one to
the next. The base starts every slice from the encoder, takes one after the other, 100 steps of Adam as published
(rate 0.1, rising over 5 % and falling over the last 25 % of the steps, last step kept), in the grouped formulation.
Ours runs as `semigan segment` does on volumes: even slices at once, then odd ones from their neighbours, each with its
early stop. Ours may take as few steps as reach the base's mean loss.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from benchmarks.grouped import grouped
from benchmarks.measure import Row
from benchmarks.programs import GROUPED, OURS
from monai_semigan.bundle.bundle import load_network, open_bundle
from monai_semigan.bundles import bundle_root
from monai_semigan.errors import InputError
from monai_semigan.io.image_file import find_images, read_image
from monai_semigan.latent.inversion import Inversion, InversionSettings
from monai_semigan.losses.perceptual import FeatureDistance
from monai_semigan.networks.embedding import Embedding
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.stack import SlicewiseSettings, segment_stack

__all__ = ["same_loss_row", "volume_row"]

BUNDLE = "lung_cxr_segmentation"
BASE_STEPS = 100
STEP_COUNTS = (5, 7, 10, 14, 20, 28, 40, 56, 80)


def same_loss_row(*, slices: int = 16, base_steps: int = BASE_STEPS, step_counts: Sequence[int] = STEP_COUNTS) -> Row:
    """Time ours and the base until both have the same mean loss.

    Raises:
        InputError: No number of steps reaches it.
    """
    network, settings = _network()
    images = moved_slices(slices)
    started = time.process_time()
    reached = _one_by_one(grouped(network), images, replace(settings, steps=base_steps))
    base_seconds = time.process_time() - started
    for steps in step_counts:
        started = time.process_time()
        loss = _stacked(network, images, replace(settings, steps=steps))
        seconds = time.process_time() - started
        if loss <= reached:
            return Row.of(
                f"inversion of {slices} slices to the same loss", network.generator.image_size, slices,
                {OURS: seconds, GROUPED: base_seconds}, unit="CPU-s", base=GROUPED,
                steps={OURS: steps, GROUPED: base_steps}, loss={OURS: loss, GROUPED: reached},
            )  # fmt: skip
    raise InputError(f"No number of steps in {step_counts} reached the base's loss of {reached:.4f}.")


def volume_row(slices: int) -> Row:
    """Time the segmentation of a stack as the bundle's settings say."""
    network, settings = _network()
    images = moved_slices(slices)
    started = time.process_time()
    numbers = segment_stack(
        _inversion(network, settings), _Stack(images), SlicewiseSettings(), receive=lambda *_: None, are_neighbors=True
    )
    seconds = time.process_time() - started
    return Row.of(
        f"segmentation of {slices} slices", network.generator.image_size, slices, {OURS: seconds}, unit="CPU-s",
        base=GROUPED, refined=int(numbers.is_refined.sum()), steps=settings.steps,
    )  # fmt: skip


def moved_slices(count: int) -> Tensor:
    """Prepare a sample image, then turn and scale it a little from slice to slice, ``(count, 1, S, S)``."""
    bundle = open_bundle(BUNDLE)
    path = find_images([bundle_root(BUNDLE) / "samples" / "images"])[0]
    image = bundle.preset.prepare(read_image(path).pixels)[0][0]
    center = (np.array(image.shape) - 1) / 2
    moved = []
    for at in np.linspace(-1, 1, count):
        angle, scale = 0.1 * at, 1 + 0.06 * at
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) / scale
        moved.append(ndimage.affine_transform(image, turn, center - turn @ center, order=1, mode="nearest"))
    return torch.from_numpy(np.stack(moved).astype(np.float32))[:, None]


class _Stack:
    def __init__(self, images: Tensor) -> None:
        self.images = images.numpy()

    def __len__(self) -> int:
        return len(self.images)

    def prepared(self, indices: Sequence[int]) -> np.ndarray:
        return self.images[indices]


def _network() -> tuple[SemiGanSegmenter, InversionSettings]:
    bundle = open_bundle(BUNDLE)
    return load_network(bundle, device=torch.device("cpu")), bundle.inversion


def _inversion(network: SemiGanSegmenter, settings: InversionSettings) -> Inversion:
    return Inversion(network.generator, network.encoder, FeatureDistance(network.d_image.features), settings)


def _stacked(network: SemiGanSegmenter, images: Tensor, settings: InversionSettings) -> float:
    """Refine even slices, then odd ones from their neighbours; return the mean of the best losses."""
    inversion = _inversion(network, settings)
    even = inversion(images[::2])
    following = even.embedding.w_plus.roll(-1, dims=0).clone()
    following[-1] = torch.nan  # the last odd slice has only one neighbour, if their number is even
    neighbors = torch.stack([even.embedding.w_plus, following], dim=1)[: len(images) // 2]
    odd = inversion(images[1::2], neighbors=neighbors)
    losses = [result.trace.nan_to_num(math.inf).amin(dim=1) for result in (even, odd)]
    return float(torch.cat(losses).mean())


def _one_by_one(network: SemiGanSegmenter, images: Tensor, settings: InversionSettings) -> float:
    """Refine one slice after the other as the official program does; return the mean of the last losses."""
    network.requires_grad_(True)
    inversion = _inversion(network, settings)
    losses = []
    for image in images.split(1):
        with torch.no_grad():
            encoded = network.encoder(image)
        w_plus = encoded.w_plus.clone().requires_grad_(True)
        adam = torch.optim.Adam([w_plus], lr=0.1)
        for step in range(settings.steps + 1):
            loss = inversion._loss(Embedding(w_plus), inversion.prepare(image, encoded))[
                0
            ]  # features anew in every step
            if step == settings.steps:
                break
            adam.param_groups[0]["lr"] = 0.1 * _published_ramp(step / settings.steps)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
        losses.append(float(loss.detach()))
    return statistics.fmean(losses)


def _published_ramp(done: float) -> float:
    """StyleGAN2's projector (Karras et al. 2020, appendix D): linear rise, cosine fall; 0 at the very start."""
    fall = min(1.0, (1 - done) / 0.25)
    return min(1.0, done / 0.05) * (0.5 - 0.5 * math.cos(fall * math.pi))
