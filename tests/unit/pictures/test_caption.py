# SPDX-License-Identifier: Apache-2.0
"""Words below a picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

from monai_semigan.pictures.caption import GROUND, captioned

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 150, 3), dtype=np.uint8))


def rows(picture: Image.Image) -> np.ndarray:
    """Which rows below `PICTURE` have ink."""
    below = np.asarray(picture)[PICTURE.height :]
    return (below != GROUND).any(axis=(1, 2))


def test_the_picture_stays_and_the_words_stand_below():
    made = captioned(PICTURE, ["liver: 12 mL"])

    np.testing.assert_array_equal(np.asarray(made)[:40], np.asarray(PICTURE))
    assert made.width == 150 and rows(made).any() and not rows(made)[-2:].any()


def test_a_long_line_goes_on_in_the_next_and_nothing_is_cut():
    short, long = captioned(PICTURE, ["one"]), captioned(PICTURE, ["one two three four five six seven eight"])

    assert long.height > short.height + 20
    assert not (np.asarray(long)[PICTURE.height :, -3:] != GROUND).any()


def test_without_words_there_is_a_margin_alone():
    assert not rows(captioned(PICTURE, [])).any()
