# SPDX-License-Identifier: Apache-2.0
"""The shipped bundles know their own samples, and say of each other's, and of turned ones, that they do not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import monai_semigan as semigan
from monai_semigan.bundles import bundle_root
from monai_semigan.segmentation.segmenter import Segmenter

LUNG, SKIN, LIVER = "lung_cxr_segmentation", "lesion_dermoscopy_segmentation", "liver_ct_segmentation"


@pytest.fixture(scope="module")
def models() -> dict[str, Segmenter]:
    return {name: semigan.load_bundle(name).segmenter(device="cpu") for name in (LUNG, SKIN, LIVER)}


def samples(name: str) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in sorted((bundle_root(name) / "samples" / "images").iterdir())]


def scores(model: Segmenter, images: list[np.ndarray]) -> list[float]:
    return [result.ood for result in model.segment_all([semigan.read(image) for image in images])]


def liver_slices() -> list[np.ndarray]:
    voxels = semigan.read(bundle_root(LIVER) / "samples" / "ct.nii.gz").data.voxels
    middle = voxels[:, :, voxels.shape[2] // 2 - 2 : voxels.shape[2] // 2 + 2]
    grey = (middle.clip(0, 255)).astype(np.uint8)
    return [np.rot90(grey[:, :, at]).copy() for at in range(grey.shape[2])]


def grey(images: list[np.ndarray]) -> list[np.ndarray]:
    return [np.asarray(Image.fromarray(image).convert("L")) for image in images]


def color(images: list[np.ndarray]) -> list[np.ndarray]:
    return [np.stack([image] * 3, axis=-1) for image in images]


def test_radiographs_are_known_and_all_else_is_not(models) -> None:
    own = scores(models[LUNG], samples(LUNG))
    foreign = scores(models[LUNG], [*grey(samples(SKIN)), *liver_slices()])
    turned = scores(models[LUNG], [np.rot90(image, 2).copy() for image in samples(LUNG)])
    assert sorted(own)[-2] <= 0.5 < min(foreign) and min(turned) > 0.5  # one of COVID-19 is beyond
    assert max(own) < min(*foreign, *turned)


def test_skin_is_known_and_radiographs_are_less_so(models) -> None:
    own, foreign = scores(models[SKIN], samples(SKIN)), scores(models[SKIN], color(grey(samples(LUNG))))
    assert np.mean(own) < 0.4 < np.mean(foreign) and max(own) <= 0.5


def test_a_liver_is_known_and_its_volume_upside_down_is_less_so(models) -> None:
    source = semigan.read(bundle_root(LIVER) / "samples" / "ct.nii.gz")
    own = models[LIVER].segment(source)
    turned = semigan.read(source.data.voxels[::-1, ::-1].copy(), spacing_mm=source.data.grid.spacing_mm, modality="CT")
    assert own.ood <= 0.5 and not own.is_unlike
    assert models[LIVER].segment(turned).ood > own.ood


def test_more_noise_is_more_unlike(models) -> None:
    image = samples(LUNG)[-1].astype(np.float32)
    noise = np.random.default_rng(0).normal(size=image.shape)
    levels = (0, 60, 120, 240)
    found = scores(models[LUNG], [(image + level * noise).clip(0, 255).astype(np.uint8) for level in levels])
    assert found[0] <= 0.5 < found[-1] and found == sorted(found)
