# SPDX-License-Identifier: Apache-2.0
"""What the bundles' configs need to list their data."""

from __future__ import annotations

from monai_semigan.io.image_file import find_images

__all__ = ["image_datalist"]


def image_datalist(folder: str) -> list[dict[str, str]]:
    """List the images of a file or folder as MONAI data entries, ``[{"image": path}]``.

    Raises:
        InputError: There is none.
    """
    return [{"image": str(path)} for path in find_images([folder])]
