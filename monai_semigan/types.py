# SPDX-License-Identifier: Apache-2.0
"""Aliases that several layers share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from monai_semigan.errors import ConfigError

__all__ = ["PathLike", "Paths", "Progress", "StageProgress", "as_paths"]

PathLike = str | os.PathLike[str]
"""A file or folder, as a string or a path object."""

Paths = PathLike | Iterable[PathLike]
"""One file or folder, or several."""

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)`` from long work; the command line draws its bar with it."""

StageProgress = Callable[[str, int, int], None]
"""Called as ``progress(stage, done, total)`` from work of several stages, such as a training."""


def as_paths(paths: Paths) -> list[Path]:
    """Return one path or several as a list.

    Raises:
        ConfigError: Something else was given, such as an array.
    """
    items = [paths] if isinstance(paths, (str, os.PathLike)) or not isinstance(paths, Iterable) else list(paths)
    for item in items:
        if not isinstance(item, (str, os.PathLike)):
            raise ConfigError(
                f"`inputs` must be a path or a list of paths, got {type(item).__name__}. "
                "What is in memory goes through `monai_semigan.read` to a segmenter."
            )
        if not os.fspath(item):
            raise ConfigError("`inputs` must be paths, got an empty one. Is a variable of the shell not set?")
    return [Path(item) for item in items]
