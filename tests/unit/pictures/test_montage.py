"""The picture of a volume: right side left, upright, in proportion, contours on the label."""

from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.errors import ConfigError, ShapeError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import axcodes, reorient_to
from monai_semigan.pictures.montage import choose_slices, slice_montage

COLORS = [(0, 0, 0), (255, 0, 0), (0, 255, 0)]
SETTINGS = {"window": (0, 100), "colors": COLORS}


def phantom() -> tuple[np.ndarray, np.ndarray, VoxelGrid]:
    """An (R, A, S) volume: class 1 at the patient's right, front and top of it, class 2 at the left back."""
    label = np.zeros((30, 40, 10), dtype=np.uint8)
    label[20:28, 25:38, 3:9] = 1
    label[2:8, 2:12, 3:5] = 2
    return np.full(label.shape, 50, dtype=np.int16), label, VoxelGrid((30, 40, 10), np.diag([2.0, 2.0, 6.0, 1.0]))


def center(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Mean row and column of a color, as shares of the picture."""
    return np.argwhere((picture == color).all(axis=2)).mean(axis=0) / picture.shape[:2]


def one_slice(index: int, axis: int, codes: tuple[str, str, str] = ("R", "A", "S")) -> np.ndarray:
    """Draw a single slice of the phantom, stored with ``axis`` (R, A or S) last and the other axes as in ``codes``."""
    voxels, label, grid = phantom()
    last = [code for code in codes if code in ("RL", "AP", "SI")[axis]]
    ordered = [code for code in codes if code not in last] + last
    stored = reorient_to(grid, tuple(ordered))
    voxels, label = stored.apply(voxels), stored.apply(label).copy()
    if ordered[2] in "LPI":
        index = label.shape[2] - 1 - index
    label[:, :, np.arange(label.shape[2]) != index] = 0
    return np.array(slice_montage(voxels, label, stored.target, max_tiles=1, **SETTINGS))


@pytest.mark.parametrize("codes", [("R", "A", "S"), ("L", "P", "S"), ("S", "L", "A"), ("P", "I", "R")])
def test_the_right_is_left_and_the_front_is_up_however_it_is_stored(codes):
    voxels, label, grid = phantom()
    ordered = tuple([code for code in codes if code not in "SI"] + [code for code in codes if code in "SI"])
    stored = reorient_to(grid, ordered)
    assert axcodes(stored.target.affine) == ordered

    picture = np.array(slice_montage(stored.apply(voxels), stored.apply(label), stored.target, max_tiles=1, **SETTINGS))
    red = center(picture, (255, 0, 0))
    assert red[1] < 0.5 and red[0] < 0.5


def test_an_axial_slice_has_both_classes_in_their_corners():
    voxels, label, grid = phantom()
    label[:, :, 5:] = 0

    picture = np.array(slice_montage(voxels, label, grid, max_tiles=3, **SETTINGS))

    assert (picture == (255, 0, 0)).all(axis=2).any() and (picture == (0, 255, 0)).all(axis=2).any()


@pytest.mark.parametrize(("axis", "index", "where"), [(1, 30, (0.4, 0.2)), (0, 24, (0.4, 0.2))])
def test_coronal_and_sagittal_slices_stand_upright(axis, index, where):
    picture = one_slice(index, axis)

    red = center(picture, (255, 0, 0))
    # slices 3 to 8 of 10 from the bottom: the middle is at 0.4 from the top; right, or front, is left
    assert red[0] == pytest.approx(where[0], abs=0.06)
    assert red[1] == pytest.approx(where[1], abs=0.06)


def test_a_reversed_stack_shows_the_same():
    np.testing.assert_array_equal(
        one_slice(24, 0, ("R", "A", "S"))[40:, 60:], one_slice(24, 0, ("L", "A", "S"))[40:, 60:]
    )


def test_voxels_are_shown_in_proportion():
    voxels, label, grid = phantom()

    axial = slice_montage(voxels, label, grid, max_tiles=1, tile_px=200, **SETTINGS)
    coronal = reorient_to(grid, ("R", "S", "A"))
    other = slice_montage(
        coronal.apply(voxels), coronal.apply(label), coronal.target, max_tiles=1, tile_px=200, **SETTINGS
    )

    assert axial.size == (150, 200)  # 60 x 80 mm
    assert other.size == (200, 200)  # 60 x 60 mm


def test_the_window_sets_black_and_white():
    voxels, label, grid = phantom()
    voxels = np.where(np.arange(30)[:, None, None] < 15, -1000, 1000) + 0 * voxels

    picture = np.array(slice_montage(voxels, 0 * label, grid, max_tiles=1, **SETTINGS))

    assert (picture[150, 20:50] == 255).all() and (picture[150, -50:-20] == 0).all()


def test_missing_values_are_black():
    voxels, label, grid = phantom()

    picture = np.array(slice_montage(np.full(voxels.shape, np.nan), 0 * label, grid, max_tiles=1, **SETTINGS))

    assert not picture[60:120, 60:120].any()


def test_slices_are_those_with_label_and_one_beside():
    label = np.zeros((2, 2, 50), dtype=np.uint8)
    label[0, 0, 20:23] = 1

    assert choose_slices(label) == [19, 20, 21, 22, 23]
    assert choose_slices(label, 3) == [19, 21, 23] and choose_slices(label, 1) == [21]
    assert choose_slices(0 * label, 3) == [0, 24, 49]
    label[0, 0, :] = 1
    assert len(choose_slices(label)) == 12 and choose_slices(label)[::11] == [0, 49]
    assert choose_slices(label[:, :, :1]) == [0]


def test_a_legend_names_the_classes():
    voxels, label, grid = phantom()

    plain = slice_montage(voxels, label, grid, **SETTINGS)
    named = slice_montage(voxels, label, grid, class_names=["background", "liver", "spleen"], **SETTINGS)

    assert named.width == plain.width and named.height > plain.height
    footer = np.array(named)[plain.height :]
    assert (footer == (0, 255, 0)).all(axis=2).any()


def test_what_does_not_fit_is_refused():
    voxels, label, grid = phantom()
    with pytest.raises(ShapeError):
        slice_montage(voxels, label[1:], grid, **SETTINGS)
    with pytest.raises(ConfigError, match="window"):
        slice_montage(voxels, label, grid, window=(5, 5), colors=COLORS)
