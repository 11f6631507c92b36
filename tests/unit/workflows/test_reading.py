# SPDX-License-Identifier: Apache-2.0
"""`read`: files, arrays, MetaTensors and SimpleITK images become the same sources."""

from __future__ import annotations

import gc
import zipfile
from pathlib import Path

import numpy as np
import phantoms
import pydicom
import pytest
import SimpleITK
import torch
from monai.data.meta_tensor import MetaTensor
from PIL import Image

import monai_semigan as semigan
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.geometry.orientation import lps_from_ras
from monai_semigan.io.image_file import SourceImage


@pytest.mark.parametrize("orientation", ["axial", "coronal", "oblique", "reversed_order"])
def test_every_way_to_a_volume_has_the_geometry_of_its_file(orientation: str, tmp_path: Path) -> None:
    drawn = phantoms.phantom(orientation)
    nifti = phantoms.write_nifti(tmp_path / "v.nii.gz", drawn.voxels_ct, drawn.grid)
    mha = phantoms.write_mha(tmp_path / "v.mha", drawn.voxels_ct, drawn.grid)
    tensor = torch.tensor(drawn.voxels_ct.astype(np.float32))[None]
    ways = {
        "nifti": nifti,
        "mha": mha,
        "itk": SimpleITK.ReadImage(mha),
        "itk of nifti": SimpleITK.ReadImage(nifti),
        "meta tensor": MetaTensor(tensor, affine=torch.tensor(drawn.grid.affine)),
        "meta tensor in LPS": MetaTensor(
            tensor, affine=torch.tensor(lps_from_ras(drawn.grid.affine)), meta={"space": "LPS"}
        ),
    }
    for name, way in ways.items():
        data = semigan.read(way).data
        np.testing.assert_array_equal(data.voxels, drawn.voxels_ct, err_msg=name)
        np.testing.assert_allclose(data.grid.affine, drawn.grid.affine, atol=1e-4, err_msg=name)


