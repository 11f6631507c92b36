# SPDX-License-Identifier: Apache-2.0
"""MONAI's reading of single images: shapes after ``EnsureChannelFirst``, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from PIL import Image

from monai_semigan.bundle.monai_image_readers import ColorImageReader, GreyImageReader
from monai_semigan.domains.monai_transforms import PrepareForNetworkd
from monai_semigan.domains.photographs import DermoscopyPreset
from monai_semigan.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")  # MONAI warns of its own parts


@pytest.fixture
def files(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "color.png")
    Image.fromarray(values[..., 0]).save(tmp_path / "grey.png")
    return tmp_path


@pytest.mark.parametrize(("reader", "name"), [(GreyImageReader, "grey.png"), (ColorImageReader, "color.png")])
def test_channels_come_first_and_values_stay(files, reader, name):
    load = Compose([LoadImaged("image", reader=reader()), EnsureChannelFirstd("image")])

    image = load({"image": files / name})["image"]

    values = np.asarray(Image.open(files / name))
    expected = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    np.testing.assert_array_equal(image.numpy(), expected)
    assert image.meta["filename_or_obj"] == str(files / name)
    assert list(image.meta["spatial_shape"]) == [40, 56]


def test_color_chain_is_the_presets(files):
    settings = {"image_size": 32, "max_stretch": 3.0, "hair": False}
    load = [LoadImaged("image", reader=ColorImageReader()), EnsureChannelFirstd("image")]

    image = Compose([*load, PrepareForNetworkd("image", "dermoscopy", **settings)])({"image": files / "color.png"})[
        "image"
    ]

    expected, geometry = DermoscopyPreset(**settings).prepare(np.asarray(Image.open(files / "color.png")))
    np.testing.assert_array_equal(image.numpy(), expected)
    assert image.meta["semigan_geometry"]["source_shape"] == geometry.source_shape == (40, 56)


@pytest.mark.parametrize(
    ("reader", "name", "reason"),
    [(GreyImageReader, "color.png", "must be a grey image"), (ColorImageReader, "grey.png", "must be a color")],
)
def test_other_kind_is_refused(files, reader, name, reason):
    with pytest.raises(InputError, match=reason):
        reader().read(files / name)
