# SPDX-License-Identifier: Apache-2.0
"""The volume reader in MONAI's own transforms and loaders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import phantoms
import pytest
from monai.data import DataLoader, Dataset
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

from monai_semigan.bundle.monai_volume_reader import VolumeReader
from monai_semigan.errors import InputError
from monai_semigan.io.volume_input import find_volumes

pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodec")  # of MONAI's own readers, which LoadImage builds too


def load(path: Path) -> MetaTensor:
    transform = Compose([LoadImaged("image", reader=VolumeReader()), EnsureChannelFirstd("image")])
    image = transform({"image": str(path)})["image"]
    assert isinstance(image, MetaTensor)
    return image


def write(folder: Path, source_format: str, orientation: str, modality: phantoms.Modality) -> Path:
    drawn = phantoms.phantom(orientation)
    if source_format == "dicom":
        phantoms.write_series(folder / "series", drawn, modality)
        return folder / "series"
    if source_format == "mha":
        return phantoms.write_mha(folder / "v.mha", phantoms.voxels(drawn, modality), drawn.grid)
    return phantoms.write_nifti(folder / "v.nii.gz", phantoms.voxels(drawn, modality), drawn.grid)


@pytest.mark.parametrize("orientation", ["axial", "coronal", "oblique", "reversed_order"])
@pytest.mark.parametrize("source_format", ["nifti", "mha", "dicom"])
def test_volume_lies_where_the_source_lies(source_format: str, orientation: str, tmp_path: Path) -> None:
    path = write(tmp_path, source_format, orientation, "CT")

    image = load(path)

    volume = find_volumes([path])[0].load()
    assert image.shape == (1, *volume.grid.shape)
    np.testing.assert_array_equal(image.as_tensor()[0].numpy(), volume.voxels.astype(np.float32))
    np.testing.assert_allclose(np.asarray(image.affine), volume.grid.affine, rtol=0, atol=1e-9)
    assert image.meta["space"] == "RAS"
    assert image.meta["filename_or_obj"] == str(path)
    assert image.meta["modality"] == ("CT" if source_format == "dicom" else "")
    if source_format == "nifti":  # and the phantom says where that is
        np.testing.assert_allclose(np.asarray(image.affine), phantoms.phantom(orientation).grid.affine, atol=1e-4)


def test_metadata_pass_through_a_data_loader(tmp_path: Path) -> None:
    path = write(tmp_path, "dicom", "axial", "MR")
    transform = Compose([LoadImaged("image", reader=VolumeReader()), EnsureChannelFirstd("image")])

    (batch,) = DataLoader(Dataset([{"image": str(path)}], transform), batch_size=1)

    assert batch["image"].meta["modality"] == ["MR"]
    assert batch["image"].affine.shape == (1, 4, 4)


def test_two_series_are_refused(tmp_path: Path) -> None:
    for modality in ("CT", "MR"):
        phantoms.write_series(tmp_path / "study" / modality, phantoms.phantom(), modality)

    with pytest.raises(InputError, match=r"`study` must hold one volume, got 2\. Give each its own folder"):
        VolumeReader().read(tmp_path / "study")


def test_what_is_no_volume_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no volume")

    with pytest.raises(InputError, match="No volume was found"):
        VolumeReader().read(str(tmp_path))
