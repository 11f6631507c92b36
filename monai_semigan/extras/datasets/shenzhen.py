# SPDX-License-Identifier: Apache-2.0
"""Shenzhen chest X-rays of the NLM (Jaeger et al. 2014) with the lung masks of Stirenko et al. (2018).

::

    ChinaSet_AllFiles/CXR_png/CHNCXR_0001_0.png   (662 images)
    mask/CHNCXR_0001_0_mask.png                   (566 masks, a download of its own)

Everything is used where it is; images without a mask are unlabelled. One image per patient.
"""

from __future__ import annotations

from pathlib import Path

from monai_semigan.extras.datasets.collection import Collection, images_in_place
from monai_semigan.extras.datasets.layout import files_by_stem, find_folder, refuse_incomplete, require_count

__all__ = ["collect"]

NUM_IMAGES, NUM_MASKS = 662, 566


def collect(source: Path) -> Collection:
    """Check the download and list its patients.

    Raises:
        InputError: It does not follow the layout or is incomplete.
    """
    candidates = ["CXR_png", "ChinaSet_AllFiles/CXR_png", "*/ChinaSet_AllFiles/CXR_png"]
    images = files_by_stem(find_folder(source, candidates, "the images"), "CHNCXR_*.png")
    places = ["mask", "mask/mask", "masks", "*/mask"]
    masks = files_by_stem(find_folder(source, places, "the masks of Stirenko et al."), "CHNCXR_*.png", "_mask")
    refuse_incomplete("Shenzhen", (f"CXR_png/{name}.png" for name in masks if name not in images), NUM_IMAGES)
    require_count("Shenzhen", len(images), NUM_IMAGES, "images in CXR_png")
    require_count("Shenzhen", len(masks), NUM_MASKS, "masks")
    subjects = tuple(images_in_place(name, (path, masks.get(name))) for name, path in images.items())
    return Collection(subjects=subjects, class_names=("background", "lung"), is_binary=True)