def test_every_way_to_an_image_has_its_pixels(tmp_path: Path) -> None:
    color = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    for name, pixels in (("grey", color[..., 0]), ("color", color)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        first = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
        itk = SimpleITK.GetImageFromArray(pixels, isVector=pixels.ndim == 3)
        itk.SetSpacing((0.5, 0.25))  # x, y
        for way in (
            tmp_path / f"{name}.png",
            str(tmp_path / f"{name}.png"),
            pixels,
            MetaTensor(first.swapaxes(1, 2).copy()),
            itk,
        ):
            data = semigan.read(way).data
            assert isinstance(data, SourceImage)
            np.testing.assert_array_equal(data.pixels, pixels)
            assert data.photometric == ("MONOCHROME2" if name == "grey" else "RGB")
        assert semigan.read(itk).data.spacing_mm == (0.25, 0.5)
    assert semigan.read(color, spacing_mm=(0.2, 0.3)).data.spacing_mm == (0.2, 0.3)


def test_an_array_s_axes_grow_to_right_anterior_superior() -> None:
    data = semigan.read(np.zeros((4, 5, 6), dtype=np.int16), spacing_mm=(1, 2, 3), modality="MR").data

    np.testing.assert_array_equal(data.grid.affine, np.diag([1.0, 2, 3, 1]))
    assert data.modality == "MR"
    assert semigan.read(np.zeros((4, 5, 3)), kind="volume").data.grid.shape == (4, 5, 3)


@pytest.mark.parametrize(
    ("wrong", "options", "said"),
    [
        (np.zeros(5), {}, "2 or 3 axes"),
        (np.zeros((2, 3, 4, 5)), {}, "2 or 3 axes"),
        (np.array([["a", "b"]]), {}, "array of numbers"),
        (np.zeros((4, 4)) + 1j, {}, "array of numbers"),
        (None, {}, "array of numbers"),
        (np.zeros((4, 5, 6)), {"kind": "image"}, "for an image"),
        (np.zeros((4, 5)), {"kind": "volume"}, "three axes"),
        (np.zeros((4, 5)), {"spacing_mm": (1, 2, 3)}, "must be 2 numbers above 0"),
        (np.zeros((4, 5, 6)), {"spacing_mm": (1, 2, 0)}, "must be 3 numbers above 0"),
        (MetaTensor(torch.zeros(2, 4, 5, 6)), {}, "must be an image .* or a volume"),
        (MetaTensor(torch.zeros(2, 4, 5)), {}, "must be an image .* or a volume"),
    ],
)
def test_what_is_no_source_is_refused(wrong, options, said) -> None:
    with pytest.raises(ConfigError, match=said):
        semigan.read(wrong, **options)


def test_what_a_zip_held_lasts_as_long_as_its_volume(volume_bundle: Path, tmp_path: Path) -> None:
    """A DICOM result is written with the headers of the source's files, long after they were read."""
    files = phantoms.write_series(tmp_path / "ct", phantoms.phantom(), "CT")
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for path in files:
            archive.write(path, path.name)
    source = semigan.read(tmp_path / "study.zip")
    unpacked = source.data.origin.files[0]
    result = semigan.load_bundle(volume_bundle).segmenter(device="cpu", steps=0).segment(source)

    result.save(tmp_path / "out", formats=("dicom-seg",))

    seg, first = pydicom.dcmread(tmp_path / "out" / "seg.dcm"), pydicom.dcmread(files[0], stop_before_pixels=True)
    assert seg.StudyInstanceUID == first.StudyInstanceUID
    del source, result
    gc.collect()
    assert not unpacked.exists()


def test_a_folder_of_two_volumes_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        phantoms.write_nifti(tmp_path / "in" / f"{name}.nii", phantoms.phantom().voxels_ct, phantoms.phantom().grid)
    with pytest.raises(InputError, match="must hold one volume, got 2"):
        semigan.read(tmp_path / "in")
    with pytest.raises(InputError, match="does not exist"):
        semigan.read(tmp_path / "no.png")


@pytest.mark.filterwarnings("ignore")  # MONAI warns of readers that are not installed
def test_what_monai_s_readers_give_lies_as_the_file_does(tmp_path: Path) -> None:
    """They put columns before rows."""
    from monai.transforms import LoadImage

    pixels = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)
    Image.fromarray((pixels % 251).astype(np.uint8)).save(tmp_path / "x.png")

    source = semigan.read(LoadImage(reader="PILReader", image_only=True, ensure_channel_first=True)(tmp_path / "x.png"))

    np.testing.assert_array_equal(source.data.pixels, pixels % 251)


def test_tensors_of_half_precision_are_read() -> None:
    tensor = torch.arange(20 * 30).reshape(20, 30).bfloat16()

    np.testing.assert_array_equal(semigan.read(tensor).data.pixels, tensor.float().numpy())


@pytest.mark.parametrize("spacing_mm", [1, "x", (None, None), (1.0,), (0.0, 1.0)])
def test_a_spacing_that_is_none_is_refused(spacing_mm: object) -> None:
    with pytest.raises(ConfigError, match=r"`spacing_mm` must be 2 numbers above 0"):
        semigan.read(np.ones((20, 30)), spacing_mm=spacing_mm)


@pytest.mark.parametrize("shape", [(20, 30, 4), (20, 30, 1), (1, 20, 30), (3, 20, 30)])
def test_arrays_of_another_layout_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="looks like another layout"):
        semigan.read(np.ones(shape))


def test_unit_spacing_of_an_image_is_no_spacing() -> None:
    """It is what libraries put where a file says nothing: no millimetres are made of it."""
    assert semigan.read(SimpleITK.GetImageFromArray(np.ones((20, 30), dtype=np.uint8))).data.spacing_mm is None
    assert semigan.read(MetaTensor(torch.ones(1, 20, 30))).data.spacing_mm is None
