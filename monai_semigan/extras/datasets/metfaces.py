# SPDX-License-Identifier: Apache-2.0
"""MetFaces (Karras et al. 2020): 1,336 faces in works of art, 1024 x 1024.

::

    images/10140-00.png ...   (number of the work, then of the face in it; metfaces.json is not needed)
    labels/10140-00.png ...   (not part of the data set: class ids as in `celebamask_hq`, for the images that have them)

Everything is used where it is; faces of one work are on one side. The 40 annotations used in the paper of SemanticGAN
were published later in a layout that is not known here: save them as ``labels`` with these class ids.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from monai_semigan.extras.datasets.celebamask_hq import CLASS_NAMES
from monai_semigan.extras.datasets.collection import Collection, images_in_place
from monai_semigan.extras.datasets.layout import files_by_stem, find_folder, refuse_incomplete, require_count

__all__ = ["collect"]

NUM_IMAGES = 1336


def collect(source: Path) -> Collection:
    """Check the download and list its works of art.

    Raises:
        InputError: It does not follow the layout or is incomplete.
    """
    root = find_folder(source, ["images", "metfaces-dataset/images", "metfaces/images"], "the images").parent
    images, labels = files_by_stem(root / "images", "*.png"), files_by_stem(root / "labels", "*.png")
    refuse_incomplete("MetFaces", (f"images/{name}.png" for name in labels if name not in images), NUM_IMAGES)
    require_count("MetFaces", len(images), NUM_IMAGES, "images")
    works: dict[str, list[tuple[Path, Path | None]]] = defaultdict(list)
    for name, path in images.items():
        works[name.partition("-")[0]].append((path, labels.get(name)))
    subjects = tuple(images_in_place(work, *pairs) for work, pairs in works.items())
    return Collection(subjects=subjects, class_names=CLASS_NAMES)
