# SPDX-License-Identifier: Apache-2.0
"""Read settings dataclasses from JSON, check them, and write them."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from monai_semigan.errors import ConfigError, SemiGanError
from monai_semigan.settings.hints import (
    Pattern,
    Range,
    choices_of,
    default_of,
    fields_of,
    has_default,
    is_list,
    item_hint,
    without_notes,
)

__all__ = ["check_settings", "read_settings", "to_json"]

T = TypeVar("T")

LARGEST = 1e9
"""Of a float without a range: far above what makes sense, and finite."""

SHOWN = 60
"""Characters of a wrong value or key that an error quotes."""

NAMES: dict[Any, str] = {
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "a whole number",
    Path: "a path",
    str: "text",
}


class _MisfitError(Exception):
    """A value does not fit: what is wrong, of which place."""

    def __init__(self, wrong: str, place: str = "") -> None:
        super().__init__(wrong)
        self.wrong, self.place = wrong, place

    def inside(self, place: str) -> _MisfitError:
        separator = "." if self.place and self.place[0] != "[" else ""
        return _MisfitError(self.wrong, place + separator + self.place)


def read_settings(kind: type[T], values: Any, name: str, *, error: type[SemiGanError] = ConfigError) -> T:
    """Build a settings dataclass from what JSON holds; what an object leaves out stays as the field's default has it.

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
    except _MisfitError as misfit:
        shown = _escaped(name)
        where = f"`{misfit.place}` in `{shown}`" if misfit.place else f"`{shown}`"
        raise error(f"{where} must {misfit.wrong}") from None


def check_settings(settings: Any) -> None:
    """Check all fields of a settings dataclass; call it in ``__post_init__``.

    Raises:
        ConfigError: A field has another type or range than its annotation says.
    """
    try:
        for name, hint in fields_of(type(settings)).items():
            _placed(name, hint, getattr(settings, name))
    except _MisfitError as misfit:
        raise ConfigError(f"`{misfit.place}` must {misfit.wrong}") from None


def to_json(settings: Any) -> Any:
    """Return JSON types: what `read_settings` reads."""
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        return {name: to_json(getattr(settings, name)) for name in fields_of(type(settings))}
    if isinstance(settings, Mapping):
        return {str(key): to_json(value) for key, value in settings.items()}
    if isinstance(settings, (list, tuple)):
        return [to_json(value) for value in settings]
    return str(settings) if isinstance(settings, Path) else settings


def _built(kind: type[T], values: Any, start: T | None = None) -> T:
    """Build a dataclass; what the values leave out is that of ``start``, or else of the class."""
    if not isinstance(values, Mapping):
        raise _unlike("an object", values)
    hints = fields_of(kind)
    given = {str(key): value for key, value in values.items() if not str(key).startswith("_")}
    unknown = sorted(given.keys() - hints.keys())
    if unknown:
        raise _unlike(f"an object of known keys ({', '.join(hints)})", ", ".join(unknown))
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    missing = [name for name in hints if name not in given and not has_default(fields[name])]
    if missing:
        raise _unlike(f"an object with the keys {', '.join(missing)}", ", ".join(given) or "none")
    before = {name: default_of(fields[name]) if start is None else getattr(start, name) for name in given}
    read = {name: _placed(name, hints[name], value, before[name]) for name, value in given.items()}
    try:
        return kind(**read) if start is None else dataclasses.replace(start, **read)  # type: ignore[type-var]
    except ConfigError as cause:  # the dataclass's own check of values that contradict each other
        raise _MisfitError(f"hold valid settings, but {cause}") from cause


def _placed(place: str, hint: Any, value: Any, start: Any = None) -> Any:
    try:
        return _fitted(hint, value, start)
    except _MisfitError as misfit:
        raise misfit.inside(_shortened(_escaped(place))) from misfit.__cause__


