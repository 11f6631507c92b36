# SPDX-License-Identifier: Apache-2.0
"""Plain mappings, as they come from JSON, to frozen settings, with the errors that a user can act on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_type_hints

from monai_semigan.errors import ConfigError

__all__ = ["from_mapping"]

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
