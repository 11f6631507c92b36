# SPDX-License-Identifier: Apache-2.0
"""One way from JSON to settings and back: frozen dataclasses whose annotations are the only list of what is allowed.

.. code-block:: python

    @dataclass(frozen=True, kw_only=True)
    class Refinement:
        '''How a result is refined.

        Attributes:
            steps: Optimization steps.
        '''

        steps: Annotated[int, Range(0, 10_000)] = 50
        optimizer: Literal["adam", "lbfgs"] = "adam"

        def __post_init__(self) -> None:
            check_settings(self)

    read_settings(Refinement, {"steps": 20}, "inversion")     # from JSON
    json_schema(Refinement)                                   # for whoever writes the JSON

Understood are bool, int, float, str, Literal, ``X | None``, ``tuple[X, ...]`` and ``tuple[X, Y]`` (JSON lists), mappings
of names, other such dataclasses, `Path`, and Any. A number may carry a `Range`. Keys that begin with ``_`` are remarks
and are passed over.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import types
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from monai_semigan.errors import ConfigError, SemiGanError

__all__ = ["Pattern", "Range", "check_settings", "json_schema", "read_settings", "to_json"]

T = TypeVar("T")

LARGEST = 1e9
"""Of any number without a range: far above what makes sense, and finite."""

SHOWN = 60
"""Characters of a wrong value that an error quotes."""


@dataclasses.dataclass(frozen=True)
class Range:
    """Limits of a number, both ends included unless ``exclusive``; None for none.

    Attributes:
        low: Smallest value.
        high: Largest value.
        exclusive: Which ends do not belong to it: any of ``low``, ``high``, ``both``.
    """

    low: float | None = None
    high: float | None = None
    exclusive: Literal["none", "low", "high", "both"] = "none"

    def holds(self, value: float) -> bool:
        """Whether a number lies in it; NaN never does."""
        above = self.low is None or (value > self.low if self.exclusive in ("low", "both") else value >= self.low)
        below = self.high is None or (value < self.high if self.exclusive in ("high", "both") else value <= self.high)
        return above and below and not math.isnan(value)

    def __str__(self) -> str:
        low = "" if self.low is None else f"{'above' if self.exclusive in ('low', 'both') else 'from'} {self.low:g}"
        high = "" if self.high is None else f"{'below' if self.exclusive in ('high', 'both') else 'to'} {self.high:g}"
        return " ".join(part for part in (low, high) if part)


@dataclasses.dataclass(frozen=True)
class Pattern:
    """What a string must look like, and what to call it in an error."""

    regex: str
    meaning: str


class _Wrong(Exception):
    """A value does not fit: where, what was expected, what came."""

    def __init__(self, expected: str, value: object, place: str = "") -> None:
        super().__init__(expected)
        self.expected, self.value, self.place = expected, value, place

    def inside(self, place: str) -> _Wrong:
        joined = place if not self.place else f"{place}.{self.place}" if self.place[0] != "[" else place + self.place
        return _Wrong(self.expected, self.value, joined)


def read_settings(kind: type[T], values: Any, name: str, *, error: type[SemiGanError] = ConfigError) -> T:
    """Build a settings dataclass from what JSON holds.

    Args:
        kind: The dataclass.
        values: A JSON object.
        name: What errors call it.
        error: What is raised.

    Raises:
        SemiGanError: As ``error``: a key is unknown or missing, or a value has another type or range.
    """
    try:
        return _built(kind, values)
    except _Wrong as wrong:
        where = f"`{wrong.place}` in `{name}`" if wrong.place else f"`{name}`"
        raise error(f"{where} must be {wrong.expected}, got {_shown(wrong.value)}.") from None
    except ConfigError as cause:  # the dataclass's own check of values that contradict each other
        raise error(f"`{name}` must hold valid settings, but {cause}") from cause


def check_settings(settings: Any) -> None:
    """Check all fields of a settings dataclass; call it in ``__post_init__``.

    Raises:
        ConfigError: A field has another type or range than its annotation says.
    """
    for name, hint in _fields(type(settings)).items():
        try:
            _fitted(hint, getattr(settings, name))
        except _Wrong as cause:
            wrong = cause.inside(name)
            raise ConfigError(f"`{wrong.place}` must be {wrong.expected}, got {_shown(wrong.value)}.") from None


def to_json(settings: Any) -> Any:
    """Return JSON types: what `read_settings` reads."""
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        return {field.name: to_json(getattr(settings, field.name)) for field in dataclasses.fields(settings)}
    if isinstance(settings, Mapping):
        return {str(key): to_json(value) for key, value in settings.items()}
    if isinstance(settings, (list, tuple)):
        return [to_json(value) for value in settings]
    return str(settings) if isinstance(settings, Path) else settings


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
    required = [field.name for field in dataclasses.fields(kind) if field.init and not _has_default(field)]
    properties = {
        name: _value_schema(hint) | ({"description": said[name]} if name in said else {})
        for name, hint in _fields(kind).items()
    }
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "patternProperties": {"^_": {}},
        "additionalProperties": False,
    }


def _value_schema(hint: Any) -> dict[str, Any]:
    inner, notes = _without_notes(hint)
    options = _options(inner)
    if options is not None:
        return {"anyOf": [_value_schema(option) for option in options]}
    origin, arguments = get_origin(inner), get_args(inner)
    schema: dict[str, Any]
    if inner is Any:
        schema = {}
    elif inner is type(None):
        schema = {"type": "null"}
    elif origin is Literal:
        schema = {"enum": list(arguments)}
    elif dataclasses.is_dataclass(inner) and isinstance(inner, type):
        schema = _object_schema(inner)
    elif _is_list(origin):
        items = _list_items(origin, arguments)
        if items is None:
            parts = [_value_schema(argument) for argument in arguments]
            schema = {"type": "array", "prefixItems": parts, "minItems": len(parts), "maxItems": len(parts)}
        else:
            schema = {"type": "array", "items": _value_schema(items)}
    elif origin is not None and issubclass(origin, Mapping):
        schema = {"type": "object", "additionalProperties": _value_schema(arguments[1])}
    else:
        names = {bool: "boolean", int: "integer", float: "number", str: "string", Path: "string", dict: "object"}
        schema = {"type": names[inner]}
    for note in notes:
        if isinstance(note, Range):
            low, high = note.exclusive in ("low", "both"), note.exclusive in ("high", "both")
            if note.low is not None:
                schema["exclusiveMinimum" if low else "minimum"] = note.low
            if note.high is not None:
                schema["exclusiveMaximum" if high else "maximum"] = note.high
        elif isinstance(note, Pattern):
            schema["pattern"] = f"^(?:{note.regex})$"
    return schema


def _built(kind: type[T], values: Any) -> T:
    if not isinstance(values, Mapping):
        raise _Wrong("an object", values)
    hints = _fields(kind)
    given = {str(key): value for key, value in values.items() if not str(key).startswith("_")}
    unknown = sorted(given.keys() - hints.keys())
    if unknown:
        raise _Wrong(f"an object of known keys ({', '.join(hints)})", ", ".join(unknown))
    missing = [
        field.name
        for field in dataclasses.fields(kind)  # type: ignore[arg-type]
        if field.init and not _has_default(field) and field.name not in given
    ]
    if missing:
        raise _Wrong(f"an object with the keys {', '.join(missing)}", ", ".join(given) or "none")
    read = {}
    for name, value in given.items():
        try:
            read[name] = _fitted(hints[name], value)
        except _Wrong as wrong:
            raise wrong.inside(name) from None
    return kind(**read)


def _fitted(hint: Any, value: Any) -> Any:
    """Return the value as its annotation wants it; JSON lists become tuples, objects dataclasses."""
    inner, notes = _without_notes(hint)
    options = _options(inner)
    if options is not None:
        return _one_of(options, value)
    fitted = _fitted_plain(inner, value)
    for note in notes:
        if isinstance(note, Range) and not note.holds(fitted):
            raise _Wrong(f"{_named(inner)} {note}", value)
        if isinstance(note, Pattern) and not re.fullmatch(note.regex, fitted):
            raise _Wrong(note.meaning, value)
    if isinstance(fitted, float) and not notes and not abs(fitted) <= LARGEST:
        raise _Wrong("a number of usual size", value)
    return fitted


def _fitted_plain(inner: Any, value: Any) -> Any:
    origin, arguments = get_origin(inner), get_args(inner)
    if inner is Any:
        return value
    if origin is Literal:
        if not any(type(value) is type(choice) and value == choice for choice in arguments):
            raise _Wrong("one of " + ", ".join(map(str, arguments)), value)
        return value
    if dataclasses.is_dataclass(inner) and isinstance(inner, type):
        return value if isinstance(value, inner) else _built(inner, value)
    if _is_list(origin):
        return _fitted_list(origin, arguments, value)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise _Wrong("an object", value)
        return {key: _placed(key, arguments[1], item) for key, item in value.items()}
    if inner is float and type(value) is int:
        return float(value)
    if inner is Path and isinstance(value, str):
        return Path(value)
    if not (isinstance(value, inner) if inner in (Path, dict) else type(value) is inner):
        raise _Wrong(_named(inner), value)
    return value


def _fitted_list(origin: Any, arguments: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise _Wrong("a list", value)
    items = _list_items(origin, arguments)
    if items is None:
        if len(value) != len(arguments):
            raise _Wrong(f"a list of {len(arguments)}", value)
        return tuple(_placed(f"[{at}]", arguments[at], item) for at, item in enumerate(value))
    return tuple(_placed(f"[{at}]", items, item) for at, item in enumerate(value))


def _placed(place: str, hint: Any, value: Any) -> Any:
    try:
        return _fitted(hint, value)
    except _Wrong as wrong:
        raise wrong.inside(place) from None


def _one_of(options: Sequence[Any], value: Any) -> Any:
    if value is None and type(None) in options:
        return None
    reasons = []
    for option in options:
        if option is type(None):
            continue
        try:
            return _fitted(option, value)
        except _Wrong as wrong:
            reasons.append(wrong)
    deepest = max(reasons, key=lambda wrong: len(wrong.place))
    if deepest.place or len(reasons) == 1:
        ending = " or null" if not deepest.place and type(None) in options else ""
        raise _Wrong(deepest.expected + ending, deepest.value, deepest.place)
    raise _Wrong(" or ".join(wrong.expected for wrong in reasons), value)


def _named(inner: Any) -> str:
    names: dict[Any, str] = {
        bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path", dict: "an object",
    }  # fmt: skip
    return names.get(inner, str(inner))


def _shown(value: object) -> str:
    if isinstance(value, (Mapping, list, tuple)):
        return {True: "an object", False: "a list"}[isinstance(value, Mapping)] + f" of {len(value)}"
    text = repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def _without_notes(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(hint) is Annotated:
        inner, *notes = get_args(hint)
        return inner, tuple(notes)
    return hint, ()


def _options(inner: Any) -> tuple[Any, ...] | None:
    return get_args(inner) if get_origin(inner) in (Union, types.UnionType) else None


def _is_list(origin: Any) -> bool:
    return origin in (tuple, list, Sequence)


def _list_items(origin: Any, arguments: tuple[Any, ...]) -> Any | None:
    """The type of every item; None where each place has its own."""
    if origin is tuple:
        return arguments[0] if len(arguments) == 2 and arguments[1] is Ellipsis else None
    return arguments[0]


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


@lru_cache(maxsize=None)  # noqa: UP033
def _fields(kind: Callable[..., Any]) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]


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
