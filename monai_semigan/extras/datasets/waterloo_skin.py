# SPDX-License-Identifier: Apache-2.0
"""DermIS and DermQuest photographs with masks, as the University of Waterloo publishes them (Glaister et al. 2014).

::

    Skin Image Data Set-1/skin_data/melanoma/dermis/*_orig.jpg, *_contour.png   (and dermquest)
    Skin Image Data Set-2/skin_data/notmelanoma/dermis/...                      (and dermquest)

Images are used where they are. A contour may be drawn or filled: it is written filled. Patients are not told: every
image counts as one. DermIS has 69 images, DermQuest 137.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from monai_semigan.errors import InputError
from monai_semigan.extras.datasets.collection import Collection, Subject, Written
from monai_semigan.extras.datasets.layout import find_folder, read_mask, refuse_incomplete, require_count
from monai_semigan.io.label_file import write_label

__all__ = ["collect"]

NUM_IMAGES = {"dermis": 69, "dermquest": 137}
KINDS = ("melanoma", "notmelanoma")


def collect(source: Path, site: str) -> Collection:
    """Check the download and list the images of one site, ``dermis`` or ``dermquest``.

    Raises:
        InputError: It does not follow the layout or is incomplete.
    """
    subjects, missing = [], []
    for kind in KINDS:
        inside = f"skin_data/{kind}/{site}"
        folder = find_folder(source, [inside, f"*/{inside}", f"*/*/{inside}"], f"the images of {site} ({kind})")
        for image in sorted(folder.glob("*_orig.jpg")):
            contour = image.with_name(image.name.replace("_orig.jpg", "_contour.png"))
            if not contour.is_file():
                missing.append(f"{kind}/{site}/{contour.name}")
            name = f"{kind}_{image.stem.removesuffix('_orig')}"
            subjects.append(
                Subject(patient_id=f"{site}_{name}", has_label=True, write=partial(_write, name, image, contour))
            )
    refuse_incomplete(site, missing, NUM_IMAGES[site])
    require_count(site, len(subjects), NUM_IMAGES[site], "images")
    return Collection(subjects=tuple(subjects), class_names=("background", "lesion"))


def _write(name: str, image: Path, contour: Path, folder: Path) -> Written:
    from scipy.ndimage import binary_fill_holes  # noqa: PLC0415  (scipy takes 0.2 s to import)

    mask = binary_fill_holes(read_mask(contour))
    if mask.mean() > 0.99:
        raise InputError(f"`{contour.name}` must show the lesion, but covers the whole image. Download it again.")
    (folder / "labels").mkdir(exist_ok=True)
    write_label(folder / "labels" / f"{name}.png", mask)
    return Written(images=({"image": str(image.resolve()), "label": f"labels/{name}.png"},))
