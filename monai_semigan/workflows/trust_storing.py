# SPDX-License-Identifier: Apache-2.0
"""Store in a bundle what was learned of it, so that a kill or a full disk leaves a bundle that can be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monai_semigan.bundle.editing import edited_metadata
from monai_semigan.bundle.ood_file import write_references
from monai_semigan.segmentation.ood import OodReference

__all__ = ["store_trust"]


def store_trust(
    root: Path, references: Mapping[str, OodReference], describe: Callable[[dict[str, Any]], None] = lambda _: None
) -> None:
    """Change a bundle's description, and what it knows of its images, which lies in a file of its own.

    Ended in between, a bundle that knew its images knows none: ``configs/metadata.json`` and the file must agree, and
    cannot be replaced in one step.

    Args:
        root: The bundle's folder.
        references: What its images are like, by chain; empty to leave that as it is.
        describe: Changes the content of ``configs/metadata.json`` in place.

    Raises:
        BundleError: The description cannot be read.
        OutputError: Something cannot be written.
    """
    known: dict[str, Any] = {}
    if references:
        with edited_metadata(root) as metadata:
            before = metadata["semigan"].pop("ood", None) or {}
        known = before | write_references(root, references)
    with edited_metadata(root) as metadata:
        describe(metadata)
        if known:
            metadata["semigan"]["ood"] = known