def _fitted(hint: Any, value: Any, start: Any = None) -> Any:
    """Return the value as its annotation wants it; JSON lists become tuples, objects dataclasses, from ``start`` on."""
    inner, notes = without_notes(hint)
    choices = choices_of(inner)
    fitted = _fitted_plain(inner, value, start) if choices is None else _one_of(choices, value, start)
    for note in notes:
        if isinstance(note, Range) and not note.holds(fitted):
            raise _unlike(f"{_named(inner)} {note}", value)
        if isinstance(note, Pattern) and not re.fullmatch(note.regex, fitted):
            raise _unlike(note.meaning, value)
    has_range = any(isinstance(note, Range) for note in notes)
    if isinstance(fitted, float) and not (math.isfinite(fitted) if has_range else abs(fitted) <= LARGEST):
        raise _unlike("a number of usual size", value)
    return fitted


def _fitted_plain(inner: Any, value: Any, start: Any) -> Any:
    origin = get_origin(inner)
    if inner is Any:
        return value
    if origin is Literal:
        if not any(type(value) is type(choice) and value == choice for choice in get_args(inner)):
            raise _unlike(_named(inner), value)
        return value
    if dataclasses.is_dataclass(inner) and isinstance(inner, type):
        return value if isinstance(value, inner) else _built(inner, value, start if type(start) is inner else None)
    if is_list(inner):
        return _fitted_list(inner, value)
    if origin is not None and issubclass(origin, Mapping):
        return _fitted_mapping(get_args(inner)[1], value)
    return _fitted_scalar(inner, value)


def _fitted_scalar(inner: Any, value: Any) -> Any:
    if inner is float and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise _unlike("a number of usual size", value) from None
    if inner is Path and isinstance(value, str):
        return Path(value)
    fits = isinstance(value, inner) if inner in (Path, dict) else type(value) is inner  # True is no whole number
    if not fits:
        raise _unlike(_named(inner), value)
    return value


def _fitted_list(inner: Any, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise _unlike("a list", value)
    items = item_hint(inner)
    hints = get_args(inner) if items is None else (items,) * len(value)
    if len(value) != len(hints):
        raise _unlike(f"a list of {len(hints)}", value)
    return tuple(_placed(f"[{at}]", hint, item) for at, (hint, item) in enumerate(zip(hints, value, strict=True)))


def _fitted_mapping(hint: Any, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise _unlike("an object", value)
    return {key: _placed(key, hint, item) for key, item in value.items()}


def _one_of(choices: Sequence[Any], value: Any, start: Any) -> Any:
    """Fit to the first that takes the value; of several reasons against it, give the one that looked deepest."""
    if value is None and type(None) in choices:
        return None
    tried = [_attempt(choice, value, start) for choice in choices if choice is not type(None)]
    fitting = [result for result in tried if not isinstance(result, _MisfitError)]
    if fitting:
        return fitting[0]
    deepest = max(tried, key=lambda misfit: len(misfit.place))
    if deepest.place or len(tried) == 1:
        raise deepest
    raise _unlike(" or ".join(_named(choice) for choice in choices if choice is not type(None)), value)


def _named(hint: Any) -> str:
    inner, _ = without_notes(hint)
    if get_origin(inner) is Literal:
        return "one of " + ", ".join(map(str, get_args(inner)))
    return NAMES.get(inner, "a list" if is_list(inner) else "an object")


def _attempt(hint: Any, value: Any, start: Any) -> Any:
    try:
        return _fitted(hint, value, start)
    except _MisfitError as misfit:
        return misfit


def _unlike(expected: str, value: object) -> _MisfitError:
    return _MisfitError(f"be {expected}, got {_shown(value)}.")


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return f"an object of {len(value)}"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, int) and abs(value) > LARGEST:  # Python refuses to write very long ones
        return "a very large number" if value > 0 else "a very small number"
    return _shortened(repr(value))


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def _escaped(text: str) -> str:
    return text if text.isprintable() else repr(text)[1:-1]
