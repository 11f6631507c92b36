"""MHA, MHD and NRRD: values, place, and files that are refused."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK

from monai_semigan.errors import GeometryError, InputError
from monai_semigan.io.itk_volume import data_files, itk_size, read_itk
from monai_semigan.io.label_volume import read_label_volume

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


META = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = {big}
TransformMatrix = 0 1 0 -1 0 0 0 0 1
Offset = 1 2 3
ElementSpacing = 1 2 3
DimSize = 2 3 5
ElementType = {kind}
{more}ElementDataFile = {data}
"""

NRRD = """NRRD0004
# comment
type: {kind}
dimension: 3
{place}
sizes: 2 3 5
endian: {endian}
encoding: raw
{more}
"""

MORE_DIRECTIONS = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


def same_as_simpleitk(path):
    """Compare voxels and the place of two of them with what SimpleITK reads."""
    expected, volume = SimpleITK.ReadImage(str(path)), read_itk(path, is_label=True)
    values = SimpleITK.GetArrayFromImage(expected)
    values = values.reshape(values.shape[-3:]).transpose(2, 1, 0)
    np.testing.assert_array_equal(volume.voxels, values.astype(np.float32) if values.dtype == np.float64 else values)
    assert volume.voxels.dtype == (np.float32 if values.dtype == np.float64 else values.dtype)
    for index in ((0, 0, 0), (1, 2, 4)):
        point = expected.TransformIndexToPhysicalPoint((*index, *[0] * (expected.GetDimension() - 3)))
        np.testing.assert_allclose(
            volume.grid.to_mm(np.array([index]))[0], np.array(point[:3]) * (-1, -1, 1), atol=1e-5
        )
    return volume


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
@pytest.mark.parametrize("suffix", [".mha", ".mhd", ".nrrd", ".nhdr"])
def test_what_simpleitk_writes_is_read_as_simpleitk_reads_it(tmp_path, suffix, dtype):
    values = (np.random.default_rng(0).normal(size=(2, 3, 5)) * 60 + 60).astype(dtype)
    picture = image(values)
    picture.SetDirection(MORE_DIRECTIONS)
    for at, (one, packed) in enumerate(
        (one, packed) for one in (picture, SimpleITK.JoinSeries([picture])) for packed in (0, 1)
    ):
        SimpleITK.WriteImage(one, str(tmp_path / f"{at}{suffix}"), bool(packed))
        same_as_simpleitk(tmp_path / f"{at}{suffix}")


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("MET_CHAR", "i1"), ("MET_USHORT", "u2"), ("MET_LONG", "i4"), ("MET_ULONG", "u4"), ("MET_DOUBLE", "f8")],
)
@pytest.mark.parametrize(("big", "order"), [("True", ">"), ("False", "<")])
@pytest.mark.parametrize("skip", [3, -1])
def test_metaimage_of_both_byte_orders(tmp_path, kind, dtype, big, order, skip):
    values = np.arange(30).astype(order + dtype).tobytes()
    (tmp_path / "x.raw").write_bytes(b"abc" + values)
    header = META.format(big=big, kind=kind, more=f"HeaderSize = {skip}\n", data="x.raw")
    (tmp_path / "x.mhd").write_text(header)
    (tmp_path / "y.mha").write_bytes(META.format(big=big, kind=kind, more="", data="LOCAL").encode() + values)

    for name in ("x.mhd", "y.mha"):
        same_as_simpleitk(tmp_path / name)


@pytest.mark.parametrize(
    "place",
    [
        "space: RAS\nspace directions: (0,1.5,0) (-1,0,0) (0,0,2)\nspace origin: (1,2,3)",
        "space: left-anterior-superior\nspace directions: (0,1.5,0) (-1,0,0) (0,0,2)\nspace origin: (1,2,3)",
        "space dimension: 3\nspace directions: (0,1.5,0) (-1,0,0) (0,0,2)",
        "spacings: 1 2 3",
        "spacings: 1 2 nan",
    ],
)
@pytest.mark.parametrize(("endian", "order"), [("big", ">"), ("little", "<")])
def test_nrrd_of_every_space(tmp_path, place, endian, order):
    values = np.arange(30).astype(order + "i4").tobytes()
    (tmp_path / "x.raw").write_bytes(b"abc" + values)
    (tmp_path / "x.nhdr").write_text(
        NRRD.format(kind="int", place=place, endian=endian, more="byte skip: 3\ndata file: x.raw")
    )
    (tmp_path / "y.nrrd").write_bytes(NRRD.format(kind="int", place=place, endian=endian, more="").encode() + values)

    for name in ("x.nhdr", "y.nrrd"):
        same_as_simpleitk(tmp_path / name)


SLICES = ["s01.raw", "s03.raw", "s05.raw", "s07.raw", "s09.raw"]


