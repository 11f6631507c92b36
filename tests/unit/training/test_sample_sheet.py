# SPDX-License-Identifier: Apache-2.0
"""Sample sheets: where each sample lies, and its colors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from monai_semigan.errors import ShapeError
from monai_semigan.training.sample_sheet import CLASS_COLORS, OVERLAY_STRENGTH, sample_sheet, save_image


def test_samples_fill_rows_as_pairs_of_image_and_tinted_image():
    image = torch.linspace(-1, 1, 5).reshape(5, 1, 1, 1).expand(5, 1, 4, 4)
    background = torch.cat([torch.ones(5, 1, 4, 4), torch.zeros(5, 1, 4, 4)], dim=1)

    sheet = np.asarray(sample_sheet(image, background, columns=3, zoom=1))

    assert sheet.shape == (8, 24, 3)
    greys = [sheet[4 * (at // 3), 8 * (at % 3)].tolist() for at in range(5)]
    assert [grey[0] for grey in greys] == [0, 64, 128, 191, 255]
    assert (sheet[:, :4] == sheet[:, 4:8]).all()  # background is not tinted
    assert (sheet[4:, 16:] == 0).all()  # no sixth sample


def test_each_class_has_its_color_at_its_strength():
    probability = torch.zeros(1, 3, 4, 4)
    probability[0, 1, :2] = 1
    probability[0, 2, 2:] = 0.5

    tinted = np.asarray(sample_sheet(torch.full((1, 3, 4, 4), -1.0), probability, zoom=1))[:, 4:]

    np.testing.assert_allclose(tinted[0, 0], np.multiply(CLASS_COLORS[1], OVERLAY_STRENGTH), atol=0.5)
    np.testing.assert_allclose(tinted[3, 0], np.multiply(CLASS_COLORS[2], OVERLAY_STRENGTH / 2), atol=0.5)


def test_zoom_repeats_pixels():
    image, probability = torch.rand(2, 1, 4, 4), torch.rand(2, 2, 4, 4).softmax(dim=1)

    small, large = (np.asarray(sample_sheet(image, probability, zoom=zoom)) for zoom in (1, 3))

    assert (large == small.repeat(3, axis=0).repeat(3, axis=1)).all()


def test_images_out_of_range_are_clipped():
    sheet = np.asarray(sample_sheet(torch.tensor([-9.0, 9.0]).reshape(2, 1, 1, 1), torch.zeros(2, 2, 1, 1), zoom=1))

    assert sheet[0, 0].tolist() == [0, 0, 0] and sheet[0, 2].tolist() == [255, 255, 255]


def test_a_picture_is_written_whole(tmp_path):
    save_image(tmp_path / "sheet.png", Image.new("RGB", (3, 2), (1, 2, 3)))

    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]
    assert Image.open(tmp_path / "sheet.png").getpixel((2, 1)) == (1, 2, 3)


def test_an_image_that_is_not_square_is_refused():
    with pytest.raises(ShapeError, match=r"`image` must have shape \(N, C, S, S\)"):
        sample_sheet(torch.zeros(1, 1, 4, 5), torch.zeros(1, 2, 4, 5))
