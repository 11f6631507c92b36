# SPDX-License-Identifier: Apache-2.0
"""Hair, vignette, stickers and the light's color; what is in the skin stays."""

from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.errors import ShapeError
from monai_semigan.transforms.dermoscopy import (
    clean_skin,
    fill_in,
    hair_mask,
    remove_hair,
    shades_of_grey,
    sticker_mask,
    vignette_mask,
)


def with_hair(rgb):
    hairy = rgb.copy()
    hair = np.zeros(rgb.shape[:2], dtype=bool)
    rows = np.arange(192)
    for start, slope in ((20, 0.9), (200, -0.7), (130, 0.1)):
        columns = (start + slope * rows + 6 * np.sin(rows / 30)).astype(int)
        for shift in (0, 1):
            inside = (columns + shift >= 0) & (columns + shift < 256)
            hair[rows[inside], columns[inside] + shift] = True
    hairy[hair] = (0.15, 0.1, 0.08)
    return hairy, hair


def with_vignette(rgb):
    rows, columns = np.indices(rgb.shape[:2])
    outside = np.hypot(rows - 96, columns - 128) > 120
    return np.where(outside[..., None], np.float32(0.04), rgb), outside


def test_hair_is_found_and_replaced(make_skin):
    clean, lesion = make_skin()
    hairy, hair = with_hair(clean)

    found = hair_mask(hairy)

    outside = hair & ~lesion
    assert found[outside].mean() > 0.9 and found[~hair].mean() < 0.08
    assert np.abs(remove_hair(hairy) - clean).mean() < 0.25 * np.abs(hairy - clean).mean()


def test_without_hair_little_changes_and_the_lesion_keeps_its_border(make_skin):
    clean, lesion = make_skin()

    assert hair_mask(clean).mean() < 0.01
    np.testing.assert_allclose(remove_hair(clean)[lesion].mean(axis=0), clean[lesion].mean(axis=0), atol=0.01)


def test_a_round_field_is_found_and_filled_with_skin(make_skin):
    clean, _ = make_skin()
    framed, outside = with_vignette(clean)

    found = vignette_mask(framed)

    assert found[outside].all() and found[~outside].mean() < 0.12
    corner = fill_in(framed, found)[:20, :20].mean(axis=(0, 1))
    np.testing.assert_allclose(corner, (0.85, 0.68, 0.6), atol=0.05)


def test_a_dark_lesion_at_the_border_is_no_vignette(make_skin):
    clean, _ = make_skin()
    assert not vignette_mask(clean).any()
    clean[:70, :90] = 0.08

    assert not vignette_mask(clean).any()


def test_blue_and_yellow_stickers_at_the_border_are_replaced_but_no_lesion(make_skin):
    clean, lesion = make_skin()
    marked = clean.copy()
    rows, columns = np.indices(lesion.shape)
    blue, yellow = np.hypot(rows - 20, columns - 250) < 30, np.hypot(rows - 190, columns - 5) < 25
    marked[blue], marked[yellow] = (0.15, 0.3, 0.75), (0.95, 0.8, 0.15)

    found = sticker_mask(shades_of_grey(marked))

    assert found[blue].mean() > 0.95 and found[yellow].mean() > 0.95 and not found[lesion].any()
    assert not sticker_mask(shades_of_grey(clean)).any()
    filled = fill_in(marked, found)
    np.testing.assert_allclose(filled[5, 250], (0.85, 0.68, 0.6), atol=0.08)


def test_shades_of_grey_takes_the_lights_color_out_and_keeps_brightness(make_skin):
    clean, _ = make_skin()
    warm, cold = clean * np.float32((0.9, 0.7, 0.5)), clean * np.float32((0.6, 0.7, 0.9))

    a, b = shades_of_grey(warm), shades_of_grey(cold)

    assert np.abs(a / a.mean() - b / b.mean()).mean() < 0.02
    light = (a.astype(float) ** 6).mean(axis=(0, 1)) ** (1 / 6)
    np.testing.assert_allclose(light / light.mean(), 1, atol=0.02)
    black = np.zeros((4, 4, 3), dtype=np.float32)
    np.testing.assert_array_equal(shades_of_grey(black), black)


def test_filling_changes_only_the_mask(make_skin):
    clean, lesion = make_skin()

    filled = fill_in(clean, lesion)

    np.testing.assert_array_equal(filled[~lesion], clean[~lesion])
    np.testing.assert_allclose(filled[lesion].mean(axis=0), (0.85, 0.68, 0.6), atol=0.05)
    np.testing.assert_array_equal(fill_in(clean, np.ones_like(lesion)), clean)


def test_all_together_undo_hair_vignette_and_light(make_skin):
    clean, _ = make_skin()
    disturbed = with_vignette(with_hair(clean)[0])[0] * np.float32((0.9, 0.8, 0.6))
    expected = shades_of_grey(clean * np.float32((0.9, 0.8, 0.6)))

    cleaned = clean_skin(disturbed)

    assert np.abs(cleaned - expected).mean() < 0.03
    unchanged = clean_skin(disturbed, vignette=False, hair=False, stickers=False, balance=False)
    np.testing.assert_array_equal(unchanged, disturbed)


@pytest.mark.parametrize("function", [hair_mask, vignette_mask, sticker_mask, shades_of_grey])
def test_other_than_three_channels_are_refused(function):
    with pytest.raises(ShapeError, match="`rgb`"):
        function(np.zeros((20, 20, 4), dtype=np.float32))
