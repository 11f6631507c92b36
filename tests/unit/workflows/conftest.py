# SPDX-License-Identifier: Apache-2.0
"""Drawn volumes as files, and data lists of drawn X-rays."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def save_volume(tmp_path: Path) -> Callable[[str, Callable[..., np.ndarray]], Path]:
    """Write four slices that a function draws as a NIfTI file."""

    def save(name: str, draw: Callable[..., np.ndarray]) -> Path:
        voxels = np.stack([draw(seed=at).T for at in range(4)], axis=-1).astype(np.float32)  # to left, back and top
        path = tmp_path / f"{name}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([-2.0, -2.0, 5.0, 1.0])), path)
        return path

    return save


@pytest.fixture
def write_list(tmp_path: Path, make_xray: Callable[..., tuple[np.ndarray, np.ndarray]]) -> Callable[..., Path]:
    """Write a data list of drawn X-rays: some for training, others for validation, and pictures that are given."""

    def write(
        name: str, *, num_labelled: int = 0, num_validation: int = 0, first_seed: int = 0, planted: Sequence[Path] = ()
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        entries = []
        for at in range(num_labelled + num_validation):
            image, mask = make_xray(80 + at, 100 - at, seed=first_seed + at)
            for kind, pixels in (("image", image), ("label", mask * 255)):
                Image.fromarray(pixels).save(folder / f"{at}_{kind}.png")
            entries.append({"image": f"{at}_image.png", "label": f"{at}_label.png", "patient_id": f"{name}{at}"})
        content = {
            "schema": "semigan-datalist-1",
            "label_values": "binary",
            "labelled": entries[:num_labelled],
            "unlabelled": [{"image": str(path), "patient_id": path.stem} for path in planted],
            "validation": entries[num_labelled:],
        }
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content | {"root": str(folder)}))
        return path

    return write
