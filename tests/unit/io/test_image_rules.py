# SPDX-License-Identifier: Apache-2.0
"""Rules that hold for every image format: upright, stored labels, colors of TIFF, and messages that quote nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from monai_semigan.errors import InputError
from monai_semigan.io.image_file import image_stem, read_image
from monai_semigan.io.label_file import read_label

GREY = (np.arange(20 * 30) % 251).reshape(20, 30).astype(np.uint8)
ORIENTATION = 274


def with_orientation(path, picture, number):
    exif = Image.Exif()
    exif[ORIENTATION] = number
    options = {"tiffinfo": {ORIENTATION: number}} if path.suffix == ".tif" else {"exif": exif}
    picture.save(path, **options, **({"quality": 100} if path.suffix == ".jpg" else {}))
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("number", range(1, 9))
def test_images_are_upright_and_labels_lie_on_the_stored_pixels(tmp_path, suffix, number):
    smooth = np.add.outer(np.arange(20) * 9, np.arange(30) * 2).astype(np.uint8)
    path = with_orientation(tmp_path / f"x{suffix}", Image.fromarray(smooth), number)
    exif = Image.Exif()
    exif[ORIENTATION] = number
    shown = Image.fromarray(smooth)
    shown.info["exif"] = exif.tobytes()
    with_orientation(tmp_path / "shown.png", Image.fromarray(smooth), number)
    with Image.open(tmp_path / "shown.png") as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))

    source = read_image(path)

    assert source.orientation == number
    np.testing.assert_allclose(source.pixels, expected, atol=3 if suffix == ".jpg" else 0)
    np.testing.assert_array_equal(source.as_stored(expected), smooth)
    np.testing.assert_array_equal(source.as_shown(smooth), expected)
    np.testing.assert_allclose(read_label(path), smooth, atol=3 if suffix == ".jpg" else 0)


def test_a_damaged_orientation_is_none(tmp_path):
    for number in (0, 9, 700):
        assert read_image(with_orientation(tmp_path / "x.png", Image.fromarray(GREY), number)).orientation == 1


def tiff(path, samples: np.ndarray, **tags: int):
    """Write an uncompressed TIFF of one strip per plane; ``tags`` replace or add entries by name."""
    numbers = {"width": 256, "height": 257, "bits": 258, "photometric": 262, "samples": 277, "planes": 284}
    planes = samples[None] if samples.ndim == 2 else samples
    values: dict[int, list[int]] = {
        256: [samples.shape[-1]],
        257: [samples.shape[-2]],
        258: [samples.itemsize * 8] * len(planes),
        259: [1],
        262: [1 if samples.ndim == 2 else 2],
        273: [],
        277: [len(planes)],
        278: [samples.shape[-2]],
        279: [plane.nbytes for plane in planes],
        284: [1 if samples.ndim == 2 else 2],
    }
    values |= {numbers[name]: [value] for name, value in tags.items()}
    data = 8 + samples.nbytes
    values[273] = [8 + at * planes[0].nbytes for at in range(len(planes))]
    entries, extra = b"", b""
    start = data + 2 + 12 * len(values) + 4
    for tag, items in sorted(values.items()):
        packed = b"".join(item.to_bytes(4, "little") for item in items)
        place = packed if len(items) == 1 else (start + len(extra)).to_bytes(4, "little")
        extra += b"" if len(items) == 1 else packed
        entries += tag.to_bytes(2, "little") + b"\x04\0" + len(items).to_bytes(4, "little") + place
    content = b"II*\0" + data.to_bytes(4, "little") + samples.tobytes()
    path.write_bytes(content + len(values).to_bytes(2, "little") + entries + bytes(4) + extra)
    return path


def test_planes_of_16_bits_are_refused_and_of_8_bits_read(tmp_path):
    planes = np.stack([GREY, GREY.T.reshape(20, 30), 255 - GREY])

    with pytest.raises(InputError, match="pixel by pixel"):
        read_image(tiff(tmp_path / "x.tif", planes.astype(np.uint16) * 257))
    with pytest.raises(InputError, match="pixel by pixel"):
        read_image(tiff(tmp_path / "x.tif", GREY, planes=60_673))
    np.testing.assert_array_equal(read_image(tiff(tmp_path / "y.tif", planes)).pixels, planes.transpose(1, 2, 0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_as_zero_shows_what_black_as_zero_shows(tmp_path, dtype):
    values = GREY.astype(dtype) * (257 if dtype == np.uint16 else 1)
    most = np.iinfo(dtype).max

    source = read_image(tiff(tmp_path / "x.tif", most - values, photometric=0))

    shown = most - source.pixels if source.photometric == "MONOCHROME1" else source.pixels
    np.testing.assert_array_equal(shown, values)


@pytest.mark.parametrize("tag", ["width", "height"])
def test_a_tiff_without_size_is_refused(tmp_path, tag):
    path = tiff(tmp_path / "x.tif", GREY)
    number = {"width": 256, "height": 257}[tag].to_bytes(2, "little")
    content = path.read_bytes()
    at = content.rindex(number + b"\x04\0\x01")
    path.write_bytes(content[:at] + b"\xf0\xff" + content[at + 2 :])

    with pytest.raises(InputError, match=r"`x\.tif` must be"):
        read_image(path)


def test_of_several_pictures_of_a_phone_the_first_is_read(tmp_path):
    smooth = np.add.outer(np.arange(20) * 9, np.arange(30) * 2).astype(np.uint8)
    first, second = (Image.fromarray(np.repeat(part[:, :, None], 3, axis=2)) for part in (smooth, 255 - smooth))
    first.save(tmp_path / "x.jpg", format="MPO", save_all=True, append_images=[second], quality=100)

    np.testing.assert_allclose(read_image(tmp_path / "x.jpg").pixels[:, :, 0], smooth, atol=4)


def test_transparency_is_ignored_with_a_warning_and_messages_quote_nothing(tmp_path):
    alpha = np.dstack([GREY, GREY, GREY, GREY])
    Image.fromarray(alpha).save(tmp_path / "x.png")
    source = read_image(tmp_path / "x.png")
    np.testing.assert_array_equal(source.pixels[:, :, 0], GREY)
    assert source.warnings == ("The image's transparency was ignored.",)

    info = PngImagePlugin.PngInfo()
    info.add_text("patient", "Secret")
    Image.fromarray(GREY).save(tmp_path / "y.png", pnginfo=info)
    (tmp_path / "y.png").write_bytes((tmp_path / "y.png").read_bytes()[:-40])
    with pytest.raises(InputError, match="damaged or cut short") as caught:
        read_image(tmp_path / "y.png")
    assert "Secret" not in str(caught.value)


def test_other_formats_are_not_opened(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "x.png", format="WEBP")

    with pytest.raises(InputError, match="its content is none"):
        read_image(tmp_path / "x.png")


IDS = (np.arange(600) % 4).reshape(20, 30).astype(np.uint8)


def test_indices_of_a_palette_are_ids(tmp_path):
    picture = Image.fromarray(IDS)
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
    picture.save(tmp_path / "x.png")

    np.testing.assert_array_equal(read_label(tmp_path / "x.png", num_classes=4), IDS)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_an_alpha_channel_must_not_vary_in_labels(tmp_path, mode):
    for alpha, name in ((np.full_like(IDS, 255), "same.png"), (IDS * 60, "mask.png")):
        bands = [IDS] * (len(mode) - 1) + [alpha]
        Image.fromarray(np.dstack(bands), mode=mode).save(tmp_path / name)

    np.testing.assert_array_equal(read_label(tmp_path / "same.png"), IDS)
    with pytest.raises(InputError, match="transparency varies"):
        read_label(tmp_path / "mask.png")


def test_floats_and_bits_are_ids_when_whole(tmp_path):
    values = (IDS > 1).astype(np.float32)
    Image.fromarray(values).save(tmp_path / "x.tif")
    np.testing.assert_array_equal(read_label(tmp_path / "x.tif", num_classes=2), IDS > 1)
    Image.fromarray(IDS > 1).save(tmp_path / "x.png")
    np.testing.assert_array_equal(read_label(tmp_path / "x.png", num_classes=2), IDS > 1)
    values[0, :3] = np.nan
    Image.fromarray(values).save(tmp_path / "n.tif")
    np.testing.assert_array_equal(read_label(tmp_path / "n.tif"), np.nan_to_num(values))
    Image.fromarray(values / 2).save(tmp_path / "h.tif")
    with pytest.raises(InputError, match="not the image or a probability"):
        read_label(tmp_path / "h.tif")
    Image.fromarray(IDS.astype(np.uint16) * 100).save(tmp_path / "300.png")
    with pytest.raises(InputError, match="class ids 0 to 255, got values 0 to 300"):
        read_label(tmp_path / "300.png")


def test_numbers_with_dots_are_no_endings():
    assert image_stem(Path("1.2.840.113619.55.3")) == "1.2.840.113619.55.3"
    assert image_stem(Path("a.b.PNG")) == "a.b"
