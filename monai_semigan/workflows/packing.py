# SPDX-License-Identifier: Apache-2.0
"""Put trained weights into a bundle that says of itself only what is known of these weights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monai_semigan.atomic import remove_stale, replacing_folder
from monai_semigan.bundle.audit import OOD_FILE
from monai_semigan.bundle.bundle import Bundle, load_network, open_bundle
from monai_semigan.bundle.editing import edited_metadata
from monai_semigan.errors import BundleError, CheckpointError, OutputError
from monai_semigan.files import escaped, make_folder, read_json, write_text
from monai_semigan.networks.checkpoint import build_with_weights, to_half
from monai_semigan.networks.checkpoint_file import file_digest, named_weights, read_checkpoint
from monai_semigan.networks.label_unet import LabelUNet
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.networks.settings import NetworkSettings
from monai_semigan.networks.start_weights import is_start, read_start
from monai_semigan.training.snapshot import write_tensors
from monai_semigan.training.teacher import load_teacher
from monai_semigan.types import PathLike
from monai_semigan.workflows.card_head import card_head

__all__ = [
    "FIRST_VERSION",
    "NO_LIMIT",
    "check_target",
    "copy_parts",
    "forget",
    "name_of",
    "pack",
    "store_num_labels",
    "write_bundle",
]

FIRST_VERSION = "0.1.0"
WEIGHTS = Path("models") / "model.pt"

DIRECT_ROUTE = "encoder.direct."
"""Begins the names of its weights."""

EQUAL_SHARE = 0.5

NO_LIMIT = 1e6
"""A `max_image_error` that no image reaches: `tune` finds one for new weights."""

PUBLISHER_KEYS = ("authors", "copyright", "data_source", "eval_metrics", "references")
"""Metadata that tells of the old weights' makers, data and results."""

REQUIRED_PUBLISHER_KEYS = ("authors", "copyright")
"""Those that a bundle's metadata must have (`monai.bundle verify_metadata`)."""

NOT_STATED = "not stated"

MAX_RUN_CONFIG_BYTES = 1 << 22


