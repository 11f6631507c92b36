# SPDX-License-Identifier: Apache-2.0
"""What the stages of a fit read: a data list of its own, and the bundle without weights that describes them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_semigan.atomic import replacing_folder
from monai_semigan.bundle.audit import MAX_CONFIG_BYTES
from monai_semigan.bundle.bundle import Bundle, open_bundle
from monai_semigan.bundle.editing import edited_metadata
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.files import read_json, write_json
from monai_semigan.io.datalist import MAX_BYTES, Datalist, Entry, load_datalist
from monai_semigan.networks.label_unet import DIRECT_WIDTHS
from monai_semigan.settings import to_json
from monai_semigan.training.sample_sheet import CLASS_COLORS
from monai_semigan.workflows.packing import copy_parts

__all__ = ["ASKED_NAME", "DATA_NAME", "begin", "check_same", "listed", "own_list", "skeleton", "started_with_another"]

DATA_NAME = "data.json"
ASKED_NAME = "asked.json"
SKELETON_NAME = "bundle"

OFFSET_SIZES = (8, 16, 32)
"""Resolutions, pixels, that a bundle without offsets gets some at, those below its image's size."""


def check_same(run: Path, asked: Mapping[str, Any]) -> None:
    """Compare what is asked for with what the call before wrote into `ASKED_NAME`, if it did.

    Raises:
        ConfigError: Something else is asked for.
    """
    path = run / ASKED_NAME
    if path.exists():
        before = read_json(path, MAX_CONFIG_BYTES, error=InputError)
        changed = sorted(
            key for key, value in asked.items() if not isinstance(before, dict) or before.get(key) != value
        )
        if changed:
            raise started_with_another(run, *changed)


def started_with_another(run: Path, *changed: str) -> ConfigError:
    """Return the error that names what differs from the call before."""
    return ConfigError(
        f"`{run.name}` was started with another {', '.join(changed)}. Go on with the same, or choose another output."
    )


def begin(run: Path, asked: Mapping[str, Any]) -> None:
    """Write down what is asked for, where nothing is trained yet; what an earlier call prepared there goes."""
    if (run / ASKED_NAME).exists():
        shutil.rmtree(run / SKELETON_NAME, ignore_errors=True)
        (run / DATA_NAME).unlink(missing_ok=True)
    write_json(run / ASKED_NAME, dict(asked))


def own_list(run: Path, data: Datalist) -> Datalist:
    """Write the list that the stages read: absolute paths, and unlabelled images in any case.

    Raises:
        ConfigError: The folder has another list already.
    """
    unlabelled = data.unlabelled or tuple(replace(entry, label=None) for entry in data.labelled)
    lists = {"labelled": data.labelled, "unlabelled": unlabelled, "validation": data.validation}
    content = {
        "schema": "semigan-datalist-1",
        "label_values": "binary" if data.is_binary else "classes",
        **({} if data.class_names is None else {"class_names": list(data.class_names)}),
        **{name: [listed(entry) for entry in entries] for name, entries in lists.items()},
    }
    path = run / DATA_NAME
    if path.exists() and read_json(path, MAX_BYTES, error=InputError) != content:
        raise started_with_another(run, "data list")
    write_json(path, content)
    return load_datalist(path, warn=False)


def listed(entry: Entry) -> dict[str, Any]:
    """Return an entry as a data list elsewhere holds it."""
    files: dict[str, Any] = {name: path.resolve() for name, path in vars(entry).items() if isinstance(path, Path)}
    return {key: value for key, value in to_json(replace(entry, **files)).items() if value is not None}


def skeleton(run: Path, source: Bundle, data: Datalist, num_classes: int) -> Bundle:
    """Make, or open, a copy of a bundle without weights: with offsets, a direct route and the data's classes."""
    folder = run / SKELETON_NAME
    if not folder.exists():
        with replacing_folder(folder) as made:
            copy_parts(source.root, made)
            with edited_metadata(made) as metadata:
                _describe(metadata, source, data, num_classes)
            open_bundle(made)
    return open_bundle(folder)


def _describe(metadata: dict[str, Any], source: Bundle, data: Datalist, count: int) -> None:
    """Change metadata in place."""
    block, names = metadata["semigan"], data.class_names
    block["weights"] = None
    block.pop("ood", None)
    sizes = [size for size in OFFSET_SIZES if size < source.network.image_size]
    block["network"].setdefault("feature_sizes", sizes)
    block["network"].setdefault("direct_widths", list(DIRECT_WIDTHS))
    if names is not None and len(names) != count:
        raise InputError(f"`class_names` of the data list must name {count} classes, got {len(names)}.")
    if count == source.network.num_classes and names in (None, source.class_names):
        return
    names = names or ("background", *(f"class {at}" for at in range(1, count)))
    block["network"]["num_classes"] = count
    block["class_names"] = list(names)
    block["colors"] = [list(CLASS_COLORS[at % len(CLASS_COLORS)]) for at in range(count)]
    block.pop("codes", None)
    block.pop("components", None)
    metadata["label_classes"] = ", ".join(f"{at} {name}" for at, name in enumerate(names))
    output = metadata["network_data_format"]["outputs"]["pred"]
    output |= {"num_channels": count, "channel_def": {str(at): name for at, name in enumerate(names)}}
