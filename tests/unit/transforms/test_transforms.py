"""Into the square and exactly back; grey values; borders; the MONAI classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Compose

from monai_semigan.domains.chest_xray import ChestXrayPreset
from monai_semigan.domains.monai_transforms import PrepareForNetworkd, RestoreLabeld
from monai_semigan.errors import ConfigError, InputError, ShapeError
from monai_semigan.transforms import chest_xray as t
from monai_semigan.transforms.border import content_box
from monai_semigan.transforms.intensity import adjust_gamma, apply_voi_window, equalize, invert_polarity
from monai_semigan.transforms.square import SquareGeometry

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("ci")


def geometry(height, width, *, box=None, size=32, stretch=1.0):
    return SquareGeometry(
        source_shape=(height, width), crop_box=box or (0, height, 0, width), image_size=size, max_stretch=stretch
    )


@pytest.mark.property
@given(
    height=st.integers(40, 200),
    width=st.integers(40, 200),
    stretch=st.sampled_from([1.0, 1.2, 2.0]),
    seed=st.integers(0, 99),
)
def test_a_mask_returns_to_its_place(height, width, stretch, seed):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    center, radius = rng.uniform(0.35, 0.6, 2), rng.uniform(0.2, 0.3, 2)
    inside = ((rows / height - center[0]) / radius[0]) ** 2 + ((columns / width - center[1]) / radius[1]) ** 2 < 1
    mask = (inside & (columns / width > 0.3)).astype(np.uint8)  # asymmetric
    way = geometry(height, width, size=64, stretch=stretch)

    back = way.scores_to_label(way.label(mask, 2))

    assert back.shape == mask.shape
    assert 2 * (back & mask).sum() / (back.sum() + mask.sum()) > 0.95


@pytest.mark.property
@given(height=st.integers(40, 150), width=st.integers(40, 150), stretch=st.sampled_from([1.0, 1.5]))
def test_a_ramp_comes_back_exactly_inside(height, width, stretch):
    """Linear interpolation of area averages reproduces a linear image: any half-pixel shift would show."""
    way = geometry(height, width, stretch=stretch)
    ramp = np.add.outer(np.arange(height) * 3.0, np.arange(width) * 1.0).astype(np.float32)

    back = way.scores_to_source(way.image(ramp)[None])[0]

    top, bottom, left, right = way.placement
    margin_h, margin_w = int(height / (bottom - top)) + 1, int(width / (right - left)) + 1
    inner = np.s_[margin_h : height - margin_h, margin_w : width - margin_w]
    np.testing.assert_allclose(back[inner], ramp[inner], atol=0.02 * ramp.max())


def test_crop_offsets_are_restored_and_outside_is_background():
    mask = np.zeros((60, 80), dtype=np.uint8)
    mask[20:30, 40:60] = 1
    way = geometry(60, 80, box=(10, 50, 30, 70), size=40)

    back = way.scores_to_label(way.label(mask, 2))

    np.testing.assert_array_equal(back, mask)
    assert way.scores_to_source(np.ones((1, 40, 40)), fill=-1.0)[0, 0, 0] == -1


def test_aspect_ratio_is_kept_or_stretched_up_to_the_limit():
    assert geometry(64, 32).placement == (0, 32, 8, 24)
    assert geometry(64, 32, stretch=1.5).placement == (0, 32, 4, 28)
    assert geometry(64, 32, stretch=2.0).placement == (0, 32, 0, 32)


def test_padding_repeats_the_edge_and_labels_pad_with_background():
    way = geometry(64, 32)
    image = way.image(np.tile(np.linspace(0, 1, 32, dtype=np.float32), (64, 1)))
    label = way.label(np.ones((64, 32), dtype=np.uint8), 3)

    np.testing.assert_allclose(image[:, 0], image[:, 8])
    np.testing.assert_allclose(image[:, -1], image[:, 23])
    assert label[0, :, :8].min() == 1 and label[1, :, 8:24].min() == 1 and label[2].max() == 0
    np.testing.assert_allclose(label.sum(axis=0), 1)


def test_three_classes_and_chunks(monkeypatch):
    scores = np.random.default_rng(0).normal(size=(3, 16, 16)).astype(np.float32)
    way = geometry(50, 70, size=16)
    expected = way.scores_to_source(scores).argmax(axis=0)

    monkeypatch.setattr("monai_semigan.transforms.square.CHUNK_PIXELS", 140)

    np.testing.assert_array_equal(way.scores_to_label(scores), expected)


def test_enlarging_equals_torch():
    scores = np.random.default_rng(0).normal(size=(2, 16, 16)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(scores)[None], size=(50, 70), mode="bilinear", align_corners=False
    )

    actual = geometry(50, 70, size=16, stretch=2.0).scores_to_source(scores)

    np.testing.assert_allclose(actual, expected[0].numpy(), atol=1e-5)


def test_geometry_is_checked():
    with pytest.raises(ConfigError, match="`crop_box`"):
        geometry(10, 10, box=(0, 11, 0, 10))
    with pytest.raises(ConfigError, match="`max_stretch`"):
        geometry(10, 10, stretch=0.5)
    with pytest.raises(ShapeError, match="`pixels`"):
        geometry(10, 10).image(np.zeros((10, 11)))


def test_equalization_ignores_monotone_changes():
    image = np.random.default_rng(0).gamma(2.0, size=(64, 64))
    changed = np.log1p(image * 50)

    assert np.abs(equalize(image) - equalize(changed)).mean() < 0.01
    assert equalize(image).min() == -1 and equalize(image).max() == 1
    counts = np.histogram(equalize(image), bins=10, range=(-1, 1))[0]
    assert counts.max() < 1.5 * counts.min()


def test_equalization_leaves_a_black_plateau_black():
    image = np.random.default_rng(0).uniform(0.1, 1, size=(64, 64))
    image[:, :30] = 0

    assert equalize(image)[:, :30].max() == -1


def test_polarity_window_and_gamma():
    pixels = np.array([[10, 20], [30, 110]], dtype=np.uint16)
    np.testing.assert_array_equal(invert_polarity(pixels), [[110, 100], [90, 10]])
    assert invert_polarity(pixels).dtype == np.uint16
    # PS3.3 C.11.2.1.2.1: ((x - (c - 0.5)) / (w - 1) + 0.5), here c = 60.5, w = 101.
    np.testing.assert_allclose(apply_voi_window(pixels, center=60.5, width=101), [[0, 0.1], [0.2, 1.0]], atol=1e-6)
    np.testing.assert_allclose(adjust_gamma(np.array([-1.0, 0.0, 1.0]), 2.0), [-1, -0.5, 1])
    with pytest.raises(ConfigError, match="`width`"):
        apply_voi_window(pixels, center=0, width=0.5)
    with pytest.raises(ConfigError, match="`gamma`"):
        adjust_gamma(np.zeros(1), 0)


def test_borders_are_found_and_dark_images_survive(make_xray):
    image, _ = make_xray(200, 300)
    noise = np.random.default_rng(0).integers(0, 4, (280, 380), dtype=np.uint8)  # what JPEG leaves of black
    noise[30:230, 40:340] = image.clip(40)
    top, bottom, left, right = content_box(noise)

    assert (abs(top - 30), abs(bottom - 230), abs(left - 40), abs(right - 340)) <= (2, 2, 2, 2)
    assert content_box(image) == (0, 200, 0, 300)
    dark = np.zeros((100, 100), dtype=np.uint8)
    dark[50, 50] = 255
    top, bottom, left, right = content_box(dark, max_share=0.3)
    assert (top, bottom, left, right) == (30, 70, 30, 70)
    framed = np.full((100, 100), 255, dtype=np.uint8)
    framed[10:90, 10:90] = make_xray(80, 80)[0]
    assert content_box(framed) == (10, 90, 10, 90)


def test_preset_prepares_and_restores(make_xray):
    image, mask = make_xray(150, 190)
    preset = ChestXrayPreset(image_size=64)

    prepared, way = preset.prepare(image)

    assert prepared.shape == (1, 64, 64) and prepared.dtype == np.float32
    assert prepared.min() == -1 and prepared.max() == 1
    back = way.scores_to_label(preset.prepare_label(mask, way, 2))
    assert 2 * (back & mask).sum() / (back.sum() + mask.sum()) > 0.97


def test_preset_hardly_sees_bit_depth_polarity_and_exposure(make_xray):
    image, _ = make_xray(150, 190)
    preset = ChestXrayPreset(image_size=64)
    expected = preset.prepare(image)[0]
    sixteen = image.astype(np.uint16) * 257
    bent = (np.sqrt(image / 255) * 4095).astype(np.uint16)

    np.testing.assert_allclose(preset.prepare(sixteen)[0], expected, atol=1e-4)
    np.testing.assert_allclose(
        preset.prepare(invert_polarity(image), photometric="MONOCHROME1")[0], expected, atol=1e-4
    )
    assert np.abs(preset.prepare(bent)[0] - expected).mean() < 0.02
    assert not np.allclose(preset.prepare(image, voi_window=(100, 60))[0], expected, atol=0.05)


def test_preset_refuses_what_shows_nothing():
    preset = ChestXrayPreset()
    with pytest.raises(InputError, match="constant"):
        preset.prepare(np.full((50, 50), 7, dtype=np.uint8))
    with pytest.raises(InputError, match="NaN"):
        preset.prepare(np.where(np.eye(50), np.nan, 1.0))
    with pytest.raises(InputError, match="constant"):
        preset.prepare(np.arange(2500, dtype=np.uint16).reshape(50, 50), voi_window=(60000, 10))
    with pytest.raises(ConfigError, match="`max_border`"):
        ChestXrayPreset(max_border=0.6)


def test_monai_chain_equals_the_preset(make_xray):
    image, mask = make_xray(150, 190)
    padded = np.pad(image, ((20, 10), (0, 0)))
    meta = {"photometric": "MONOCHROME2", "filename_or_obj": "x.png"}
    steps = [
        t.InvertPolarityd("image"),
        t.ApplyVoiWindowd("image"),
        t.CropBorderd("image"),
        t.ResizeToSquared("image", 64, max_stretch=1.5),
        t.EqualizeGreyd("image"),
        t.AdjustGammad("image", 1.0),
    ]
    data = {"image": MetaTensor(torch.from_numpy(padded.astype(np.float32))[None], meta=meta)}

    single = Compose(steps)(data)["image"]
    whole = PrepareForNetworkd("image", "chest_xray", image_size=64)(data)["image"]
    expected, way = ChestXrayPreset(image_size=64).prepare(padded)

    np.testing.assert_allclose(single.numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(whole.numpy(), expected, atol=1e-6)
    scores = way.label(np.pad(mask, ((20, 10), (0, 0))), 2)
    for prepared in (single, whole):
        restored = RestoreLabeld("pred")({"image": prepared, "pred": torch.from_numpy(scores)})["pred"]
        np.testing.assert_array_equal(restored.numpy()[0], way.scores_to_label(scores))
        assert restored.meta["filename_or_obj"] == "x.png"


def test_monai_classes_check_their_settings():
    with pytest.raises(ConfigError, match="together"):
        t.ApplyVoiWindow(center=1.0)
    with pytest.raises(ConfigError, match="`gamma`"):
        t.AdjustGamma(0)
    with pytest.raises(ConfigError, match="PrepareForNetworkd"):
        RestoreLabeld("pred")({"image": torch.zeros(1, 4, 4), "pred": torch.zeros(2, 4, 4)})
    with pytest.raises(ShapeError, match="`img`"):
        t.EqualizeGrey()(torch.zeros(3, 4, 4))
    inverted = t.InvertPolarity(always=True)(torch.tensor([[[0.0, 1.0]]]))
    assert inverted.tolist() == [[[1.0, 0.0]]]
    assert t.EqualizeGreyD is t.EqualizeGreyDict is t.EqualizeGreyd
