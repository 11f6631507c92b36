"""Image files: what they hold, and one clear line where they cannot be used."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from monai_semigan.errors import InputError, OutputError
from monai_semigan.io.image_file import find_images, image_format, read_image, require_grey
from monai_semigan.io.label_file import read_label, write_label

GREY = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30) % 251


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_eight_bit_grey(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    smooth = np.linspace(0, 255, 600).reshape(20, 30).astype(np.uint8)
    Image.fromarray(smooth).save(path)

    source = read_image(path)

    assert source.pixels.shape == (20, 30) and source.pixels.dtype == np.uint8
    np.testing.assert_allclose(source.pixels, smooth, atol=6 if suffix == ".jpg" else 0)
    assert source.photometric == "MONOCHROME2" and source.spacing_mm is None


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_grey_keeps_its_values(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    values = (np.arange(600).reshape(20, 30) * 100).astype(np.uint16)
    Image.fromarray(values).save(path)

    np.testing.assert_array_equal(read_image(path).pixels, values)


def test_float_tiff_and_one_bit_and_alpha(tmp_path):
    Image.fromarray(GREY.astype(np.float32) / 7).save(tmp_path / "f.tif")
    Image.fromarray(GREY > 100).save(tmp_path / "b.png")
    Image.fromarray(np.stack([GREY, np.full_like(GREY, 9)], axis=2), mode="LA").save(tmp_path / "a.png")

    np.testing.assert_allclose(read_image(tmp_path / "f.tif").pixels, GREY.astype(np.float32) / 7)
    assert set(np.unique(read_image(tmp_path / "b.png").pixels)) == {0, 255}
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, GREY)


def test_rgb_that_is_grey_becomes_grey_and_a_photograph_is_refused(tmp_path):
    Image.fromarray(np.repeat(GREY[:, :, None], 3, axis=2)).save(tmp_path / "grey.png")
    photo = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")

    np.testing.assert_array_equal(require_grey(read_image(tmp_path / "grey.png")).pixels, GREY)
    with pytest.raises(InputError, match=r"photo\.png.*color photograph"):
        require_grey(read_image(tmp_path / "photo.png"))


def test_unusable_files_say_why(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.fromarray(GREY).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:-60])
    Image.fromarray(GREY[:1, :1]).save(tmp_path / "dot.png")
    Image.fromarray(GREY).save(tmp_path / "two.tif", save_all=True, append_images=[Image.fromarray(GREY)])
    for name, reason in {
        "text.png": "its content is none",
        "empty.png": "its content is none",
        "cut.png": "damaged or cut short",
        "dot.png": "at least 16 pixels",
        "two.tif": "got 2 frames",
        "missing.png": "does not exist",
    }.items():
        with pytest.raises(InputError, match=reason):
            read_image(tmp_path / name)
    with pytest.raises(InputError, match="got a folder"):
        read_image(tmp_path)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", b"")
    )


@pytest.mark.parametrize("side", [12_000, 20_000])
def test_huge_images_are_refused_from_their_header(tmp_path, side):
    path = tmp_path / "huge.png"
    path.write_bytes(png_header(side, side))

    with pytest.raises(InputError, match="100 megapixels"):
        read_image(path)


def test_folders_are_searched_in_order_without_hidden_files(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("z.png", "b/a.JPG", ".hidden/x.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "noending").write_bytes(b"\0" * 128 + b"DICM")

    found = find_images([tmp_path, tmp_path / "z.png"])

    assert [path.name for path in found] == ["a.JPG", "noending", "z.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds none"):
        find_images([tmp_path / "empty"])
    with pytest.raises(InputError, match="does not exist"):
        find_images([tmp_path / "nowhere"])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("name", ["scan", "1.2.840.3"])
def test_images_without_an_ending_are_found_by_their_first_bytes(tmp_path, kind, name):
    Image.fromarray(GREY.astype(np.uint8)).save(tmp_path / name, kind)
    for other, content in (("notes", b"x"), ("empty", b""), ("raw.nef", b"II*\0"), ("short", b"\x89PN")):
        (tmp_path / other).write_bytes(content)

    assert find_images([tmp_path]) == [tmp_path / name]
    assert image_format(tmp_path / name) == kind.lower()
    assert image_format(tmp_path / "notes") is image_format(tmp_path / "gone") is None


def test_labels_round_trip_and_are_checked(tmp_path):
    label = (GREY % 3).astype(np.uint8)
    write_label(tmp_path / "l.png", label)

    np.testing.assert_array_equal(read_label(tmp_path / "l.png", num_classes=3), label)
    np.testing.assert_array_equal(read_label(tmp_path / "l.png", binary=True), label > 0)
    with pytest.raises(InputError, match="class ids 0 to 1, got values 0 to 2"):
        read_label(tmp_path / "l.png", num_classes=2)
    Image.fromarray(np.random.default_rng(0).integers(0, 9, (20, 30, 3), dtype=np.uint8)).save(tmp_path / "rgb.png")
    with pytest.raises(InputError, match="color image"):
        read_label(tmp_path / "rgb.png")
    with pytest.raises(OutputError, match="could not be written"):
        write_label(tmp_path / "no" / "l.png", label)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["l.png", "rgb.png"]
