"""The drawn abdomen: the same patient on every grid, no hidden flip, plausible numbers."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import ORIENTATIONS, oriented_grid, phantom
from scipy.ndimage import map_coordinates

from monai_semigan.extras.phantoms.abdomen import LABELS, abdomen_grid, draw_abdomen
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import axcodes, reorient_to


@pytest.fixture(scope="module")
def drawn():
    return phantom()


def middle(drawn, name):
    """Middle of an organ in RAS+ mm."""
    return drawn.grid.to_mm(np.argwhere(drawn.label == LABELS[name])).mean(axis=0)


def test_types_and_values(drawn):
    assert (drawn.voxels_ct.dtype, drawn.voxels_mr.dtype, drawn.label.dtype) == (np.int16, np.int16, np.uint8)
    assert drawn.voxels_ct.shape == drawn.voxels_mr.shape == drawn.label.shape == drawn.grid.shape
    assert np.unique(drawn.label).tolist() == [0, 1, 2, 3, 4]
    assert -1010 < np.median(drawn.voxels_ct[:, 0]) < -980  # air in front of the patient
    assert drawn.voxels_mr.min() >= 0


def test_organs_lie_where_they_belong(drawn):
    assert middle(drawn, "liver")[0] > 30 > -50 > middle(drawn, "spleen")[0]
    assert middle(drawn, "right_kidney")[0] > 30 > -30 > middle(drawn, "left_kidney")[0]
    assert middle(drawn, "liver")[1] > middle(drawn, "right_kidney")[1]
    assert middle(drawn, "liver")[2] > middle(drawn, "right_kidney")[2]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_volumes_are_those_of_adults(seed):
    fine = draw_abdomen(abdomen_grid((80, 64, 44)), seed=seed)
    ml = {name: (fine.label == at).sum() * fine.grid.voxel_volume_ml for name, at in LABELS.items()}

    assert 900 < ml["liver"] < 2300 and 70 < ml["spleen"] < 400
    assert 70 < ml["right_kidney"] < 260 and 70 < ml["left_kidney"] < 260


@pytest.mark.parametrize(("name", "hu"), [("liver", 108), ("spleen", 122)])
def test_organs_have_their_hounsfield_units(drawn, name, hu):
    assert np.median(drawn.voxels_ct[drawn.label == LABELS[name]]) == pytest.approx(hu, abs=25)


def test_mr_shows_the_same_anatomy_in_another_order_of_brightness(drawn):
    def median(voxels, name):
        return np.median(voxels[drawn.label == LABELS[name]])

    assert median(drawn.voxels_ct, "spleen") < 1.4 * median(drawn.voxels_ct, "liver")
    assert median(drawn.voxels_mr, "spleen") > 1.5 * median(drawn.voxels_mr, "liver")
    bone = drawn.voxels_ct > 300
    assert np.median(drawn.voxels_mr[bone]) < median(drawn.voxels_mr, "liver")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_flip_along_any_axis_shows_in_the_liver(drawn, axis):
    liver = drawn.label == LABELS["liver"]
    where = np.argwhere(liver)
    low, high = where.min(axis=0), where.max(axis=0) + 1
    cut = liver[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]  # its own box: no shift can hide it

    flipped = np.flip(cut, axis)

    assert 2 * (cut & flipped).sum() / (2 * cut.sum()) < 0.9


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_grid_shows_the_same_patient(drawn, orientation):
    other = phantom(orientation)
    inside = drawn.grid.to_indices(other.grid.to_mm(np.argwhere(np.ones(other.grid.shape, bool)))).T

    resampled = map_coordinates(drawn.label, inside, order=0).reshape(other.grid.shape)

    organ, again = resampled == LABELS["liver"], other.label == LABELS["liver"]
    assert 2 * (organ & again).sum() / (organ.sum() + again.sum()) > 0.8  # coarse grids
    assert axcodes(other.grid.affine) == axcodes(oriented_grid(orientation).affine)


def test_exactly_reordered_grids_give_exactly_reordered_labels(drawn):
    other = phantom("negated_column_cosine")
    shifted = VoxelGrid(other.grid.shape, other.grid.affine)

    np.testing.assert_array_equal(reorient_to(shifted, ("L", "P", "S")).apply(other.label), drawn.label)


def test_the_seed_decides_everything():
    grid = abdomen_grid((30, 24, 16))
    first, again, other = (draw_abdomen(grid, seed=seed) for seed in (3, 3, 4))

    np.testing.assert_array_equal(first.voxels_ct, again.voxels_ct)
    np.testing.assert_array_equal(first.voxels_mr, again.voxels_mr)
    assert (first.label != other.label).any()


def test_slabs_do_not_show(monkeypatch, drawn):
    monkeypatch.setattr("monai_semigan.extras.phantoms.abdomen.SLAB_VOXELS", 4000)

    np.testing.assert_array_equal(draw_abdomen(oriented_grid()).label, drawn.label)
