# SPDX-License-Identifier: Apache-2.0
"""Aliases that several layers share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["PathLike", "Paths", "Progress", "as_paths"]

PathLike = str | os.PathLike[str]
"""A file or folder, as a string or a path object."""

Paths = PathLike | Iterable[PathLike]
"""One file or folder, or several."""

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)`` from long work; the command line draws its bar with it."""


def as_paths(paths: Paths) -> list[Path]:
    """Return one path or several as a list."""
    return [Path(paths)] if isinstance(paths, (str, os.PathLike)) else [Path(path) for path in paths]


StageProgress = Callable[[str, int, int], None]
"""Called as ``progress(stage, done, total)`` from work of several stages, such as a training."""
