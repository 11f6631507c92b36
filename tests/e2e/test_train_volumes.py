# SPDX-License-Identifier: Apache-2.0
"""From drawn CT slices to a bundle for volumes: two iterations, then a volume; CT as training and MR-like as target."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from click.testing import CliRunner

from monai_semigan import prepare_phantom
from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.bundles import bundle_root
from monai_semigan.cli.main import cli
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.workflows.train import gan_trainer
from monai_semigan.workflows.training_data import training_preset

pytestmark = pytest.mark.e2e

SLICES = {"CT": {"image_size": 32, "max_stretch": 3.0, "low_hu": 0.0, "high_hu": 255.0}, "MR": {"image_size": 32}}


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], standalone_mode=False)


def run_monai(folder: Path, config: Path, **options: object) -> None:
    flags = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", "--config_file", config, *flags],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def edit(path: Path, change: Any) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four CT patients and one MR patient, small."""
    return prepare_phantom(tmp_path / "data", patients=4, mr_patients=1, shape=(48, 40, 16)).datalist


@pytest.fixture
def small_liver(tmp_path: Path, tiny_settings: dict[str, Any]) -> Path:
    """The shipped liver bundle with a tiny network, which its weights do not fit, and two iterations."""
    root = tmp_path / "small_liver"
    shutil.copytree(bundle_root("liver_ct_segmentation"), root)

    def metadata(content: dict[str, Any]) -> None:
        content["semigan"] |= {"network": tiny_settings, "preprocessing": SLICES}
        for chain in content["semigan"]["inversion"].values():
            chain["steps"] = 1

    def training(content: dict[str, Any]) -> None:
        trainer = content["trainer"]
        trainer["run"] = {"total_kimg": 0.008, "batch_size": 4, "tick_kimg": 0.008, "num_samples": 2}
        if "d_pair" in trainer:
            trainer |= {"bfloat16": False, "d_pair": {"num_scales": 1, "base_channels": 4}}
            trainer["teacher"] = {"features": [4, 4, 4, 4, 4, 4], "steps": 2, "batch_size": 2}

    edit(root / "configs" / "metadata.json", metadata)
    for name in ("train.json", "train_encoder.json"):
        edit(root / "configs" / name, training)
    return root


def test_two_iterations_then_a_volume(data: Path, small_liver: Path, tmp_path: Path) -> None:
    gan, encoder, mine = tmp_path / "gan", tmp_path / "encoder", tmp_path / "mine"
    common = ("-b", small_liver, "--data", data, "--device", "cpu")
    for step in (
        ("train", "gan", gan, *common),
        ("train", "encoder", encoder, *common, "--gan", gan),
        ("pack", mine, "-b", small_liver, "--weights", encoder / "best.pt"),
    ):
        result = run(*step)
        assert result.exception is None, result.exception
    assert open_bundle(mine).digest != open_bundle(small_liver).digest

    volumes, work = tmp_path / "volumes", tmp_path / "work"
    volumes.mkdir()
    work.mkdir()
    for modality in ("ct_000", "mr_004"):  # trained on, and a target that the training never saw
        shutil.copy(data.parent / "volumes" / f"phantom_{modality}.nii.gz", volumes)
    segmented = run("segment", volumes, "-b", mine, "-o", tmp_path / "out", "--steps", 0, "--json")
    assert segmented.exception is None and segmented.return_value == 0, segmented.output
    assert {case["modality"] for case in json.loads(segmented.stdout)["cases"]} == {"CT", "MR"}

    run_monai(
        work, mine / "configs" / "inference.json", bundle_root=mine, dataset_dir=volumes, output_dir="labels", steps=0
    )
    for name in ("phantom_ct_000", "phantom_mr_004"):
        source, label, expected = (
            nibabel.load(path)
            for path in (
                volumes / f"{name}.nii.gz",
                work / "labels" / f"{name}.nii.gz",
                tmp_path / "out" / name / "label.nii.gz",
            )
        )
        np.testing.assert_array_equal(np.asanyarray(label.dataobj), np.asanyarray(expected.dataobj))
        np.testing.assert_array_equal(label.affine, source.affine)
        assert label.shape == source.shape and label.get_data_dtype() == np.uint8

    references = tmp_path / "references"
    references.mkdir()
    for path in volumes.iterdir():
        reference = path.name.replace(".nii.gz", "_label.nii.gz")
        shutil.copy(data.parent / "volumes" / reference, references / path.name)
    config = mine / "configs" / "evaluate.json"
    run_monai(work, config, predictions_dir="labels", references_dir=references, report_dir="report")
    summary = json.loads((work / "report" / "summary.json").read_text())
    assert summary["counts"]["cases"] == 2 and not summary["failures"]


def test_pictures_of_ct_slices_are_prepared_as_volumes_are(small_liver: Path) -> None:
    """Grey 0..255 of a picture stands for 0..255 HU: the window makes the same of both."""
    preset = training_preset(open_bundle(small_liver), "CT")
    hu = np.full((40, 50), -1000.0)
    hu[5:35, 5:45] = np.linspace(-150, 400, 40)

    (picture, _), (slice_, _) = (
        preset.prepare(pixels, box=(0, 40, 0, 50)) for pixels in (hu.clip(0, 255).round().astype(np.uint8), hu)
    )
    np.testing.assert_allclose(picture, slice_, atol=2 / 255)


def test_a_modality_that_the_bundle_has_not_is_refused(small_liver: Path, tiny_bundle: Path) -> None:
    with pytest.raises(ConfigError, match="`modality` must be CT or MR, got 'PT'"):
        training_preset(open_bundle(small_liver), "PT")
    with pytest.raises(ConfigError, match="`modality` must be null for images, got 'CT'"):
        training_preset(open_bundle(tiny_bundle), "CT")


def test_color_pictures_are_refused_where_grey_is_trained(data: Path, small_liver: Path, tmp_path: Path) -> None:
    from PIL import Image

    content = json.loads(data.read_text())
    picture = data.parent / content["unlabelled"][0]["image"]
    Image.new("RGB", (40, 40), (200, 10, 10)).save(picture)

    with pytest.raises(InputError, match=f"`{picture.name}` must be a grey image"):
        gan_trainer(bundle_root=small_liver, modality="CT", datalist=data, run_dir=tmp_path / "run", device="cpu")
