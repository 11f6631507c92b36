# SPDX-License-Identifier: Apache-2.0
"""Aliases that several layers share."""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["PathLike", "Progress"]

PathLike = str | os.PathLike[str]
"""A file or folder, as a string or a path object."""

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)`` from long work; the command line draws its bar with it."""
