# SPDX-License-Identifier: Apache-2.0
"""The versions that a result depends on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from monai_semigan import __version__

__all__ = ["environment"]

RECORDED_PACKAGES = ("torch", "monai", "numpy", "pydicom", "pillow")


def environment() -> dict[str, str]:
    """Return name and version of this package, of Python, and of what computes or decodes."""
    versions = {"monai_semigan": __version__, "python": platform.python_version()}
    return versions | {name: _version(name) for name in RECORDED_PACKAGES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
