"""Fixtures that several tests share: tiny networks, a tiny trained-looking bundle, synthetic X-rays."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from monai_semigan.bundles import bundle_root
from monai_semigan.networks.segmenter import SemiGanSegmenter

TINY = {
    "image_size": 32,
    "num_classes": 2,
    "image_channels": 1,
    "z_dim": 16,
    "w_dim": 16,
    "num_mapping_layers": 2,
    "channels": [8, 8, 8, 8],
    "encoder_channels": [8, 8, 8, 8],
    "head_channels": 8,
    "direct_widths": [4, 4],
    "direct_share": 0.25,
}


def pytest_configure() -> None:
    """Tests run beside each other: one thread each is fastest, and repeatable."""
    torch.set_num_threads(1)


@pytest.fixture
def tiny_settings() -> dict[str, object]:
    return dict(TINY)


@pytest.fixture
def tiny_network() -> SemiGanSegmenter:
    """A 32-pixel network with random weights that counts as trained."""
    torch.manual_seed(1)
    network = SemiGanSegmenter(**TINY)
    network.is_trained.fill_(1)
    return network.eval()


def xray(height: int = 90, width: int = 110, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw two dark ellipses of different size on a bright body, and their mask: asymmetric, so that flips show."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    rows, columns = rows / height, columns / width
    body = 120 + 80 * np.exp(-(((columns - 0.5) / 0.4) ** 2))
    left = ((columns - 0.3) / 0.14) ** 2 + ((rows - 0.45) / 0.3) ** 2 < 1
    right = ((columns - 0.7) / 0.1) ** 2 + ((rows - 0.4) / 0.22) ** 2 < 1
    mask = left | right
    image = np.where(mask, 50, body) + rng.normal(0, 4, (height, width))
    return image.clip(0, 255).astype(np.uint8), mask.astype(np.uint8)


@pytest.fixture
def make_xray() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    return xray


@pytest.fixture(scope="session")
def dicom_files() -> ModuleType:
    """The module that writes small DICOM series: ``dicom_files.py`` in this folder."""
    spec = importlib.util.spec_from_file_location("dicom_files", Path(__file__).with_name("dicom_files.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def xray_files(tmp_path: Path) -> Path:
    """A folder with ``images`` and ``masks`` of four synthetic X-rays of odd sizes."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for at in range(4):
        image, mask = xray(81 + 10 * at, 97 + 7 * at, seed=at)
        Image.fromarray(image).save(tmp_path / "images" / f"case{at}.png")
        Image.fromarray(mask * 255).save(tmp_path / "masks" / f"case{at}.png")
    return tmp_path


@pytest.fixture
def datalist(xray_files: Path) -> Path:
    """A data list over `xray_files`: two labelled, all but the last unlabelled, the last for validation."""
    entry = [
        {"image": f"images/case{at}.png", "label": f"masks/case{at}.png", "patient_id": str(at)} for at in range(4)
    ]
    content = {
        "schema": "semigan-datalist-1",
        "label_values": "binary",
        "labelled": entry[:2],
        "unlabelled": [{"image": item["image"], "patient_id": item["patient_id"]} for item in entry[:3]],
        "validation": entry[3:],
    }
    path = xray_files / "data.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def tiny_bundle(tmp_path: Path, tiny_network: SemiGanSegmenter) -> Path:
    """A bundle folder with the tiny network's weights."""
    from monai_semigan.networks.checkpoint_file import file_digest

    root = tmp_path / "tiny_bundle"
    shutil.copytree(bundle_root("lung_cxr_segmentation") / "configs", root / "configs")
    (root / "models").mkdir()
    torch.save(tiny_network.state_dict(), root / "models" / "model.pt")
    edit_metadata(
        root,
        network=TINY,
        preprocessing={"image_size": 32, "max_stretch": 1.5},
        inversion={"steps": 2},
        weights={"file": "models/model.pt", "sha256": file_digest(root / "models" / "model.pt")},
        ood=None,
        dice_calibration={"offset": 0.0, "slope": 1.0},
        num_labels=None,
    )
    for name in ("train.json", "train_encoder.json"):
        path = root / "configs" / name
        config = json.loads(path.read_text())
        config["trainer"]["run"] = {"total_kimg": 0.012, "batch_size": 4, "tick_kimg": 0.008, "num_samples": 2}
        if name == "train.json":
            config["trainer"]["d_pair"] = {"num_scales": 1, "base_channels": 4}
            config["trainer"]["bfloat16"] = False
            config["trainer"]["teacher"] = {"features": [4, 4], "steps": 2, "batch_size": 2}
        path.write_text(json.dumps(config))
    return root


@pytest.fixture
def volume_bundle(tiny_bundle: Path) -> Path:
    """The tiny bundle as one for volumes, CT and MR."""
    shutil.copy(bundle_root("liver_ct_segmentation") / "configs" / "inference.json", tiny_bundle / "configs")
    edit_metadata(
        tiny_bundle,
        domain="abdomen",
        class_names=["background", "liver"],
        colors=[[0, 0, 0], [221, 130, 101]],
        preprocessing={"CT": {"image_size": 32}, "MR": {"image_size": 32}},
        inversion={"CT": {"steps": 1}, "MR": {"steps": 2, "correlation_weight": 1.0}},
        components={},
    )
    return tiny_bundle


def edit_metadata(root: Path, **changes: object) -> None:
    """Replace entries of a bundle's ``semigan`` block."""
    path = root / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    metadata["semigan"] |= changes
    path.write_text(json.dumps(metadata))


@pytest.fixture
def edit_bundle() -> Callable[..., None]:
    return edit_metadata


@pytest.fixture
def integration() -> Callable[[str], str]:
    """Find a program that a test needs; skip without it, or fail where all must be there."""

    def find(program: str) -> str:
        path = shutil.which(program)
        if path is None:
            if os.environ.get("SEMIGAN_REQUIRE_INTEGRATION"):
                pytest.fail(f"`{program}` must be installed here.")
            pytest.skip(f"`{program}` is not installed")
        return path

    return find


KINDS = (
    "Segmentation",
    "SCImage",
    "Comprehensive3DSR",
    "ParametricMap",
    "GrayscaleSoftcopyPresentationState",
    "ColorSoftcopyPresentationState",
)
"""How dciodvfy calls what it took a file for."""


@pytest.fixture
def verify(integration: Callable[[str], str]) -> Callable[[Path], list[str]]:
    """Let dciodvfy look at a file, as a kind of object that it knows; return its error lines."""

    def run(path: Path) -> list[str]:
        found = subprocess.run([integration("dciodvfy"), str(path)], capture_output=True, text=True, check=False)
        lines = (found.stdout + found.stderr).splitlines()
        assert any(line.strip() in KINDS for line in lines), lines
        return [line for line in lines if line.startswith("Error")]

    return run
