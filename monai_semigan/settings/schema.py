# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of a settings dataclass, described by its docstring."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from monai_semigan.settings.hints import (
    Pattern,
    Range,
    choices_of,
    fields_of,
    has_default,
    is_list,
    item_hint,
    without_notes,
)

__all__ = ["json_schema"]

PLAIN: dict[Any, dict[str, Any]] = {
    Any: {},
    bool: {"type": "boolean"},
    dict: {"type": "object"},
    float: {"type": "number"},
    int: {"type": "integer"},
    Path: {"type": "string"},
    str: {"type": "string"},
    type(None): {"type": "null"},
}


def json_schema(kind: type, *, title: str = "", identifier: str = "") -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a settings dataclass, described by its docstrings' attributes."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    if identifier:
        head["$id"] = identifier
    if title:
        head["title"] = title
    return head | _object_schema(kind)


def _object_schema(kind: type) -> dict[str, Any]:
    said = _attributes_said(kind)
    return {
        "type": "object",
        "required": [field.name for field in dataclasses.fields(kind) if field.init and not has_default(field)],
        "properties": {
            name: _value_schema(hint) | ({"description": said[name]} if name in said else {})
            for name, hint in fields_of(kind).items()
        },
        "patternProperties": {"^_": {}},
        "additionalProperties": False,
    }


def _value_schema(hint: Any) -> dict[str, Any]:
    inner, notes = without_notes(hint)
    schema = _type_schema(inner)
    for note in notes:
        schema |= _note_schema(note)
    return schema


def _type_schema(inner: Any) -> dict[str, Any]:
    choices = choices_of(inner)
    if choices is not None:
        return {"anyOf": [_value_schema(choice) for choice in choices]}
    if get_origin(inner) is Literal:
        return {"enum": list(get_args(inner))}
    if dataclasses.is_dataclass(inner) and isinstance(inner, type):
        return _object_schema(inner)
    if is_list(inner):
        return _list_schema(inner)
    origin = get_origin(inner)
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _value_schema(get_args(inner)[1])}
    return dict(PLAIN[inner])


def _list_schema(inner: Any) -> dict[str, Any]:
    items = item_hint(inner)
    if items is not None:
        return {"type": "array", "items": _value_schema(items)}
    parts = [_value_schema(part) for part in get_args(inner)]
    return {"type": "array", "prefixItems": parts, "minItems": len(parts), "maxItems": len(parts)}


def _note_schema(note: Any) -> dict[str, Any]:
    if isinstance(note, Pattern):
        return {"pattern": f"^(?:{note.regex})$"}
    if not isinstance(note, Range):
        return {}
    low = "exclusiveMinimum" if note.exclusive in ("low", "both") else "minimum"
    high = "exclusiveMaximum" if note.exclusive in ("high", "both") else "maximum"
    return {key: limit for key, limit in ((low, note.low), (high, note.high)) if limit is not None}


def _attributes_said(kind: type) -> dict[str, str]:
    """What the ``Attributes`` of a class's docstring, and of its bases', say of each field."""
    said: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        text = inspect.cleandoc(base.__dict__.get("__doc__") or "")
        section = re.search(r"^Attributes:\n((?:[ \t]+.*\n?|\n)+)", text, re.MULTILINE)
        if section:
            entries = re.findall(r"^ {4}(\w+): ((?:.+\n?(?: {8}.*\n?)*))", section.group(1) + "\n", re.MULTILINE)
            said |= {name: " ".join(words.split()).replace("``", "`") for name, words in entries}
    return said
