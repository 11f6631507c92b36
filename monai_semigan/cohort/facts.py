# SPDX-License-Identifier: Apache-2.0
"""What a whole cohort is of, in its manifest: the bundle, what was asked for, where its folder was."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monai_semigan.cohort.database import Database
from monai_semigan.cohort.tables import MANIFEST
from monai_semigan.errors import ConfigError
from monai_semigan.segmentation.record import BundleRecord
from monai_semigan.workflows.finished_cases import changed_keys

__all__ = ["CohortFacts", "home_of", "moved_path"]


class CohortFacts(Database):
    """The part of a manifest that holds for all its rows; see `manifest.Manifest`."""

    SCHEMA = MANIFEST

    @property
    def facts(self) -> dict[str, Any]:
        """What holds for all rows: ``bundle``, ``request``, ``created``, ``layout``."""
        with self._faults():
            return {name: json.loads(value) for name, value in self._base.execute("SELECT name, value FROM facts")}

    def require_same(self, bundle: BundleRecord, request: Mapping[str, Any] | None = None) -> None:
        """Refuse another bundle or request than the cohort was begun with.

        Args:
            bundle: What is to segment.
            request: What is asked for; None to compare the bundle alone.

        Raises:
            ConfigError: One differs.
        """
        facts = self.facts
        begun = facts.get("bundle")
        if begun is not None and begun["digest"] != bundle.digest:
            before, now = (f"{one['name']} {one['version']} ({one['digest'][:12]})" for one in (begun, asdict(bundle)))
            raise ConfigError(
                f"`bundle` must be the one that this cohort was begun with, {before}, got {now}. Use that one, or "
                "another output folder."
            )
        if request is not None and "request" in facts:
            changed = changed_keys(facts["request"], json.loads(json.dumps(request)))
            if changed:
                raise ConfigError(
                    f"`options` must be those that this cohort was begun with, but {', '.join(changed)} differ. Repeat "
                    "those, or choose another output folder."
                )

    def bind(self, bundle: BundleRecord, request: Mapping[str, Any], *, layout: str = "cases") -> None:
        """Write down what the cohort is segmented with, the first time; later refuse another as `require_same` does.

        Args:
            bundle: What segments.
            request: What is asked for.
            layout: How results are laid out; of later calls it is not looked at.

        Raises:
            ConfigError: The cohort was begun with another bundle or request.
        """
        created = time.strftime("%Y-%m-%d %H:%M:%S")
        known = {"bundle": asdict(bundle), "request": request, "created": created, "home": home_of(self.folder)}
        known["layout"] = layout
        with self._writing():
            values = [(name, json.dumps(value)) for name, value in known.items()]
            self._base.executemany("INSERT OR IGNORE INTO facts VALUES (?, ?)", values)
        self.require_same(bundle, request)


def home_of(folder: Path) -> str:
    """Write down where a folder is; names of files need not be text."""
    return os.fsencode(os.path.abspath(folder)).hex()  # noqa: PTH100  (links stay: inputs are written down so too)


def moved_path(path: Path, before: str, now: str) -> Path:
    """Return where a path is now, after the folder was moved from one home to the other.

    It is itself if it is still there, or is not beside the folder either.
    """
    old, new = (os.fsdecode(bytes.fromhex(home)) for home in (before, now))
    beside = Path(os.path.normpath(Path(new) / os.path.relpath(path, old)))
    return beside if not path.exists() and beside.exists() else path
