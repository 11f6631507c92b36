# SPDX-License-Identifier: Apache-2.0
"""The bundles that ship with the package, as data."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from monai_semigan.errors import BundleError

if __name__ != "monai_semigan.bundles":
    raise ImportError("This folder is installed as `monai_semigan.bundles`: import it under that name.")

__all__ = ["bundle_root", "list_bundles"]


def list_bundles() -> tuple[str, ...]:
    """Return the names of the shipped bundles."""
    root = Path(str(files(__name__)))
    return tuple(sorted(path.parent.parent.name for path in root.glob("*/configs/metadata.json")))


def bundle_root(name: str) -> Path:
    """Return the folder of a shipped bundle.

    Raises:
        BundleError: There is no bundle of this name.
    """
    if name not in list_bundles():
        raise BundleError(f"`bundle` must be a folder or one of {', '.join(list_bundles())}, got {name!r}.")
    return Path(str(files(__name__))) / name
