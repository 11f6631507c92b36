# SPDX-License-Identifier: Apache-2.0
"""CelebAMask-HQ (Lee et al. 2020): 30,000 faces with a mask per part.

::

    CelebAMask-HQ/CelebA-HQ-img/0.jpg ... 29999.jpg                                    (1024 x 1024)
    CelebAMask-HQ/CelebAMask-HQ-mask-anno/0/00000_skin.png ... 14/29999_hair.png       (512 x 512, 2000 faces a folder)
    CelebAMask-HQ/CelebA-HQ-to-CelebA-mapping.txt                                      (idx orig_idx orig_file)
    CelebAMask-HQ/identity_CelebA.txt             (optional, from CelebA: file and number of the person)

Images are used where they are; the parts, 19 with the background, are merged into 6 classes and written at the images'
size. With the table of identities all images of a person are on one side; without it every image counts as one person.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from monai_semigan.extras.datasets.collection import Collection, Subject, Written
from monai_semigan.extras.datasets.layout import find_folder, read_mask, refuse_incomplete
from monai_semigan.io.label_file import write_label
from monai_semigan.transforms.face import CELEBAMASK_PARTS, FACE_PARTS

__all__ = ["CLASS_NAMES", "collect"]

NUM_IMAGES, PER_FOLDER = 30_000, 2_000
CLASS_NAMES = FACE_PARTS
PARTS = {part: number for part, number in CELEBAMASK_PARTS.items() if part != "background"}
"""Class id of each part, in the authors' order: later ones cover earlier ones."""


def collect(source: Path) -> Collection:
    """Check the download and list its persons.

    Raises:
        InputError: It does not follow the layout or is incomplete.
    """
    root = find_folder(source, ["CelebA-HQ-img", "CelebAMask-HQ/CelebA-HQ-img"], "the images").parent
    annotations = find_folder(root, ["CelebAMask-HQ-mask-anno"], "the masks")
    parts: dict[int, list[Path]] = defaultdict(list)
    for path in annotations.glob("*/*_*.png"):
        number, _, part = path.stem.partition("_")
        if number.isdigit() and part in PARTS:
            parts[int(number)].append(path)
    images = {at: root / "CelebA-HQ-img" / f"{at}.jpg" for at in range(NUM_IMAGES)}
    missing = [f"CelebA-HQ-img/{path.name}" for path in images.values() if not path.is_file()]
    missing += [f"{annotations.name}/{at // PER_FOLDER}/{at:05d}_*.png" for at in images if at not in parts]
    refuse_incomplete("CelebAMask-HQ", missing, 2 * NUM_IMAGES)
    persons: dict[str, list[tuple[Path, list[Path]]]] = defaultdict(list)
    identities = _identities(root)
    for at, image in images.items():
        persons[identities.get(at, f"image_{at}")].append((image, parts[at]))
    subjects = tuple(
        Subject(patient_id=person, has_label=True, write=partial(_write, items)) for person, items in persons.items()
    )
    warnings = () if identities else ("identity_CelebA.txt is not there: images of one person may be on two sides.",)
    return Collection(subjects=subjects, class_names=CLASS_NAMES, warnings=warnings)


def _identities(root: Path) -> dict[int, str]:
    """Number of the person by number of the image; empty without both tables."""
    mapping, identity = root / "CelebA-HQ-to-CelebA-mapping.txt", root / "identity_CelebA.txt"
    if not (mapping.is_file() and identity.is_file()):
        return {}
    persons = dict(line.split()[:2] for line in identity.read_text().splitlines() if line.strip())
    rows = [line.split() for line in mapping.read_text().splitlines()[1:] if line.strip()]
    return {int(row[0]): f"person_{persons[row[2]]}" for row in rows if row[2] in persons}


def _write(items: list[tuple[Path, list[Path]]], folder: Path) -> Written:
    (folder / "labels").mkdir(exist_ok=True)
    entries = []
    for image, parts in items:
        files = {path.stem.partition("_")[2]: path for path in parts}
        merged: np.ndarray | None = None
        for part in (part for part in PARTS if part in files):
            mask = read_mask(files[part])
            merged = np.zeros(mask.shape, np.uint8) if merged is None else merged
            merged[mask] = PARTS[part]
        assert merged is not None  # every image has parts, or it was refused
        with Image.open(image) as picture:
            label = np.asarray(Image.fromarray(merged).resize(picture.size, Image.Resampling.NEAREST))
        write_label(folder / "labels" / f"{image.stem}.png", label)
        entries.append({"image": str(image.resolve()), "label": f"labels/{image.stem}.png"})
    return Written(images=tuple(entries))
