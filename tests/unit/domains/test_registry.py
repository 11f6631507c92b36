# SPDX-License-Identifier: Apache-2.0
"""A further domain, or a further modality, comes from outside: it is registered, and nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.domains import registry
from monai_semigan.domains.abdomen import AxialSlicePreset
from monai_semigan.domains.base import IMAGE, Domain
from monai_semigan.domains.chest_xray import ChestXrayPreset
from monai_semigan.domains.registry import DOMAINS, find_domain, register_domain
from monai_semigan.errors import BundleError, ConfigError, InputError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.io.image_file import SourceImage
from monai_semigan.io.volume import SourceVolume
from monai_semigan.segmentation.record import SourceRecord
from monai_semigan.segmentation.segmenter import SegmenterOptions
from monai_semigan.segmentation.source import Source
from monai_semigan.transforms.body import Box


@dataclass(frozen=True, kw_only=True)
class HandPreset(ChestXrayPreset):
    """Hand X-rays: as those of the chest."""


@dataclass(frozen=True, kw_only=True)
class PetSlicePreset(AxialSlicePreset):
    """Uptake between 0 and a limit, in the whole slice."""

    framed_as: ClassVar = "MR"
    highest: float = 8.0

    def window_of(self, slices: np.ndarray | Sequence[np.ndarray]) -> tuple[float, float]:
        return 0.0, self.highest

    def frames(
        self, slices: np.ndarray | Sequence[np.ndarray], *, spacing_mm: tuple[float, float] | None = None
    ) -> list[Box]:
        return [(0, len(pixels), 0, len(pixels[0])) for pixels in slices]

    def _grey(self, pixels: np.ndarray, low: float, high: float) -> np.ndarray:
        return (np.clip((pixels - low) / (high - low), 0, 1) * 2 - 1).astype(np.float32)

    def check_values(self, voxels: np.ndarray) -> tuple[str, ...]:
        if voxels.min() < 0:
            raise InputError("Uptake must not be negative.")
        return ()


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two domains of somebody else, for one test."""
    monkeypatch.setattr(registry, "DOMAINS", dict(DOMAINS))
    register_domain(Domain(name="hand", presets={IMAGE: HandPreset}))
    register_domain(Domain(name="head", presets={"PT": PetSlicePreset}))


def source(data: SourceImage | SourceVolume) -> Source:
    return Source(data=data, record=SourceRecord(name="x", format="array", sha256="0" * 64), case="x")


def test_a_new_image_domain_segments(
    tiny_bundle: Path, edit_bundle: Callable[..., None], make_xray: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> None:
    edit_bundle(tiny_bundle, domain="hand")
    pixels, _ = make_xray(50, 70)

    bundle = open_bundle(tiny_bundle)
    (result,) = bundle.segmenter(device="cpu", steps=0).segment_all(
        [source(SourceImage(path=Path("x"), pixels=pixels, photometric="MONOCHROME2", voi_window=None))]
    )

    assert isinstance(bundle.chains[IMAGE].preset, HandPreset)
    assert result.label.shape == (50, 70)


def test_a_new_volume_domain_of_another_modality_segments(tiny_bundle: Path, edit_bundle: Callable[..., None]) -> None:
    edit_bundle(tiny_bundle, domain="head", preprocessing={"PT": {"image_size": 32}}, inversion={"PT": {"steps": 1}})
    voxels = np.random.default_rng(0).uniform(0, 9, (20, 24, 3)).astype(np.float32)
    grid = VoxelGrid((20, 24, 3), np.diag([2.0, 2.0, 4.0, 1.0]))
    segmenter = open_bundle(tiny_bundle).segmenter(device="cpu", options=SegmenterOptions(steps=0))

    (result,) = segmenter.segment_all([source(SourceVolume(name="x", voxels=voxels, grid=grid, modality=None))])

    assert result.label.shape == (20, 24, 3)
    assert result.record.modality == "PT"
    with pytest.raises(InputError, match="Uptake"):
        segmenter.segment_all([source(SourceVolume(name="x", voxels=-voxels, grid=grid, modality="PT"))])
    with pytest.raises(InputError, match="must be PT for this bundle, got CT"):
        segmenter.segment_all([source(SourceVolume(name="x", voxels=voxels, grid=grid, modality="CT"))])


def test_names_are_unique_and_unknown_ones_are_refused(tiny_bundle: Path, edit_bundle: Callable[..., None]) -> None:
    register_domain(find_domain("hand"))  # the same one again
    with pytest.raises(ConfigError, match="a domain `hand` is registered"):
        register_domain(Domain(name="hand", presets={IMAGE: ChestXrayPreset}))
    edit_bundle(tiny_bundle, domain="foot")
    with pytest.raises(BundleError, match=r"`domain` must be one of chest_xray, .*, hand, head, got 'foot'"):
        open_bundle(tiny_bundle)


def test_a_modality_that_nobody_can_tell_must_be_given() -> None:
    both = Domain(name="both", presets={"PT": PetSlicePreset, "NM": PetSlicePreset})

    with pytest.raises(InputError, match="must be given, one of PT, NM"):
        both.modality_of(np.zeros((2, 3, 4)))
    for presets in ({}, {IMAGE: HandPreset, "PT": PetSlicePreset}):
        with pytest.raises(ConfigError, match="one for images, or some for volumes"):
            Domain(name="none", presets=presets)


@pytest.mark.parametrize(
    ("preprocessing", "message"),
    [
        ({}, "must have modalities of CT, MR, got 'none'"),
        ({"PT": {}}, "must have modalities of CT, MR, got 'PT'"),
        ([], "must have modalities of CT, MR, got 'none'"),
        ({"CT": {"size": 3}}, "`preprocessing` must be an object of known keys .*, got 'size'"),
    ],
)
def test_presets_are_read_by_modality(preprocessing: object, message: str) -> None:
    abdomen = find_domain("abdomen")

    read = abdomen.read_presets(json.loads('{"_note": 1, "MR": {"image_size": 32, "correct_bias": true}}'))
    assert list(read) == ["MR"] and read["MR"].correct_bias
    with pytest.raises(ConfigError, match=message):
        abdomen.read_presets(preprocessing)