@pytest.mark.parametrize("data", ["s%02d.raw 1 9 2", "LIST\n" + "\n".join(SLICES)])
@pytest.mark.parametrize("name", ["x.mhd", "x.nhdr"])
def test_a_file_for_every_slice(tmp_path, name, data):
    values = np.arange(30, dtype="<i2")
    for at, file in enumerate(SLICES):
        (tmp_path / file).write_bytes(values[at * 6 : at * 6 + 6].tobytes())
    meta = META.format(big="False", kind="MET_SHORT", more="", data=data)
    nrrd = NRRD.format(kind="short", place="spacings: 1 2 3", endian="little", more=f"data file: {data}")
    (tmp_path / name).write_text(meta if name == "x.mhd" else nrrd)

    same_as_simpleitk(tmp_path / name)

    assert data_files(tmp_path / name) == tuple(tmp_path / file for file in SLICES)
    (tmp_path / SLICES[2]).unlink()
    with pytest.raises(InputError, match=r"`s05\.raw` must lie beside its header"):
        read_itk(tmp_path / name)


@pytest.mark.parametrize("name", ["../x.raw", "/etc/passwd", "a/../../x.raw"])
@pytest.mark.parametrize("suffix", [".mhd", ".mha", ".nhdr", ".nrrd"])
def test_data_files_elsewhere_are_refused(tmp_path, name, suffix):
    meta = META.format(big="False", kind="MET_SHORT", more="", data=name)
    nrrd = NRRD.format(kind="short", place="spacings: 1 2 3", endian="little", more=f"data file: {name}")
    (tmp_path / f"x{suffix}").write_text(meta if suffix[1] == "m" else nrrd)

    with pytest.raises(InputError, match="in its own folder"):
        read_itk(tmp_path / f"x{suffix}")


HOSTILE = {
    "many dimensions": {"NDims = 3": "NDims = 999999999"},
    "no whole number": {"NDims = 3": "NDims = 1e-320"},
    "endless matrix": {"TransformMatrix = 0 1 0": "TransformMatrix = 0 1e308 0"},
    "text for a matrix": {"TransformMatrix = 0 1 0 -1 0 0 0 0 1": "TransformMatrix = /etc/passwd"},
    "step of zero": {"= LOCAL": "= %d.raw 1 99999999 0"},
    "endless names": {"= LOCAL": "= %d.raw 1 99999999 1"},
    "endless width": {"= LOCAL": "= %100000000d.raw 1 9999 1"},
    "long name": {"= LOCAL": "= " + "9" * 400},
    "two patterns": {"= LOCAL": "= %d%d.raw 1 5 1"},
    "text pattern": {"= LOCAL": "= %s.raw 1 5 1"},
    "negative size": {"DimSize = 2 3 5": "DimSize = 2 -3 5"},
    "size of zero": {"DimSize = 2 3 5": "DimSize = 2 0 5"},
    "huge size": {"DimSize = 2 3 5": "DimSize = 9999 9999 5"},
    "decoy": {"NDims = 3": "NDims = 3\nNDims = 2"},
    "negative spacing": {"ElementSpacing = 1 2 3": "ElementSpacing = 1 -2 3"},
    "text data": {"BinaryData = True\n": "BinaryData = False\n"},
    "packed bomb": {"DimSize = 2 3 5": "DimSize = 9999 9999 5\nCompressedData = True"},
    "scaled values": {"NDims = 3": "NDims = 3\nElementToIntensityFunctionSlope = 2"},
    "no data": {"ElementDataFile = LOCAL": ""},
    "unknown type": {"MET_SHORT": "MET_OTHER"},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_headers_are_refused_in_one_line(tmp_path, kind):
    header = META.format(big="False", kind="MET_SHORT", more="", data="LOCAL")
    for before, after in HOSTILE[kind].items():
        assert before in header
        header = header.replace(before, after)
    (tmp_path / "x.mha").write_bytes(header.encode() + bytes(60))

    with pytest.raises((InputError, GeometryError), match=r"`x\.mha` must") as caught:
        read_itk(tmp_path / "x.mha", is_label=True)
    assert "\n" not in str(caught.value) and "passwd" not in str(caught.value)
    assert itk_size(tmp_path / "x.mha") is None or kind in ("huge size", "packed bomb")


def test_segmentations_of_slicer_are_labels_of_one_layer(tmp_path):
    keys = "Segment0_ID:=a\nSegment0_LabelValue:=1\nSegment0_Layer:=0\nSegment1_ID:=b\nSegment1_Layer:={layer}"
    values = (np.arange(30) % 3).astype("<i2")
    for layer in (0, 1):
        header = NRRD.format(
            kind="short", place="space: LPS\nspace directions: (1,0,0) (0,2,0) (0,0,3)", endian="little",
            more=keys.format(layer=layer) + "\n",
        )  # fmt: skip
        (tmp_path / f"{layer}.seg.nrrd").write_bytes(header.encode() + values.tobytes())

    np.testing.assert_array_equal(read_label_volume(tmp_path / "0.seg.nrrd").voxels.ravel(order="F"), values)
    with pytest.raises(InputError, match="overlap in 2 layers"):
        read_label_volume(tmp_path / "1.seg.nrrd")
    with pytest.raises(InputError, match="is a segmentation"):
        read_itk(tmp_path / "0.seg.nrrd")
