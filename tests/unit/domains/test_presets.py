# SPDX-License-Identifier: Apache-2.0
"""Chains of slices and photographs: frames, grey values, the exact way back."""

from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.domains.abdomen import CtSlicePreset, MrSlicePreset
from monai_semigan.domains.photographs import DermoscopyPreset, FacePreset
from monai_semigan.errors import ConfigError, InputError, ShapeError
from monai_semigan.transforms.face import CELEBAMASK_PARTS, FACE_PARTS, centered_square, merge_parts
from monai_semigan.transforms.intensity import unit_rgb
from monai_semigan.transforms.square import SquareGeometry


def liver(shape=(180, 190)):
    rows, columns = np.indices(shape)
    return ((((rows - 75) / 30) ** 2 + ((columns - 65) / 34) ** 2) < 1).astype(np.uint8)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("field", [None, 300.0])
def test_ct_slice_and_its_picture_prepare_alike_and_come_back(make_ct, field):
    hu, label = make_ct(), liver()
    preset = CtSlicePreset(image_size=64, field_of_view_mm=field)

    image, way = preset.prepare(hu, spacing_mm=(1.5, 1.5))
    picture, _ = preset.prepare(hu.clip(0, 255).round().astype(np.uint8), spacing_mm=(1.5, 1.5))

    assert image.shape == (1, 64, 64) and image.dtype == np.float32
    assert image.min() >= -1 and image.max() <= 1
    np.testing.assert_allclose(picture, image, atol=0.01)
    assert dice(way.scores_to_label(preset.prepare_label(label, way, 2)), label) > 0.97


def test_mr_is_framed_as_ct(make_ct, make_mr):
    label = liver()
    ct, mr = CtSlicePreset(), MrSlicePreset()
    ct_way, mr_way = ct.prepare(make_ct())[1], mr.prepare(make_mr())[1]

    assert dice(*[(p.prepare_label(label, way, 2)[1] > 0.5) for p, way in ((ct, ct_way), (mr, mr_way))]) > 0.93


def test_mr_ignores_the_scale_of_the_signal(make_mr):
    image, _ = MrSlicePreset().prepare(make_mr())
    scaled, _ = MrSlicePreset().prepare((make_mr() * 7.3).astype(np.float32))

    np.testing.assert_allclose(scaled, image, atol=1e-4)
    assert (image == -1).mean() < 0.5 and image.max() == 1


def test_a_volume_has_one_window_and_every_slice_its_way_back(make_mr):
    volume = np.stack([make_mr(seed=at) for at in range(5)])
    volume[4] = 0
    preset = MrSlicePreset(image_size=32)

    window, boxes = preset.window_of(volume), preset.frames(volume)
    image, way = preset.prepare(volume[0], box=boxes[0], window=window)
    empty, _ = preset.prepare(volume[4], box=boxes[4], window=window)

    assert len(boxes) == 5 and way.crop_box == boxes[0]
    assert image.shape == (1, 32, 32) and (empty == -1).all()
    alone, _ = preset.prepare(volume[0])
    assert not np.array_equal(image, alone)  # its own window differs


def test_bias_correction_is_an_option(make_mr):
    volume = make_mr()[None] * np.exp(np.linspace(-0.7, 0.7, 180))[None, :, None]
    plain, corrects = MrSlicePreset(), MrSlicePreset(correct_bias=True)

    assert plain.corrected(volume) is volume and not plain.corrects_bias and corrects.corrects_bias
    rows = [part.mean() for part in (corrects.corrected(volume)[0, 40:60], corrects.corrected(volume)[0, 100:120])]
    uneven = [part.mean() for part in (volume[0, 40:60], volume[0, 100:120])]
    assert abs(np.log(rows[1] / rows[0])) < 0.7 * abs(np.log(uneven[1] / uneven[0]))


def test_a_field_of_view_has_its_size_in_mm_and_may_reach_beyond_the_image(make_ct):
    hu = make_ct(table=False)
    preset = CtSlicePreset(field_of_view_mm=400)

    image, way = preset.prepare(hu, spacing_mm=(2.0, 1.0))

    top, bottom, left, right = way.crop_box
    assert (bottom - top, right - left) == (200, 400) and left < 0 and right > 190
    assert way.placement == (0, 64, 0, 64)
    assert (image[0, :, :10] == -1).all() and (image[0, :, -10:] == -1).all()
    label = liver()
    assert dice(way.scores_to_label(preset.prepare_label(label, way, 2)), label) > 0.93
    with pytest.raises(InputError, match="`spacing_mm`"):
        preset.prepare(hu)


def test_an_overhanging_crop_returns_pixel_for_pixel():
    mask = np.zeros((40, 50), dtype=np.uint8)
    mask[0:12, 30:50] = 1
    mask[25:33, 5:9] = 2
    way = SquareGeometry(source_shape=(40, 50), crop_box=(-10, 50, -4, 56), image_size=60, may_overhang=True)

    np.testing.assert_array_equal(way.scores_to_label(way.label(mask, 3)), mask)
    np.testing.assert_array_equal(way.scores_to_source(way.image(mask, fill=0)[None])[0], mask)
    assert way.image(np.ones((40, 50)), fill=-1.0).min() == -1 and way.image(np.ones((40, 50))).min() == 1
    with pytest.raises(ConfigError, match="`crop_box`"):
        SquareGeometry(source_shape=(40, 50), crop_box=(40, 60, 0, 50), image_size=60, may_overhang=True)


