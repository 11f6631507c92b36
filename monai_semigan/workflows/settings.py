# SPDX-License-Identifier: Apache-2.0
"""Plain mappings, as they come from JSON, to frozen settings, with the errors that a user can act on."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_type_hints

import torch

from monai_semigan.errors import ConfigError
from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.ops.precision import ComputeDtype

__all__ = ["choose_device", "choose_inversion", "from_mapping"]

T = TypeVar("T")


def from_mapping(kind: type[T], values: Mapping[str, Any]) -> T:
    """Build a settings dataclass; nested dataclasses from nested mappings; keys that start with ``_`` are remarks.

    Raises:
        ConfigError: A key is unknown, or the settings contradict each other.
    """
    known = get_type_hints(kind)
    given = {key: value for key, value in values.items() if not key.startswith("_")}
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        raise ConfigError(
            f"`{kind.__name__}` must have known keys, got {', '.join(unknown)}. Known are {', '.join(sorted(known))}."
        )
    for key, value in given.items():
        # `Settings | None` is one of two
        inner = next((part for part in (known[key], *get_args(known[key])) if dataclasses.is_dataclass(part)), None)
        if isinstance(value, Mapping) and isinstance(inner, type):
            given[key] = from_mapping(inner, value)
    try:
        return kind(**given)
    except TypeError as error:
        raise ConfigError(f"`{kind.__name__}` could not be built: {error}.") from error


def choose_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` into a device.

    Raises:
        ConfigError: The name is unknown, or CUDA was asked for and is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ConfigError(f"`device` must be auto, cpu or cuda, got {name!r}.")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"`device` must be available, but {name} is not. Use --device cpu.")
    return device


def choose_inversion(
    settings: InversionSettings, *, steps: int | None, compute_dtype: ComputeDtype | None
) -> InversionSettings:
    """Replace what a user set on a bundle's inversion; None keeps the bundle's."""
    given: dict[str, Any] = {"steps": steps, "compute_dtype": compute_dtype}
    return dataclasses.replace(settings, **{name: value for name, value in given.items() if value is not None})
