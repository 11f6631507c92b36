# SPDX-License-Identifier: Apache-2.0
"""Volumes in every orientation through a network that copies come back on their own voxels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from copy_model import CopySynthesis
from torch import Tensor

from monai_semigan.domains.abdomen import CtSlicePreset
from monai_semigan.errors import InputError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import plane_name
from monai_semigan.networks.embedding import Embedding
from monai_semigan.segmentation.stack import SlicewiseSettings
from monai_semigan.segmentation.whole_volume import PROBABILITY_LEVELS, peak_memory_gib, prepare_slice, segment_volume

SIZE = 16
ORIENTATIONS = [
    (axes, signs) for axes in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]


class WholeSlices(CtSlicePreset):
    """Shows whole slices as they are, and remembers what it was given."""

    def frames(self, slices, *, spacing_mm=None):
        seen.update(slices=slices, spacing_mm=spacing_mm)
        return [(0, slices.shape[1], 0, slices.shape[2])] * len(slices)


seen: dict[str, object] = {}


def whole_slices() -> WholeSlices:
    seen.clear()
    return WholeSlices(image_size=SIZE, low_hu=-1.0, high_hu=1.0)


def anatomy() -> np.ndarray:
    """A mask in (left, posterior, superior) order without any symmetry, as bright voxels on dark ones."""
    mask = np.zeros((SIZE, SIZE, 5), dtype=bool)
    mask[2:7, 3:5, 1:4] = True
    mask[2:4, 3:12, 2] = True
    mask[9, 9:14, 3] = True
    return np.where(mask, 0.8, -0.8)


def volume_in(axes: tuple[int, ...], signs: tuple[int, ...], tilt: float) -> tuple[np.ndarray, VoxelGrid]:
    """Store the anatomy with other array axes; the affine says where they run."""
    stored = anatomy().transpose(axes)[tuple(slice(None, None, sign) for sign in signs)]
    display = np.diag([-1.5, -1.2, 4.0, 1.0])  # left, posterior, superior
    matrix = np.zeros((4, 4))
    for index, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        matrix[:3, index] = sign * display[:3, axis]
    cos, sin = np.cos(tilt), np.sin(tilt)
    matrix[:3, :3] = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ matrix[:3, :3]
    matrix[:, 3] = (11, -7, 3, 1)
    return stored, VoxelGrid(stored.shape, matrix)


@pytest.mark.parametrize("tilt", [0.0, 0.4])
@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_the_mask_returns_exactly(copy_network, invert, axes, signs, tilt) -> None:
    voxels, grid = volume_in(axes, signs, tilt)
    result = segment_volume(
        voxels,
        grid,
        invert(copy_network(SIZE), steps=0),
        whole_slices(),
        SlicewiseSettings(batch_size=2),
        with_probability=True,
    )
    np.testing.assert_array_equal(seen["slices"], anatomy().transpose(2, 1, 0))  # as radiologists see it
    assert seen["spacing_mm"] == pytest.approx((1.2, 1.5))
    np.testing.assert_array_equal(result.label, voxels > 0)
    assert result.label.dtype == np.uint8
    np.testing.assert_array_equal(result.slices.has_label, [False, True, True, True, False])
    assert plane_name(grid.affine, axis=result.slice_axis) == "axial"
    is_asked = voxels > 0
    expected = PROBABILITY_LEVELS / (1 + np.exp(-2 * 0.8))
    np.testing.assert_allclose(result.probability[is_asked], expected, atol=1)


def test_an_organ_ends_with_its_tissue_when_that_is_asked_for(copy_network, invert) -> None:
    voxels = np.full((SIZE, SIZE, 6), -0.8)
    voxels[3:12, 3:12] = 0.5
    voxels[3:12, 3:12, 4:] = 0.99
    grid = VoxelGrid(voxels.shape, np.diag([-1.5, -1.2, 8.0, 1.0]))
    results = [
        segment_volume(
            voxels,
            grid,
            invert(copy_network(SIZE), steps=0),
            whole_slices(),
            SlicewiseSettings(**limits),
            with_probability=True,
        )
        for limits in ({}, {"max_tissue_shift": 2.0, "max_tissue_spread": 2.0})
    ]

    assert results[0].slices.has_label.all()
    assert results[1].slices.has_label.tolist() == [True] * 4 + [False] * 2
    np.testing.assert_array_equal(results[1].label[..., :4], results[0].label[..., :4])
    assert not results[1].label[..., 4:].any() and not results[1].probability[..., 4:].any()
    assert not results[1].slices.overlap[4:].any()
    np.testing.assert_array_equal(results[1].slices.overlap[:4], results[0].slices.overlap[:4])


class TwoClasses(CopySynthesis):
    """What is above 0.6 is the second class, what is above zero and less is the first."""

    num_classes = 3

    def forward(self, embedding: Embedding) -> tuple[Tensor, Tensor]:
        image = self.image(embedding)
        return image, torch.cat([-9 * image, 9 * image, 9 * (2 * image - 0.6)], dim=1)


def test_a_class_beyond_its_end_loses_its_overlap_and_another_there_keeps_it(copy_network, invert) -> None:
    """The first class goes on through all slices, the second lies on other tissue in the last two."""
    voxels = np.full((SIZE, SIZE, 6), -0.8)
    voxels[1:7, 1:15] = 0.3
    voxels[9:15, 1:15] = 0.7
    voxels[9:15, 1:15, 4:] = 0.99
    grid = VoxelGrid(voxels.shape, np.diag([-1.5, -1.2, 8.0, 1.0]))
    network = copy_network(SIZE)
    network.generator.synthesis = TwoClasses(SIZE)
    free, limited = (
        segment_volume(
            voxels,
            grid,
            invert(network, steps=0),
            whole_slices(),
            SlicewiseSettings(**limits),
            with_probability=True,
        )
        for limits in ({}, {"max_tissue_shift": 2.0, "max_tissue_spread": 2.0})
    )

    assert (free.label[..., 5] == 2).any()
    assert (limited.label == 2).any(axis=(0, 1)).tolist() == [True] * 4 + [False] * 2
    np.testing.assert_array_equal(limited.label == 1, free.label == 1)
    assert free.slices.overlap[:, 1].any(axis=1).all()
    assert limited.slices.overlap[:, 1].any(axis=1).tolist() == [True] * 4 + [False] * 2
    np.testing.assert_array_equal(limited.slices.overlap[:, 0], free.slices.overlap[:, 0])
    assert limited.slices.has_label.all()
    gone = (free.label == 2) & (limited.label == 0)
    assert gone.any() and not limited.probability[gone].any() and free.probability[gone].all()


def test_probability_only_when_asked(copy_network, invert) -> None:
    voxels, grid = volume_in((0, 1, 2), (1, 1, 1), 0.0)
    result = segment_volume(
        voxels,
        grid,
        invert(copy_network(SIZE), steps=1, learning_rate=1e-6),
        whole_slices(),
        SlicewiseSettings(),
    )
    assert result.probability is None
    np.testing.assert_array_equal(result.label, voxels > 0)


def test_memory_grows_with_the_volume_and_the_batch(tiny_network) -> None:
    small, large = (
        peak_memory_gib((512, 512, slices), 2, tiny_network, SlicewiseSettings(batch_size=16)) for slices in (1, 1000)
    )
    assert small < 1 < large < 4
    more = peak_memory_gib((512, 512, 1), 2, tiny_network, SlicewiseSettings(batch_size=512))
    assert more > small


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_one_slice_is_counted_along_the_source_s_axis(axes, signs):
    voxels, grid = volume_in(axes, signs, tilt=0.0)
    axis = axes.index(2)
    for number in range(1, 6):
        wanted = (np.take(voxels, number - 1, axis=axis) > 0).sum()
        if wanted:
            image = prepare_slice(voxels, grid, whole_slices(), number)
            assert (image > 0).sum() == wanted, number
        else:
            with pytest.raises(InputError, match=f"show something, but {number} of 5"):
                prepare_slice(voxels, grid, whole_slices(), number)


@pytest.mark.parametrize("number", [0, 6, -1])
def test_a_slice_that_is_not_there_is_refused(number):
    voxels, grid = volume_in((0, 1, 2), (1, 1, 1), tilt=0.0)

    with pytest.raises(InputError, match=f"must be 1 to 5, got {number}"):
        prepare_slice(voxels, grid, whole_slices(), number)
