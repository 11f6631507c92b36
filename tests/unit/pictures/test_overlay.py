"""Pictures at screen size: right pixels tinted, right order of axes, any input."""

from __future__ import annotations

import time
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from monai_semigan.pictures.overlay import (
    AGREEMENT_COLORS,
    disagreement,
    encode_jpeg,
    encode_png,
    overlay,
    reconstruction_panel,
)

COLORS = [(0, 0, 0), (230, 97, 1), (0, 90, 181)]


def test_classes_are_tinted_outlined_and_the_rest_is_left_alone() -> None:
    pixels = np.tile(np.array([0, 200], dtype=np.uint8), (30, 20))[:, :40]
    label = np.zeros((30, 40), dtype=np.uint8)
    label[2:12, 25:38] = 1

    drawn = np.asarray(overlay(pixels, label, COLORS)).astype(int)
    bare = np.asarray(overlay(pixels, np.zeros_like(label), COLORS)).astype(int)

    assert drawn.shape == (30, 40, 3)
    assert (drawn[label == 0] == bare[label == 0]).all()
    assert tuple(drawn[2, 25]) == tuple(drawn[11, 37]) == COLORS[1]  # corners of the outline: rows first
    inside, below = drawn[7, 31], bare[7, 31]
    assert inside == pytest.approx(below + 0.25 * (np.array(COLORS[1]) - below), abs=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_any_range_is_shown_in_full(dtype) -> None:
    pixels = (np.arange(60 * 70).reshape(60, 70) % 97 * 3 - (50 if np.dtype(dtype).kind != "u" else 0)).astype(dtype)

    drawn = np.asarray(overlay(pixels, np.zeros((60, 70), dtype=np.int64), COLORS))

    assert drawn.min() == 0 and drawn.max() == 255


def test_a_few_extreme_pixels_do_not_darken_the_picture() -> None:
    pixels = np.linspace(0, 100, 4000, dtype=np.float32).reshape(50, 80)
    pixels[0, :3] = 1e6

    assert np.asarray(overlay(pixels, np.zeros((50, 80), dtype=np.uint8), COLORS)).mean() > 100


def test_constant_and_color_images_are_drawn() -> None:
    label = np.ones((20, 30), dtype=np.int64)
    color = np.zeros((20, 30, 3), dtype=np.uint8)
    color[..., 2] = 200

    assert overlay(np.full((20, 30), 7), label, COLORS).size == (30, 20)
    assert np.asarray(overlay(color, label * 0, COLORS))[3, 4].tolist() == [0, 0, 200]
    assert overlay(color.astype(np.uint16) * 300, label, COLORS).size == (30, 20)


def test_large_images_become_screen_size_quickly() -> None:
    rows, columns = np.ogrid[0:2000, 0:2400]
    pixels = (rows + columns).astype(np.uint16)
    label = (((rows - 900) / 500) ** 2 + ((columns - 700) / 400) ** 2 < 1).astype(np.uint8)

    started = time.process_time()
    picture = overlay(pixels, label, COLORS, max_side=1024)

    assert time.process_time() - started < 1.0
    assert picture.size == (1024, 853)
    assert np.asarray(picture)[round(900 * 0.4267), 3].tolist() != list(COLORS[1])


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (1, 1)])
def test_extreme_shapes_keep_a_pixel_per_side(shape) -> None:
    assert min(overlay(np.zeros(shape), np.zeros(shape, dtype=np.uint8), COLORS).size) >= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_a_panel_shows_input_reconstruction_label_and_difference(channels: int) -> None:
    image = np.full((channels, 16, 16), -1.0, dtype=np.float32)
    reconstruction = image.copy()
    reconstruction[:, :8] = 1.0
    label = np.zeros((16, 16), dtype=np.int64)
    label[:, 10:] = 1

    panel = np.asarray(reconstruction_panel(image, reconstruction, label, COLORS))

    tiles = np.split(panel[-panel.shape[1] // 4 :], 4, axis=1)
    top, bottom = ([int(tile[at, 20].mean()) for tile in tiles] for at in (40, 220))
    assert top[0] == bottom[0] == 0  # input: black
    assert top[1] == 255 and bottom[1] == 0  # reconstruction: bright on top
    assert top[3] == 255 and bottom[3] == 0  # difference: on top
    assert tiles[2][220, -20].tolist() != tiles[2][220, 20].tolist()  # label: on the right
    captions = panel[: panel.shape[0] - panel.shape[1] // 4]
    for quarter in np.split(captions, 4, axis=1):
        assert quarter.min() == 40 and quarter.max() == 255
        assert (quarter[:, -4:] == 40).all()  # the text ends before the next


def test_disagreement_names_every_kind_of_pixel() -> None:
    predicted = np.array([[0, 1, 0, 1, 1, 1]], dtype=np.uint8).repeat(2, axis=0)
    reference = np.array([[0, 1, 1, 0, 2, 1]], dtype=np.uint8).repeat(2, axis=0)
    ignore = np.zeros((2, 6), dtype=bool)
    ignore[:, 5] = True

    drawn = np.asarray(disagreement(predicted, reference, ignore=ignore))

    assert [tuple(color) for color in drawn[0].tolist()] == list(AGREEMENT_COLORS.values())
    assert disagreement(np.zeros((900, 600)), np.zeros((900, 600)), max_side=90).size == (60, 90)


def test_a_contour_has_a_light_edge_that_is_seen_on_dark_tissue() -> None:
    label = np.zeros((30, 40), dtype=np.uint8)
    label[5:20, 10:35] = 2

    drawn = np.asarray(overlay(np.zeros((30, 40), dtype=np.uint8), label, COLORS))

    assert tuple(drawn[5, 20]) == tuple(drawn[6, 20]) == COLORS[2]
    assert tuple(drawn[7, 20]) == (255, 255, 255) and tuple(drawn[4, 20]) == (0, 0, 0)
    assert drawn[8, 20].max() < 60  # the dark area is left as it is


def test_errors_are_drawn_on_the_image_and_what_agrees_is_left() -> None:
    image = np.zeros((8, 16), dtype=np.uint8)
    image[4:] = 200
    predicted, reference = np.zeros((2, 8, 16), dtype=np.uint8)
    reference[2:6, 2:10], predicted[2:6, 5:14] = 1, 1

    drawn = np.asarray(disagreement(predicted, reference, image=image)).astype(int)

    def color(row: float, column: float) -> list[int]:
        return drawn[round((row + 0.5) * 40), round((column + 0.5) * 40)].tolist()

    assert drawn.shape == (320, 640, 3)
    assert color(0, 1) == [0, 0, 0] and color(7, 1) == [255, 255, 255]
    assert color(5, 7) == [255, 255, 255]  # both: the image, stretched to black and white
    missed, invented = color(3, 3), color(3, 12)  # on black
    for found, name in ((missed, "reference only"), (invented, "prediction only")):
        assert found == pytest.approx(0.6 * np.array(AGREEMENT_COLORS[name]), abs=2)
    assert drawn[2 * 40, 7 * 40].tolist() == [255, 255, 255]  # the reference's border


def test_pictures_are_encoded() -> None:
    picture = Image.fromarray(np.arange(60, dtype=np.uint8).reshape(6, 10))

    for encode, kind in ((encode_png, "PNG"), (encode_jpeg, "JPEG")):
        with Image.open(BytesIO(encode(picture))) as read:
            assert (read.format, read.size) == (kind, (10, 6))
