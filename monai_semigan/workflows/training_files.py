# SPDX-License-Identifier: Apache-2.0
"""The files of a bundle that say how it is trained, read as data: nothing in them is executed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from monai_semigan.bundle.audit import MAX_CONFIG_BYTES
from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.errors import BundleError, ConfigError
from monai_semigan.files import read_json
from monai_semigan.settings import read_settings
from monai_semigan.training.settings import EncoderTraining, GanTraining

__all__ = ["bundle_training", "trainer_settings", "training_config"]

OF_THE_BUNDLE = ("network", "domain", "preprocessing")
"""Entries of older training files: the bundle's metadata says them."""

PLACES = ("bundle_root", "datalist", "run_dir", "gan_run", "device", "resume", "start")
"""Arguments of a trainer that say where and from what, not how."""

Training = TypeVar("Training", GanTraining, EncoderTraining)


def training_config(bundle: str, name: str, total_kimg: float | None) -> dict[str, Any]:
    """Read the trainer's arguments out of a bundle's training file."""
    root = open_bundle(bundle).root
    config = read_json(root / "configs" / name, MAX_CONFIG_BYTES, error=BundleError)
    if not isinstance(config, dict) or not isinstance(config.get("trainer"), dict):
        raise ConfigError(f"`{name}` of the bundle must be an object with the entry `trainer`.")
    settings: dict[str, Any] = _followed(config["trainer"], config)
    if total_kimg is not None:
        settings["run"] = {**settings.get("run", {}), "total_kimg": total_kimg}
    return {**{key: value for key, value in settings.items() if not key.startswith("_")}, "bundle_root": root}


def bundle_training(kind: type[Training], bundle: str, name: str) -> Training:
    """Return how a bundle's training file says that it is trained; where and from what is left out.

    Raises:
        BundleError: The file cannot be read.
        ConfigError: A setting is unknown or out of range.
    """
    config = training_config(bundle, name, None)
    return trainer_settings(kind, {key: value for key, value in config.items() if key not in PLACES}, name)


def trainer_settings(kind: type[Training], training: Mapping[str, Any], name: str) -> Training:
    """Check a trainer's arguments; those that the bundle's metadata says today are passed over."""
    return read_settings(kind, {key: value for key, value in training.items() if key not in OF_THE_BUNDLE}, name)


def _followed(value: Any, config: Mapping[str, Any], names: tuple[str, ...] = ()) -> Any:
    """Replace references ``@name`` to top-level entries of the same file, at any depth."""
    if isinstance(value, str) and value.startswith("@"):
        name = value[1:]
        if name not in config or name in names:
            raise ConfigError(f"`{value}` must name a top-level entry of the training file, and not refer to itself.")
        return _followed(config[name], config, (*names, name))
    if isinstance(value, Mapping):
        return {key: _followed(item, config, names) for key, item in value.items()}
    return [_followed(item, config, names) for item in value] if isinstance(value, list) else value
