# SPDX-License-Identifier: Apache-2.0
"""From color portraits to a bundle of one's own: two iterations, then both commands give the same labels."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from monai_semigan.bundles import bundle_root
from monai_semigan.cli.main import cli

pytestmark = pytest.mark.e2e

NUM_IMAGES = 5


@pytest.fixture
def portraits(tmp_path: Path) -> Path:
    """Colored noise with noisy labels of six classes, the last for validation."""
    generator, entries = np.random.default_rng(0), []
    (tmp_path / "images").mkdir()
    for at in range(NUM_IMAGES):
        pixels = generator.integers(0, 256, (50, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{at}.png")
        Image.fromarray(generator.integers(0, 6, (50, 40), dtype=np.uint8)).save(tmp_path / f"label{at}.png")
        entries.append({"image": f"images/{at}.png", "label": f"label{at}.png", "patient_id": str(at)})
    bare = [{"image": entry["image"], "patient_id": entry["patient_id"]} for entry in entries[:-1]]
    content = {"schema": "semigan-datalist-1", "labelled": entries[:2], "unlabelled": bare, "validation": entries[-1:]}
    path = tmp_path / "data.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def small_faces(tmp_path: Path, tiny_settings: dict[str, Any]) -> Path:
    """The shipped bundle for faces, without weights, with a tiny network and two iterations."""
    root = tmp_path / "small_faces"
    shutil.copytree(bundle_root("face_parts_segmentation"), root)
    network = tiny_settings | {"num_classes": 6, "image_channels": 3}
    for path in (root / "configs").glob("*.json"):
        content = json.loads(path.read_text())
        if path.name == "metadata.json":
            content["semigan"] |= {"network": network, "preprocessing": {"image_size": 32}}
        elif "trainer" in content:
            trainer = content["trainer"]
            trainer["run"] = {"total_kimg": 0.008, "batch_size": 4, "tick_kimg": 0.008, "num_samples": 2}
            if "d_pair" in trainer:
                trainer |= {"bfloat16": False, "d_pair": {"num_scales": 1, "base_channels": 4}}
                trainer["teacher"] = {"features": [4] * 6, "steps": 2, "batch_size": 2}
        path.write_text(json.dumps(content))
    return root


def test_two_iterations_then_both_commands(portraits: Path, small_faces: Path, tmp_path: Path) -> None:
    gan, encoder, mine = tmp_path / "gan", tmp_path / "encoder", tmp_path / "mine"
    common = ("-b", small_faces, "--data", portraits, "--device", "cpu")
    for step in (
        ("train", "gan", gan, *common),
        ("train", "encoder", encoder, *common, "--gan", gan),
        ("pack", mine, "-b", small_faces, "--weights", encoder / "best.pt"),
        ("segment", tmp_path / "images", "-b", mine, "-o", tmp_path / "out", "--steps", 0),
    ):
        result = CliRunner().invoke(cli, [str(word) for word in step], standalone_mode=False)
        assert result.exception is None, result.exception
    config = mine / "configs" / "inference.json"
    done = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", "--config_file", config),
            *("--bundle_root", mine, "--dataset_dir", "images", "--output_dir", "labels", "--steps", "0"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]

    for at in range(NUM_IMAGES):
        label = np.asarray(Image.open(tmp_path / "labels" / f"{at}.png"))
        expected = np.asarray(Image.open(tmp_path / "out" / str(at) / "label.png"))
        assert label.shape == (50, 40) and len(np.unique(label)) > 1
        assert np.mean(label != expected) < 1e-3  # batches of another size round differently
