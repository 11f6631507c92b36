"""Manifests and cohorts that the tests of this layer share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from monai_semigan import CohortOptions, SegmenterOptions, SegmentOptions, run_cohort
from monai_semigan.cohort.manifest import Manifest
from monai_semigan.cohort.rows import Unit
from monai_semigan.cohort.running import CohortOutcome

QUICK = SegmentOptions(segmenter=SegmenterOptions(steps=0), device="cpu")


@pytest.fixture
def make_images(tmp_path: Path, make_xray) -> Callable[[int], Path]:
    """Write that many tiny X-rays, ``x00.png`` and so on, into a folder."""

    def make(count: int) -> Path:
        folder = tmp_path / "images"
        folder.mkdir()
        for at in range(count):
            Image.fromarray(make_xray(40 + at, 50, seed=at)[0]).save(folder / f"x{at:02d}.png")
        return folder

    return make


@pytest.fixture
def run(tiny_bundle: Path) -> Callable[..., CohortOutcome]:
    """Run a cohort with the tiny bundle on the CPU; keywords are fields of `CohortOptions`."""

    def call(inputs, output, *, bundle=tiny_bundle, progress=None, segment=QUICK, **changes) -> CohortOutcome:
        options = CohortOptions(segment=segment, **changes)
        return run_cohort(inputs, bundle=bundle, output=output, options=options, progress=progress)

    return call


@pytest.fixture
def filled(tmp_path: Path) -> Callable[..., Manifest]:
    """Open a manifest with that many rows, ``case0`` and so on."""

    def fill(count: int, *, folder: Path = tmp_path / "out") -> Manifest:
        folder.mkdir(exist_ok=True)
        manifest = Manifest(folder, create=True)
        manifest.add([Unit(case=f"case{at}", path=tmp_path / f"{at}.png") for at in range(count)])
        return manifest

    return fill
