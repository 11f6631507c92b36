# SPDX-License-Identifier: Apache-2.0
"""A volume to its label: axial slices as radiologists see them, through the network, back onto the volume's own voxels.

Nothing is resampled between slices, and in the plane only label logits are: a voxel's label is decided at the voxel.
The label map is written slice by slice as it is found, so that beside the volume and its label only one batch of slices
is in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from monai_semigan.domains.base import StackPreset
from monai_semigan.errors import InputError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import DISPLAY_AXCODES, reorient_to
from monai_semigan.latent.inversion import Inversion
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.extent import limit_extent
from monai_semigan.segmentation.ood import OodReference
from monai_semigan.segmentation.stack import SliceNumbers, SliceOutput, SlicewiseSettings, segment_stack
from monai_semigan.transforms.square import SquareGeometry
from monai_semigan.types import Progress

__all__ = ["PROBABILITY_LEVELS", "VolumeResult", "peak_memory_gib", "prepare_slice", "segment_volume"]

PROBABILITY_LEVELS = 255
"""Probabilities are kept as whole numbers from 0 to this: a fourth of float32's memory, finer than anyone reads."""

BASE_GIB = 0.6
"""Allowance for interpreter, libraries and a network of usual size; not fitted."""

BIAS_BYTES = 30
"""Per voxel, while the bias field is corrected: signal, field, its logarithm and exponential, float64 in part."""

RULES_BYTES = 4
"""Per voxel of the volume, while pieces and holes are searched: 8 in the box around a class, at most half of it."""

PROBABILITY_BYTES = 9
"""Per voxel, while probabilities are written: whole numbers, float32, and the writer's copy."""

SLICE_FLOATS = 40
"""Float32 values that a slice in work needs at once, per pixel of the network's square and channel of its finest layer:
activations, and with inversion their gradients. An allowance, not fitted."""


class _PreparedSlices:
    """The slices of a volume whose axes grow to left, posterior and superior, prepared when they are asked for."""

    def __init__(self, voxels: np.ndarray, spacing_mm: tuple[float, float, float], preset: StackPreset) -> None:
        self.preset, self.spacing_mm = preset, (spacing_mm[1], spacing_mm[0])  # rows grow along J, columns along I
        self.slices = preset.corrected(voxels.transpose(2, 1, 0))
        self.window = preset.window_of(self.slices)
        self.boxes = preset.frames(self.slices, spacing_mm=self.spacing_mm)
        self._geometries: dict[int, SquareGeometry] = {}

    def __len__(self) -> int:
        return len(self.slices)

    def prepared(self, indices: Sequence[int]) -> np.ndarray:
        return np.stack([self._prepare(index) for index in indices])

    def _prepare(self, index: int) -> np.ndarray:
        pixels, size = self.slices[index], self.preset.image_size
        if pixels.min() == pixels.max():
            return np.full((self.preset.channels, size, size), np.nan, dtype=np.float32)
        image, self._geometries[index] = self.preset.prepare(
            pixels, spacing_mm=self.spacing_mm, box=self.boxes[index], window=self.window
        )
        return image

    def geometry(self, index: int) -> SquareGeometry:
        """Return how a slice ``(rows, columns)``, prepared before, lies in the network's square."""
        return self._geometries[index]


@dataclass(frozen=True)
class VolumeResult:
    """A segmented volume.

    Attributes:
        label: Class ids, ``(I, J, K)`` uint8, on the source's grid.
        probability: Of any foreground, ``(I, J, K)`` uint8 from 0 to `PROBABILITY_LEVELS`; None if not asked for.
        slices: Numbers of the axial slices, from inferior to superior.
        slice_axis: The source's array axis that the slices lie along.
        window: Values that the network was shown as black and white.
    """

    label: np.ndarray
    probability: np.ndarray | None
    slices: SliceNumbers
    slice_axis: int
    window: tuple[float, float]


