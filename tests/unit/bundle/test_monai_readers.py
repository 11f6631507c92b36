# SPDX-License-Identifier: Apache-2.0
"""The readers in MONAI's own transforms and loaders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import phantoms
import pytest
from monai.data import DataLoader, Dataset
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from PIL import Image

from monai_semigan.bundle.monai_readers import SourceImageReader, VolumeReader
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


@pytest.mark.parametrize("name", ["grey.png", "color.png", "deep.tif"])
def test_images_have_channels_first_and_values_and_type_stay(name: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    if name == "grey.png":
        values = values[..., 0]
    elif name == "deep.tif":
        values = values[..., 0].astype(np.uint16) * 200
    Image.fromarray(values).save(tmp_path / name)

    load = Compose([LoadImaged("image", reader=SourceImageReader()), EnsureChannelFirstd("image")])
    image = load({"image": tmp_path / name})["image"]

    expected = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    np.testing.assert_array_equal(image.numpy(), expected)
    assert np.dtype(image.meta["stored_type"]) == values.dtype
    assert image.meta["photometric"] == ("RGB" if values.ndim == 3 else "MONOCHROME2")
    assert image.meta["filename_or_obj"] == str(tmp_path / name)
    assert list(image.meta["spatial_shape"]) == [40, 56]


def test_an_image_s_window_passes_through_a_data_loader(tmp_path: Path, make_xray, dicom_files) -> None:
    pixels = make_xray()[0].astype(np.uint16)
    dataset = dicom_files.instance(pixels, Modality="DX", WindowCenter=100, WindowWidth=180)
    dicom_files.save(dataset, tmp_path / "x.dcm")
    load = Compose([LoadImaged("image", reader=SourceImageReader()), EnsureChannelFirstd("image")])

    (batch,) = DataLoader(Dataset([{"image": str(tmp_path / "x.dcm")}], load), batch_size=1)

    assert np.asarray(batch["image"].meta["voi_window"]).reshape(-1).tolist() == [100, 180]
    assert batch["image"].meta["photometric"] == ["MONOCHROME2"]