def pack(
    output: PathLike,
    *,
    bundle: PathLike,
    weights: PathLike,
    teacher: PathLike | None = None,
    name: str | None = None,
    version: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Make a bundle of a bundle's configs and new weights in float16, whole or not at all.

    What was measured with other weights is left out, limits and numbers of the card among it: `tune` finds the limits,
    and a new card says what is known. Weights that the bundle has already change nothing but name and version.

    Args:
        output: The new bundle's folder; may be the bundle itself with ``overwrite``.
        bundle: Shipped name or folder: the network's description and the chain.
        weights: ``best.pt`` of an encoder's run, or what ``semigan convert`` made of the files of GAN and encoder.
        teacher: ``teacher.pt`` of a GAN's run, to be the direct route instead of that among the weights, if there is
            one. Its weight in the label is the bundle's, or one half, until `tune` finds it.
        name: Of the bundle; None for the folder's.
        version: Of the bundle; None for 0.1.0.
        overwrite: Replace a bundle that lies at ``output``.

    Raises:
        BundleError: ``output`` holds a bundle already, or name or version cannot be one.
        CheckpointError: The weights or the teacher do not fit the bundle's network, or are not trained.
        OutputError: ``output`` is a folder with something else, or cannot be written; nothing of it is left.
    """
    source = open_bundle(bundle)
    check_target(output, overwrite=overwrite)
    state, settings = _trained_state(weights), source.network
    if teacher is not None:
        state, settings = _with_direct_route(state, settings, teacher)
    network = build_with_weights(lambda: SemiGanSegmenter(**settings.arguments()), state, source=teacher or weights)
    network.require_trained()
    run = _run_config(weights)

    def describe(metadata: dict[str, Any], *, is_new: bool) -> None:
        if is_new:
            forget(metadata)
        if teacher is not None:
            route = {"direct_widths": list(settings.direct_widths), "direct_share": settings.direct_share}
            metadata["semigan"]["network"] |= route
        if is_new or name is not None:
            metadata["name"] = name if name is not None else name_of(output)
        if is_new or version is not None:
            metadata["version"] = version if version is not None else FIRST_VERSION
            metadata["changelog"] = {metadata["version"]: "these weights"}

    return write_bundle(
        output, source, network, describe, lambda folder, packed: _write_texts(folder, packed, source, run)
    )


def write_bundle(
    output: PathLike,
    source: Bundle,
    network: SemiGanSegmenter,
    describe: Callable[..., None],
    write_texts: Callable[[Path, Bundle], None],
) -> Path:
    """Write a bundle of another one's configs and a network's weights in float16, whole or not at all.

    Args:
        output: Its folder, after `check_target`; may be that of ``source``.
        source: The other bundle.
        network: Trained.
        describe: Called with the metadata, to be changed in place, and ``is_new``: whether the weights are others.
        write_texts: Called with the folder and the new bundle, if the weights are others: writes card and licence.
    """
    target = Path(output).resolve()
    make_folder(target.parent)
    remove_stale(target.parent)
    with replacing_folder(target) as folder:
        copy_parts(source.root, folder, everything=target == source.root.resolve())
        (folder / WEIGHTS).parent.mkdir()
        write_tensors(folder / WEIGHTS, to_half(network))
        digest = file_digest(folder / WEIGHTS)
        write_text(folder / f"{WEIGHTS}.sha256", f"{digest}  {WEIGHTS.name}\n")
        is_new = digest != source.weights_sha256
        with edited_metadata(folder) as metadata:
            describe(metadata, is_new=is_new)
            metadata["semigan"]["weights"] = {"file": WEIGHTS.as_posix(), "sha256": digest}
            if metadata["semigan"].get("ood") is not None:
                shutil.copy(source.root / OOD_FILE, folder / OOD_FILE)
        packed = open_bundle(folder)
        if is_new:
            write_texts(folder, packed)
        load_network(packed, device=torch.device("cpu"))
    return Path(output)


def check_target(output: PathLike, *, overwrite: bool) -> None:
    """Refuse a folder that holds a bundle that is not to be replaced, or anything else, or that cannot be made.

    Raises:
        BundleError: It holds a bundle.
        OutputError: It holds something else, or what it would lie in is no folder that can be written.
    """
    target = Path(output).resolve()
    place = next(path for path in target.parents if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise OutputError(f"`{place}` must be a folder that can be written. Choose another output.")
    if not target.exists():
        return
    is_bundle = (target / "configs" / "metadata.json").exists()
    if is_bundle and not overwrite:
        raise BundleError(f"`{target}` already holds a bundle. Pass --overwrite, or choose another folder.")
    if not is_bundle and (not target.is_dir() or any(target.iterdir())):
        raise OutputError(f"`{target}` must be a new folder or a bundle, as it is replaced. Choose another folder.")


def _trained_state(weights: PathLike) -> dict[str, Tensor]:
    content = read_checkpoint(weights)
    return read_start(weights).segmenter_state() if is_start(content) else named_weights(content, source=weights)


def _with_direct_route(
    state: Mapping[str, Tensor], settings: NetworkSettings, teacher: PathLike
) -> tuple[dict[str, Tensor], NetworkSettings]:
    """Make a teacher the direct route of weights and of their network's settings."""
    loaded = load_teacher(teacher, device=torch.device("cpu"))
    if not isinstance(loaded.net, LabelUNet):
        raise CheckpointError(f"`{escaped(teacher)}` must be a teacher with the network label_unet, got basic_unet.")
    if loaded.net.downsampling != settings.downsampling:
        raise CheckpointError(
            f"`{escaped(teacher)}` must be a teacher with the network's `downsampling` {settings.downsampling}, got "
            f"{loaded.net.downsampling}. Train one for this bundle with `semigan train teacher`."
        )
    kept = {key: value for key, value in state.items() if not key.startswith(DIRECT_ROUTE)}
    route = {f"{DIRECT_ROUTE}{key}": value for key, value in loaded.net.state_dict().items()}
    share = settings.direct_share or EQUAL_SHARE
    widths = tuple(loaded.sizes["features"])
    return {**kept, **route}, replace(settings, direct_widths=widths, direct_share=share)


def copy_parts(source: Path, folder: Path, *, everything: bool = False) -> None:
    """Copy configs, licence and texts; ``everything`` but the weights for a bundle that is replaced by itself."""
    names = sorted(path.name for path in source.iterdir()) if everything else ["LICENSE", "configs", "docs"]
    for name in names:
        path = source / name
        if path.is_dir() and name != "models":
            shutil.copytree(path, folder / name)
        elif path.is_file():
            shutil.copy(path, folder / name)


def forget(metadata: dict[str, Any]) -> None:
    """Drop from the metadata, in place, what is only true of the old weights."""
    for key in PUBLISHER_KEYS:
        metadata.pop(key, None)
    metadata.update(dict.fromkeys(REQUIRED_PUBLISHER_KEYS, NOT_STATED))
    metadata["data_source"] = "see docs/data_license.txt"
    block = metadata["semigan"]
    for key in ("min_expected_dice", "dice_calibration", "ood", "num_labels", "adapted_from"):
        block.pop(key, None)
    limits = block["max_image_error"]
    block["max_image_error"] = dict.fromkeys(limits, NO_LIMIT) if isinstance(limits, dict) else NO_LIMIT


def store_num_labels(root: Path, count: int, base: Bundle | None) -> None:
    """Write down how many labelled images a bundle learned from, its base's included; nothing where that is unknown."""
    if base is None or base.num_labels is not None:
        with edited_metadata(root) as metadata:
            metadata["semigan"]["num_labels"] = count + (0 if base is None else base.num_labels or 0)


def name_of(output: PathLike) -> str:
    """Return what a bundle in a folder is called."""
    name = Path(output).resolve().name
    letters = (letter if letter.isascii() and letter.isprintable() and letter != "\\" else "_" for letter in name)
    return "".join(letters).strip()[:64] or "bundle"


def _run_config(weights: PathLike) -> dict[str, Any]:
    """Return what the run of these weights was asked for; empty if they do not lie in a run's folder."""
    path = Path(weights).parent / "resolved_config.json"
    if not path.is_file():
        return {}
    content = read_json(path, MAX_RUN_CONFIG_BYTES, error=BundleError)
    config = content.get("config") if isinstance(content, dict) else None
    return config if isinstance(config, dict) else {}


def _write_texts(folder: Path, packed: Bundle, source: Bundle, run: dict[str, Any]) -> None:
    """Write a card and a note on the data's licence that claim nothing; the old ones are about other weights."""
    digest = run.get("data_digest")
    data = digest if isinstance(digest, str) and digest.isalnum() else "unknown"
    (folder / "docs").mkdir(exist_ok=True)
    facts = {
        "Made from": f"settings of {source.name} {source.version}, with other weights",
        "Training data": f"SHA-256 over the data list's files: `{data}`",
    }
    lines = [
        *card_head(packed, facts, before_table="Nothing was measured with these weights yet."),
        "## What is left to do",
        "",
        "1. `semigan tune -b THIS_FOLDER --data DATA.json --write`: steps of inversion and the limits above which a "
        "result is doubted. Until then no image is called unlike the training images.",
        "2. Segment images that were never trained on, and score them: `semigan segment`, `semigan evaluate`.",
        "3. Write down here for whom the weights are, what they were trained on, and how well they do; the terms of "
        "the data go into `data_license.txt`.",
    ]
    write_text(folder / "docs" / "README.md", "\n".join(lines) + "\n")
    write_text(
        folder / "docs" / "data_license.txt",
        "Data behind the weights in models/\n==================================\n\n"
        "Not described yet. Name each source of images and masks with its terms here before these weights are passed "
        "on.\n"
        f"Data list of the training, SHA-256 over its files' names and sizes: {data}\n",
    )
