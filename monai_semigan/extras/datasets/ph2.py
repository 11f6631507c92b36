# SPDX-License-Identifier: Apache-2.0
"""PH2 dermoscopy (Mendonca et al. 2013): 200 images with masks.

::

    PH2Dataset/PH2 Dataset images/IMD002/IMD002_Dermoscopic_Image/IMD002.bmp
    PH2Dataset/PH2 Dataset images/IMD002/IMD002_lesion/IMD002_lesion.bmp

Everything is used where it is. Patients are not told: every image counts as one.
"""

from __future__ import annotations

from pathlib import Path

from monai_semigan.extras.datasets.collection import Collection, images_in_place
from monai_semigan.extras.datasets.layout import find_folder, refuse_incomplete, require_count

__all__ = ["collect"]

NUM_IMAGES = 200


def collect(source: Path) -> Collection:
    """Check the download and list its images.

    Raises:
        InputError: It does not follow the layout or is incomplete.
    """
    name = "PH2 Dataset images"
    root = find_folder(source, [name, f"PH2Dataset/{name}", f"*/PH2Dataset/{name}"], "the images")
    cases = sorted(path.name for path in root.glob("IMD*") if path.is_dir())
    pairs = {
        case: (
            root / case / f"{case}_Dermoscopic_Image" / f"{case}.bmp",
            root / case / f"{case}_lesion" / f"{case}_lesion.bmp",
        )
        for case in cases
    }
    missing = [str(path.relative_to(root)) for pair in pairs.values() for path in pair if not path.is_file()]
    refuse_incomplete("PH2", missing, 2 * NUM_IMAGES)
    require_count("PH2", len(cases), NUM_IMAGES, f"folders in {name}")
    subjects = tuple(images_in_place(case, pair) for case, pair in pairs.items())
    return Collection(subjects=subjects, class_names=("background", "lesion"), is_binary=True)
