# SPDX-License-Identifier: Apache-2.0
"""The trunk's frame: without table, arms and noise, alike in CT and MR."""

from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.errors import ShapeError
from monai_semigan.transforms.body import body_box, body_mask, volume_body_boxes


def near(box, expected, tolerance=8):
    return all(abs(a - b) <= tolerance for a, b in zip(box, expected, strict=True))


@pytest.mark.parametrize("extras", [{}, {"table": False}, {"arm": True}])
def test_ct_box_frames_the_wall_whatever_lies_beside(make_ct, trunk, extras):
    assert near(body_box(make_ct(**extras)), trunk)


def test_hu_and_their_picture_of_0_to_255_have_one_box(make_ct):
    hu = make_ct()

    assert body_box(hu.clip(0, 255).round().astype(np.uint8)) == body_box(hu)


def test_mr_is_framed_like_ct(make_ct, make_mr):
    assert near(body_box(make_mr(), modality="MR"), body_box(make_ct()), tolerance=6)


def test_mr_box_ignores_the_scale_of_the_signal(make_mr):
    signal = make_mr()

    assert body_box(signal * 37.5, modality="MR") == body_box(signal, modality="MR")


def test_boxes_do_not_depend_on_the_resolution(make_ct):
    hu = make_ct()
    fine = hu.repeat(3, axis=0).repeat(3, axis=1)

    assert near(body_box(fine), [3 * edge for edge in body_box(hu)], tolerance=15)


def test_a_shifted_body_has_a_shifted_box(make_ct):
    hu = make_ct(table=False)
    shifted = np.full_like(hu, -1000)
    shifted[8:, :-12] = hu[:-8, 12:]
    top, bottom, left, right = body_box(hu)

    assert near(body_box(shifted), (top + 8, bottom + 8, left - 12, right - 12), tolerance=3)


def test_a_body_that_leaves_the_slice_is_framed_to_its_border(make_mr):
    cut = make_mr()[:, 40:150]

    _, _, left, right = body_box(cut, modality="MR")

    assert (left, right) == (0, 110)


def test_the_mask_has_the_shape_of_the_slice_and_holds_the_organs(make_ct):
    hu = make_ct()[:179, :187]

    mask = body_mask(hu)

    assert mask.shape == hu.shape and mask.dtype == bool
    assert mask[75, 65] and mask[115, 95] and mask[60, 120] and not mask[150, 95] and not mask[5, 5]


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("pixels", [np.zeros((90, 100)), np.full((90, 100), np.nan), np.full((90, 100), -1000.0)])
def test_an_empty_slice_has_no_box(modality, pixels):
    assert body_box(pixels, modality=modality) is None
    assert not body_mask(pixels, modality=modality).any()


def test_two_values_are_enough_for_mr():
    pixels = np.zeros((90, 100))
    pixels[20:70, 15:85] = 5

    assert near(body_box(pixels, modality="MR"), (20, 70, 15, 85), tolerance=3)


def test_a_volume_has_smooth_boxes_and_fills_in_empty_slices(make_ct):
    slices = np.stack([make_ct(seed=at) for at in range(9)])
    expected = body_box(slices[0])
    slices[0] = -1000
    slices[4, :, :60] = -1000  # half a body: an outlier

    boxes = volume_body_boxes(slices)

    assert len(boxes) == 9
    assert all(near(box, expected, tolerance=3) for box in boxes)
    assert volume_body_boxes(np.zeros((2, 50, 60))) == [(0, 50, 0, 60)] * 2


def test_shapes_are_checked():
    with pytest.raises(ShapeError, match="`pixels`"):
        body_box(np.zeros((3, 4, 5)))