def test_oversampled_editing_without_an_edit_changes_nothing():
    rgb = np.random.default_rng(0).uniform(size=(64, 128, 3))
    way = SquareGeometry(source_shape=(64, 128), crop_box=(0, 64, 0, 128), image_size=16)

    plain, edited = way.image(rgb), way.image(rgb, edit=lambda crop: crop + 0.5, oversampling=4)

    assert plain.shape == (16, 16, 3)
    np.testing.assert_allclose(edited, plain + 0.5, atol=1e-6)
    np.testing.assert_allclose(plain[..., 1], way.image(rgb[..., 1]), atol=1e-7)


@pytest.mark.parametrize("preset", [CtSlicePreset(), MrSlicePreset()])
def test_slices_that_show_nothing_are_refused(preset):
    with pytest.raises(InputError, match="constant"):
        preset.prepare(np.full((50, 60), 3.0))
    with pytest.raises(InputError, match="NaN"):
        preset.prepare(np.where(np.eye(50), np.nan, 1.0))
    with pytest.raises(InputError, match="NaN"):
        preset.prepare(np.where(np.eye(50), np.nan, 1.0), window=(0, 1))
    with pytest.raises(ShapeError, match="`pixels`"):
        preset.prepare(np.zeros((3, 50, 60)))


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="`low_hu`"):
        CtSlicePreset(low_hu=10, high_hu=10)
    with pytest.raises(ConfigError, match="`low_percentile`"):
        MrSlicePreset(low_percentile=100)
    with pytest.raises(ConfigError, match="`low_hu` must be a number from -5000"):
        CtSlicePreset(low_hu=float("nan"))
    with pytest.raises(ConfigError, match="`field_of_view_mm`"):
        CtSlicePreset(field_of_view_mm=0)
    with pytest.raises(ConfigError, match="`max_border`"):
        DermoscopyPreset(max_border=0.5)
    with pytest.raises(ConfigError, match="`crop_share`"):
        FacePreset(crop_share=0)


def test_dermoscopy_prepares_and_comes_back(make_skin):
    rgb, lesion = make_skin()
    pixels = np.pad((rgb * 255).astype(np.uint8), ((32, 32), (0, 0), (0, 0)))  # black bars
    label = np.pad(lesion.astype(np.uint8), ((32, 32), (0, 0)))
    preset = DermoscopyPreset(image_size=64)

    image, way = preset.prepare(pixels)

    assert image.shape == (3, 64, 64) and image.dtype == np.float32 and image.min() >= -1 and image.max() <= 1
    assert way.crop_box == (32, 224, 0, 256)
    assert dice(way.scores_to_label(preset.prepare_label(label, way, 2)), label) > 0.97
    floats, _ = preset.prepare((pixels / 255).astype(np.float32))
    np.testing.assert_allclose(floats, image, atol=1e-5)
    plain, _ = DermoscopyPreset(image_size=64, vignette=False, hair=False, stickers=False, balance=False).prepare(
        pixels
    )
    np.testing.assert_allclose(plain[:, 2, 2], np.array((0.85, 0.68, 0.6)) * 2 - 1, atol=0.05)


def test_faces_are_cropped_to_the_middle_and_parts_come_back():
    pixels = np.random.default_rng(0).integers(0, 255, (40, 64, 3), dtype=np.uint8)
    label = np.zeros((40, 64), dtype=np.uint8)
    label[5:20, 20:30], label[25:33, 40:50] = 2, 7
    preset = FacePreset(image_size=40)

    image, way = preset.prepare(pixels)

    assert way.crop_box == (0, 40, 12, 52)
    np.testing.assert_allclose(image, np.moveaxis(pixels[:, 12:52], -1, 0) / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(way.scores_to_label(preset.prepare_label(label, way, 8)), label)
    assert centered_square((41, 64), share=0.5) == (10, 30, 22, 42)


def test_face_parts_merge():
    assert len(FACE_PARTS) == 6 and len(CELEBAMASK_PARTS) == 19 and set(CELEBAMASK_PARTS.values()) == set(range(6))
    names = list(CELEBAMASK_PARTS)
    merged = merge_parts(np.array([[names.index(name) for name in ("l_eye", "u_lip", "hair", "cloth", "r_ear")]]))
    assert [FACE_PARTS[at] for at in merged[0]] == ["eyes", "mouth", "hair", "background", "skin"]
    with pytest.raises(InputError, match=r"0\.\.18"):
        merge_parts(np.array([[19]]))


@pytest.mark.parametrize("preset", [DermoscopyPreset(), FacePreset()])
def test_photographs_that_show_nothing_are_refused(preset):
    with pytest.raises(ShapeError, match="`pixels`"):
        preset.prepare(np.zeros((50, 60), dtype=np.uint8))
    with pytest.raises(ShapeError, match="`pixels`"):
        preset.prepare(np.zeros((50, 60, 4), dtype=np.uint8))
    with pytest.raises(InputError, match="constant"):
        preset.prepare(np.full((50, 60, 3), 9, dtype=np.uint8))
    with pytest.raises(InputError, match="NaN"):
        preset.prepare(np.full((50, 60, 3), np.nan))
    with pytest.raises(InputError, match="Colors"):
        preset.prepare(np.linspace(-1, 1, 9000).reshape(50, 60, 3))


def test_colors_of_any_type_come_to_one_range():
    pixels = np.random.default_rng(0).integers(1, 255, (5, 6, 3), dtype=np.uint8)

    for same in (pixels.astype(np.uint16) * 257, pixels.astype(np.float32), pixels / 255):
        np.testing.assert_allclose(unit_rgb(same), unit_rgb(pixels), atol=1e-6)
