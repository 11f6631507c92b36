# SPDX-License-Identifier: Apache-2.0
"""Tiles, grids and animations."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, features

from monai_semigan.errors import ConfigError, OutputError
from monai_semigan.pictures.frames import encode_animation, label_tile, tile_grid
from monai_semigan.pictures.overlay import as_pixels

COLORS = [(0, 0, 0), (250, 0, 0)]


def test_a_tile_shows_the_image_and_below_it_the_label():
    image = np.full((1, 8, 8), -0.5, dtype=np.float32)
    image[0, :4] = 0.5
    label = np.zeros((8, 8), dtype=np.int64)
    label[:, 6:] = 1

    tile = np.asarray(label_tile(image, label, COLORS, side=32))

    assert tile.shape == (64, 32, 3)
    assert tile[4, 16, 0] > 180 and tile[28, 16, 0] < 70
    above, below = tile[:32], tile[32:]
    assert (above[..., 0] == above[..., 1]).all()
    assert (below[:, 24:, 0] > below[:, 24:, 1]).mean() > 0.6 and (below[:, :22, 0] == below[:, :22, 1]).all()


def test_a_grid_keeps_order_and_room_for_captions():
    tiles = [Image.new("RGB", (20, 10), (shade, 0, 0)) for shade in (50, 100, 150)]

    grid = tile_grid(tiles, ["a", "b", "c"], columns=2)

    pixels = np.asarray(grid)[..., 0].astype(int)
    assert grid.width == 46
    found = [int(pixels[26, 5]), int(pixels[26, 30]), int(pixels[66, 5])]
    assert found == [50, 100, 150]
    assert tile_grid(tiles, ["", "", ""], columns=3).height == 10


@pytest.mark.parametrize(("tiles", "captions"), [([], []), ([Image.new("RGB", (4, 4))], [])])
def test_a_grid_needs_a_caption_for_each_tile(tiles, captions):
    with pytest.raises(ConfigError, match="a caption each"):
        tile_grid(tiles, captions, columns=2)


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_an_animation_holds_all_frames_and_rests_at_its_ends(kind):
    frames = [Image.new("RGB", (16, 16), (40 * at, 0, 90)) for at in range(5)]

    content = encode_animation(frames, kind, frame_ms=100)

    durations = []
    with Image.open(BytesIO(content)) as animation:
        assert animation.format == kind.upper() and animation.n_frames == 5
        for at in range(5):
            animation.seek(at)
            animation.load()
            durations.append(animation.info["duration"])
    assert durations == [600, 100, 100, 100, 600]


def test_without_webp_the_other_format_is_named(monkeypatch):
    monkeypatch.setattr(features, "check", lambda _: False)

    with pytest.raises(OutputError, match="Choose GIF"):
        encode_animation([Image.new("RGB", (4, 4))], "webp", frame_ms=100)
    assert encode_animation([Image.new("RGB", (4, 4))], "gif", frame_ms=100).startswith(b"GIF8")


def test_no_frames_are_refused():
    with pytest.raises(ConfigError, match="at least one image"):
        encode_animation([], "gif", frame_ms=100)


@pytest.mark.parametrize(("channels", "shape"), [(1, (4, 4)), (3, (4, 4, 3))])
def test_a_network_s_image_becomes_pixels(channels, shape):
    image = np.linspace(-1.5, 1.5, channels * 16, dtype=np.float32).reshape(channels, 4, 4)

    pixels = as_pixels(image)

    assert pixels.shape == shape and pixels.dtype == np.uint8
    assert pixels.min() == 0 and pixels.max() == 255
    first = pixels if channels == 1 else pixels[..., 0]
    np.testing.assert_array_equal(first, np.round((image[0].clip(-1, 1) + 1) * 127.5))
