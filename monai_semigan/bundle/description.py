# SPDX-License-Identifier: Apache-2.0
"""Read and check the description in a bundle's ``configs/metadata.json``: names, types and ranges.

The block ``semigan`` of the metadata is typed and complete. What may be left out: ``components``, which cleans the
label map; ``codes``, of the classes in DICOM; ``min_expected_dice``, below which a label counts as uncertain;
``slicewise``, for volumes:

.. code-block:: json

    {"format": "semigan-bundle-1", "domain": "chest_xray",
     "network": {"image_size": 64, "num_classes": 2}, "preprocessing": {"image_size": 64, "max_stretch": 1.5},
     "class_names": ["background", "lung"], "colors": [[0, 0, 0], [230, 97, 1]],
     "inversion": {"steps": 50}, "max_image_error": 0.2, "components": {"lung": {"keep": 2}},
     "weights": {"file": "models/model.pt", "sha256": "..."}}

A bundle for volumes has a chain for each modality that it accepts, ``"preprocessing": {"CT": {...}, "MR": {...}}``,
``"inversion"`` and, if the modalities differ, ``"max_image_error"`` and ``"min_expected_dice"`` likewise.
``"weights": null`` says that there are none yet: such a bundle is for training.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from monai_semigan.bundle.audit import MAX_CONFIG_BYTES
from monai_semigan.domains.abdomen import SLICE_PRESETS
from monai_semigan.domains.chest_xray import ChestXrayPreset, DermoscopyPreset, FacePreset
from monai_semigan.errors import BundleError, ConfigError
from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.networks.segmenter import ENCODER_KINDS
from monai_semigan.segmentation.chain import IMAGE_CHAIN, Chain
from monai_semigan.segmentation.components import ComponentRule, ComponentRules
from monai_semigan.settings import read_settings
from monai_semigan.writers.terminology import SegmentInfo, segments_of_classes

__all__ = [
    "IMAGE_CHAIN",
    "IMAGE_DOMAINS",
    "MAX_NAME_LENGTH",
    "VOLUME_DOMAINS",
    "Chain",
    "Color",
    "build_settings",
    "check_network",
    "locate_weights",
    "read_chains",
    "read_classes",
    "read_components",
    "read_metadata",
    "read_segments",
]

FORMAT = "semigan-bundle-1"
KEYS = frozenset(
    {"format", "domain", "network", "preprocessing", "class_names", "colors", "inversion", "max_image_error", "weights"}
)
OPTIONAL_KEYS = frozenset({"codes", "components", "min_expected_dice", "slicewise"})
IMAGE_DOMAINS: dict[str, type] = {
    "chest_xray": ChestXrayPreset,
    "dermoscopy": DermoscopyPreset,
    "face": FacePreset,
}
VOLUME_DOMAINS: dict[str, dict[str, type]] = {"abdomen": dict(SLICE_PRESETS)}
"""Chains by DICOM Modality (0008,0060)."""

NETWORK_RANGES = {
    "image_size": (32, 1024),
    "num_classes": (2, 255),
    "image_channels": (1, 3),
    "z_dim": (1, 4096),
    "w_dim": (1, 4096),
    "num_mapping_layers": (1, 32),
    "head_channels": (1, 4096),
}
"""Smallest and largest value; the lists of channels beside them have the range of a width."""
WIDTH_RANGE = (1, 4096)
LARGEST_SETTING = 1e6
"""Of any number among the settings; ours, far above what makes sense."""
NETWORK_LISTS = ("channels", "encoder_channels")
NETWORK_CHOICES = {"encoder_kind": ENCODER_KINDS}

MAX_NAME_LENGTH = 64
"""Of name and version, which come into DICOM results as long strings (LO, PS3.5 6.2)."""

Color = tuple[int, int, int]
T = TypeVar("T")


def read_metadata(root: Path) -> dict[str, Any]:
    """Read the metadata of the bundle in ``root``; the block ``semigan`` has all its keys and a known domain.

    Raises:
        BundleError: The file cannot be read, is no JSON, or the block, the version or the name is wrong.
    """
    path = root / "configs" / "metadata.json"
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise BundleError(f"`{path}` must be smaller than {MAX_CONFIG_BYTES} bytes.")
        metadata = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise BundleError(f"`{root}` must be a bundle, but has no readable configs/metadata.json.") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"`{path}` must be JSON, but is not: {error}.") from error
    if not isinstance(metadata, dict):
        raise BundleError(f"`{path}` must be an object, got {type(metadata).__name__}.")
    _check_metadata(metadata, path)
    return metadata


def check_network(network: dict[str, Any]) -> dict[str, Any]:
    """Check names, types and ranges, so that building the network can neither fail obscurely nor fill the memory.

    Raises:
        BundleError: One is wrong.
    """
    known = NETWORK_RANGES.keys() | NETWORK_LISTS | NETWORK_CHOICES.keys()
    required = {"image_size", "num_classes"}
    if not required <= network.keys() <= known:
        raise BundleError(
            f"`network` must have known keys, but {_differences(network, required=required, known=known)}."
        )
    for key, (low, high) in NETWORK_RANGES.items():
        value = network.get(key, low)
        if type(value) is not int or not low <= value <= high:
            raise BundleError(f"`{key}` must be a whole number from {low} to {high}, got {value!r}.")
    for key, choices in NETWORK_CHOICES.items():
        if network.get(key, choices[0]) not in choices:
            raise BundleError(f"`{key}` must be one of {', '.join(choices)}, got {network[key]!r}.")
    for key in NETWORK_LISTS:
        widths = network.get(key) or [1]  # null asks for the default table
        low, high = WIDTH_RANGE
        if not isinstance(widths, list) or not all(type(width) is int and low <= width <= high for width in widths):
            raise BundleError(f"`{key}` must be a list of whole numbers from {low} to {high}, got {widths!r}.")
    return network


def build_settings(kind: type[T], name: str, block: Any) -> T:
    """Build settings from a JSON object; their own checks add the ranges.

    Raises:
        BundleError: It is no object, or a key, type or value is not one of them.
    """
    values = _object(block, name)
    types: dict[str, Any] = get_type_hints(kind)
    if not values.keys() <= types.keys():
        raise BundleError(
            f"`{name}` must have known keys, but {_differences(values, required=set(), known=set(types))}."
        )
    for key, value in values.items():
        kinds = get_args(types[key]) or (types[key],)  # `float | None` is one of two
        if get_origin(types[key]) is Literal:
            if value not in kinds:
                raise BundleError(f"`{key}` in `{name}` must be one of {', '.join(kinds)}, got {value!r:.40}.")
            continue
        fits = type(value) in kinds or (float in kinds and type(value) is int)
        if not fits or not (isinstance(value, (str, type(None))) or abs(value) <= LARGEST_SETTING):  # refuses NaN
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise BundleError(f"`{key}` in `{name}` must be of type {wanted} and of usual size, got {value!r:.40}.")
    try:
        return kind(**values)
    except ConfigError as error:
        raise BundleError(f"`{name}` must hold valid settings, but {error}") from error


def read_chains(block: dict[str, Any], image_size: int) -> dict[str, Chain]:
    """Build the chains of the block ``semigan`` for a network of this size, by modality; one for single images.

    Raises:
        BundleError: Modalities, settings or limits are wrong, or the size is another one.
    """
    if block["domain"] in IMAGE_DOMAINS:
        kinds = {IMAGE_CHAIN: IMAGE_DOMAINS[block["domain"]]}
        settings = {IMAGE_CHAIN: (block["preprocessing"], block["inversion"])}
    else:
        kinds = VOLUME_DOMAINS[block["domain"]]
        preparations, inversions = block["preprocessing"], block["inversion"]
        if not preparations or not preparations.keys() <= kinds.keys() or preparations.keys() != inversions.keys():
            raise BundleError(
                f"`preprocessing` and `inversion` must have the same modalities among {', '.join(kinds)}, got "
                f"{', '.join(preparations)} and {', '.join(inversions)}."
            )
        settings = {key: (preparations[key], inversions[key]) for key in preparations}
    chains = {}
    for key, (preparation, inversion) in settings.items():
        preset: Any = build_settings(kinds[key], "preprocessing", preparation)
        if preset.image_size != image_size:
            raise BundleError(
                f"`preprocessing` must have the network's image_size {image_size}, got {preset.image_size}."
            )
        refinement = build_settings(InversionSettings, "inversion", inversion)
        chains[key] = Chain(
            preset=preset,
            inversion=refinement,
            max_image_error=_limit(block, "max_image_error", key, math.inf),
            min_expected_dice=_limit(block, "min_expected_dice", key, 1) if "min_expected_dice" in block else None,
        )
    return chains


def read_classes(block: dict[str, Any], count: int) -> tuple[tuple[str, ...], tuple[Color, ...]]:
    """Return names and colors of the classes, background first, from the block ``semigan``.

    Raises:
        BundleError: There are not ``count`` of each, names repeat, or a color is none.
    """
    names, colors = block["class_names"], block["colors"]
    if not isinstance(names, list) or not all(isinstance(name, str) and name.isprintable() for name in names):
        raise BundleError("`class_names` must be a list of names, background first.")
    if len(names) != count or len(set(names)) != count:
        raise BundleError(f"`class_names` must name the network's {count} classes, each differently, got {len(names)}.")
    if not isinstance(colors, list) or len(colors) != count or not all(_is_color(color) for color in colors):
        raise BundleError(f"`colors` must hold one [red, green, blue] of 0 to 255 for each of the {count} classes.")
    return tuple(names), tuple((red, green, blue) for red, green, blue in colors)


def read_segments(codes: Any, class_names: tuple[str, ...], colors: tuple[Color, ...]) -> tuple[SegmentInfo, ...]:
    """Build what DICOM says of each class from ``codes``, or None for known ones, background left out.

    Raises:
        BundleError: They do not describe the classes.
    """
    try:
        return segments_of_classes(class_names, colors, codes)
    except ConfigError as error:
        raise BundleError(f"`codes` must describe the classes, but {error}") from error


def read_components(block: Any, class_names: tuple[str, ...]) -> ComponentRules:
    """Build the rules for pieces and holes.

    Raises:
        BundleError: A rule or a class is unknown.
    """
    try:
        return ComponentRules.by_name(
            {name: read_settings(ComponentRule, rule, f"components.{name}") for name, rule in block.items()},
            class_names,
        )
    except ConfigError as error:
        raise BundleError(f"`components` must hold valid rules, but {error}") from error


def locate_weights(root: Path, block: Any) -> tuple[Path, str] | tuple[None, None]:
    """Return the file of the weights and its SHA-256; None for a bundle that has none yet.

    Raises:
        BundleError: The file would lie outside ``root``, or the digest is none.
    """
    if block is None:
        return None, None
    block = _object(block, "weights")
    name, sha256 = block.get("file"), block.get("sha256")
    if not isinstance(name, str) or not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise BundleError('`weights` must have a "file" and its "sha256" of 64 hexadecimal digits.')
    parts = PurePosixPath(name).parts
    path = root / name
    if not name.isprintable() or not parts or ".." in parts or not path.resolve().is_relative_to(root.resolve()):
        raise BundleError(f"`weights` must lie inside the bundle, got {name!r}.")
    return path, sha256


def _check_metadata(metadata: dict[str, Any], path: Path) -> None:
    block = metadata.get("semigan")
    if not isinstance(block, dict) or block.get("format") != FORMAT:
        raise BundleError(f'`{path}` must have a block "semigan" with "format": "{FORMAT}".')
    if not KEYS <= block.keys() <= KEYS | OPTIONAL_KEYS:
        raise BundleError(
            f"`semigan` in `{path}` must have the keys {', '.join(sorted(KEYS))}, but "
            f"{_differences(block, required=KEYS, known=KEYS | OPTIONAL_KEYS)}."
        )
    domains = [*IMAGE_DOMAINS, *VOLUME_DOMAINS]
    if not isinstance(block["domain"], str) or block["domain"] not in domains:
        raise BundleError(f"`domain` must be one of {', '.join(domains)}, got {block['domain']!r}.")
    for key in ("network", "preprocessing", "inversion"):
        _object(block[key], f"{key}` in `{path}")
    for value in (metadata.get("version"), metadata.get("name", "a name")):
        if not _is_long_string(value):
            raise BundleError(
                f"`version` and `name` in `{path}` must be 1 to {MAX_NAME_LENGTH} printable ASCII characters without "
                f"backslash, as they come into DICOM results, got {value!r:.80}."
            )


def _is_long_string(value: Any) -> bool:
    if not isinstance(value, str) or not 0 < len(value.strip()) <= len(value) <= MAX_NAME_LENGTH:
        return False
    return value.isascii() and value.isprintable() and "\\" not in value


def _is_color(color: Any) -> bool:
    return isinstance(color, list) and len(color) == 3 and all(type(v) is int and 0 <= v <= 255 for v in color)


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BundleError(f"`{name}` must be an object, got {type(value).__name__}.")
    return value


def _limit(block: dict[str, Any], name: str, modality: str, highest: float) -> float:
    value = block[name].get(modality) if isinstance(block[name], dict) else block[name]
    if type(value) not in (int, float) or not 0 < value <= highest or value == math.inf:
        at_most = "" if highest == math.inf else f" and at most {highest:g}"
        raise BundleError(f"`{name}` must be a number above 0{at_most}, got {value!r}.")
    return float(value)


def _differences(
    given: dict[str, Any], *, required: set[str] | frozenset[str], known: set[str] | frozenset[str]
) -> str:
    missing, unknown = sorted(required - given.keys()), sorted(given.keys() - known)
    found = (("is missing", missing), ("is unknown", unknown))
    return " and ".join(f"{', '.join(keys)[:200]} {what}" for what, keys in found if keys)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
