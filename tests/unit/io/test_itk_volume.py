"""MHA, MHD and NRRD: values, place, and files that are refused."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK

from monai_semigan.errors import InputError
from monai_semigan.io.itk_volume import data_files, read_itk

VALUES = (np.arange(2 * 3 * 5) - 7).reshape(2, 3, 5).astype(np.int16)  # (I, J, K)


def image(values=VALUES):
    picture = SimpleITK.GetImageFromArray(np.ascontiguousarray(values.transpose(2, 1, 0)))
    picture.SetSpacing((0.8, 0.6, 2.5))
    picture.SetOrigin((10.0, -20.0, 30.0))
    picture.SetDirection((0, 0, 1, 1, 0, 0, 0, 1, 0))
    return picture


def save(tmp_path, name, picture=None):
    path = tmp_path / name
    SimpleITK.WriteImage(image() if picture is None else picture, str(path))
    return path


@pytest.mark.parametrize("name", ["x.mha", "x.mhd", "x.nrrd", "Bäuch 腹.nrrd"])
def test_voxels_lie_where_simpleitk_puts_them(tmp_path, name):
    volume = read_itk(save(tmp_path, name))

    np.testing.assert_array_equal(volume.voxels, VALUES)
    assert volume.voxels.dtype == np.int16 and volume.origin is None and volume.name == name.split(".")[0]
    for index in ((0, 0, 0), (1, 2, 4)):
        expected = np.array(image().TransformIndexToPhysicalPoint(index)) * (-1, -1, 1)
        np.testing.assert_allclose(volume.grid.to_mm(np.array([index]))[0], expected, atol=1e-6)


def test_a_fourth_axis_of_size_1_is_dropped(tmp_path):
    volume = read_itk(save(tmp_path, "x.mha", SimpleITK.JoinSeries([image()])))

    np.testing.assert_array_equal(volume.voxels, VALUES)
    np.testing.assert_allclose(volume.grid.spacing_mm, (0.8, 0.6, 2.5))


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (SimpleITK.JoinSeries([image(), image()]), r"one 3-D volume, got size \(2, 3, 5, 2\)"),
        (SimpleITK.Image((4, 4), SimpleITK.sitkUInt8), "one 3-D volume"),
        (SimpleITK.Compose(image(), image()), "one value per voxel, got 2"),
        (SimpleITK.Image((2, 3, 5), SimpleITK.sitkUInt8), "every voxel is 0"),
    ],
)
def test_other_contents_are_refused(tmp_path, picture, reason):
    with pytest.raises(InputError, match=reason):
        read_itk(save(tmp_path, "x.mha", picture))


@pytest.mark.parametrize("name", ["x.mha", "x.nrrd"])
def test_damaged_files_are_refused_in_one_line(tmp_path, name):
    path = save(tmp_path, name)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=rf"`{name}` must be a complete") as caught:
        read_itk(path)
    assert "\n" not in str(caught.value)
    path.write_text("nothing")
    with pytest.raises(InputError, match="damaged"):
        read_itk(path)
    with pytest.raises(InputError, match="does not exist"):
        read_itk(tmp_path / "no.mha")


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("ElementDataFile = x.raw", ["x.raw"]),
        ("ElementDataFile = LOCAL", []),
        ("ElementDataFile = LIST\na.raw\nb.raw", ["a.raw", "b.raw"]),
        ("ElementDataFile = x%02d.raw 1 5 2", ["x01.raw", "x03.raw", "x05.raw"]),
        ("data file: deep/x.raw", ["deep/x.raw"]),
        ("DataFile: x.raw.gz", ["x.raw.gz"]),
        ("nothing", []),
    ],
)
def test_data_files_of_a_header(tmp_path, line, names):
    path = tmp_path / "x.mhd"
    path.write_text(f"ObjectType = Image\n{line}\n")

    assert [file.relative_to(tmp_path).as_posix() for file in data_files(path)] == names


@pytest.mark.parametrize("name", ["../x.raw", "/etc/passwd"])
def test_data_files_elsewhere_are_refused(tmp_path, name):
    (tmp_path / "x.mhd").write_text(f"NDims = 3\nElementDataFile = {name}\n")

    with pytest.raises(InputError, match="in its own folder"):
        read_itk(tmp_path / "x.mhd")
