# SPDX-License-Identifier: Apache-2.0
"""Import modules of a folder that is no installed package, and leave no trace of that.

The modules keep working after they left ``sys.modules``: whoever holds them has everything they imported.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from types import ModuleType

__all__ = ["isolated_import"]

_lock = RLock()


@contextmanager
def isolated_import(folder: Path, names: Sequence[str]) -> Iterator[None]:
    """Within the block, ``folder`` is searched first and modules of these names are its own.

    Afterwards ``sys.path`` is as before, and so is every module of these names, whether it was there or not. Installed
    packages that were imported on the way stay, as they would be for anyone.

    Args:
        folder: Where the modules lie.
        names: Top-level names; their submodules are meant too.
    """
    with _lock:
        path, hidden = list(sys.path), _take_out(names)
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path[:] = path
            _take_out(names)
            sys.modules.update(hidden)


def _take_out(names: Sequence[str]) -> dict[str, ModuleType]:
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in names}
