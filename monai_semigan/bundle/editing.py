# SPDX-License-Identifier: Apache-2.0
"""Change what a bundle says of itself, in one write: all of it or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monai_semigan.bundle.audit import MAX_CONFIG_BYTES, METADATA
from monai_semigan.errors import BundleError
from monai_semigan.files import read_json, write_json

__all__ = ["edited_metadata"]


@contextmanager
def edited_metadata(root: Path) -> Iterator[dict[str, Any]]:
    """Yield the content of ``configs/metadata.json`` to be changed in place; it is written if the block succeeds.

    Raises:
        BundleError: The file cannot be read.
        OutputError: It cannot be written; it is as before.
    """
    metadata: dict[str, Any] = read_json(root / METADATA, MAX_CONFIG_BYTES, error=BundleError)
    yield metadata
    write_json(root / METADATA, metadata)