def segment_volume(
    voxels: np.ndarray,
    grid: VoxelGrid,
    inversion: Inversion,
    preset: StackPreset,
    slicewise: SlicewiseSettings,
    *,
    with_probability: bool = False,
    reference: OodReference | None = None,
    progress: Progress | None = None,
) -> VolumeResult:
    """Segment a volume in any orientation.

    Args:
        voxels: ``(I, J, K)`` in the modality's own unit (CT: HU).
        grid: Where they lie.
        inversion: With trained networks, on their device.
        preset: The modality's preparation.
        slicewise: Batches, and the rules for where the organ can be.
        with_probability: Also return probabilities.
        reference: See `segment_stack`, as ``progress``.
        progress: See there.

    Raises:
        InputError: The volume shows nothing that the preset could prepare.
    """
    change = reorient_to(grid, DISPLAY_AXCODES)
    stack = _PreparedSlices(change.apply(voxels), change.target.spacing_mm, preset)
    label = np.zeros(grid.shape, dtype=np.uint8)
    probability = np.zeros(grid.shape, dtype=np.uint8) if with_probability else None
    label_view = change.apply(label)  # a view: writing to it fills the label in the source's own order
    probability_view = None if probability is None else change.apply(probability)

    def receive(index: int, output: SliceOutput) -> None:
        geometry = stack.geometry(index)
        label_view[:, :, index] = geometry.scores_to_label(output.label_logits).T
        if probability_view is not None:
            foreground = 1 - softmax(output.label_logits, axis=0)[:1]
            scaled = geometry.scores_to_source(foreground)[0] * PROBABILITY_LEVELS
            probability_view[:, :, index] = np.round(scaled).astype(np.uint8).T

    numbers = segment_stack(
        inversion, stack, slicewise, receive=receive, are_neighbors=True, reference=reference, progress=progress
    )
    if slicewise.max_tissue_shift is not None and slicewise.max_tissue_spread is not None:
        sections = label_view.transpose(2, 1, 0)
        removed = limit_extent(
            sections,
            stack.slices,
            spacing_mm=(change.target.spacing_mm[2], *stack.spacing_mm),
            window=stack.window,
            max_shift=slicewise.max_tissue_shift,
            max_spread=slicewise.max_tissue_spread,
        )
        for index, class_ids in removed.items():
            numbers.has_label[index] = sections[index].any()
            numbers.overlap[index, [class_id - 1 for class_id in class_ids]] = 0
            if probability_view is not None:
                probability_view[:, :, index][label_view[:, :, index] == 0] = 0
    return VolumeResult(label, probability, numbers, change.permutation[2], stack.window)


def prepare_slice(voxels: np.ndarray, grid: VoxelGrid, preset: StackPreset, number: int) -> np.ndarray:
    """Prepare one axial slice as `segment_volume` prepares all: with its volume's window and frames.

    Args:
        voxels: As of `segment_volume`, like ``grid`` and ``preset``.
        grid: Where they lie.
        preset: The modality's preparation.
        number: Along the source's axis, from 1, as in the montage.

    Returns:
        ``(C, S, S)`` float32 in [-1, 1].

    Raises:
        InputError: There is no such slice, or nothing to see in it.
    """
    change = reorient_to(grid, DISPLAY_AXCODES)
    count = grid.shape[change.permutation[2]]
    if not 1 <= number <= count:
        raise InputError(f"The slice must be 1 to {count}, got {number}.")
    stack = _PreparedSlices(change.apply(voxels), change.target.spacing_mm, preset)
    (image,) = stack.prepared([count - number if change.flips[2] else number - 1])
    if np.isnan(image).any():
        raise InputError(f"The slice must show something, but {number} of {count} has one value throughout.")
    prepared: np.ndarray = image
    return prepared


def peak_memory_gib(
    shape: tuple[int, int, int],
    itemsize: int,
    network: SemiGanSegmenter,
    slicewise: SlicewiseSettings,
    *,
    with_probability: bool = False,
    corrects_bias: bool = False,
    has_rules: bool = True,
) -> float:
    """Estimate roughly the peak of the process's memory for a volume, GiB: that of the stage that needs most.

    Args:
        shape: Of the volume.
        itemsize: Bytes of a voxel as it is held.
        network: The network.
        slicewise: Batches.
        with_probability: Probabilities are wanted.
        corrects_bias: The volume's bias field is corrected.
        has_rules: The bundle has rules for pieces and holes.
    """
    voxels = float(np.prod(shape, dtype=np.float64))
    size = network.generator.image_size
    channels = max(network.generator.synthesis.num_classes, 32)
    working = slicewise.batch_size * size * size * channels * SLICE_FLOATS * 4.0
    results = 1 + with_probability  # bytes per voxel: label and probability
    stages = (
        voxels * (itemsize + (itemsize if itemsize < 4 else 8)),  # reading: float32 may come from a file's float64
        voxels * (itemsize + BIAS_BYTES * corrects_bias),
        voxels * (itemsize + 4 * corrects_bias + results) + working,
        voxels * (itemsize + results + 1 + RULES_BYTES * has_rules),
        voxels * (itemsize + 1 + PROBABILITY_BYTES * with_probability),
    )
    return BASE_GIB + max(stages) / 2**30
