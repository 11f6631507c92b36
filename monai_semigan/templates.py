# SPDX-License-Identifier: Apache-2.0
"""Pages and pieces of HTML from the templates in ``report/templates``: every value is escaped, none is forgotten."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["MISSING", "render", "vendored"]

MISSING = "\N{EN DASH}"
"""What stands for a number that does not exist."""

FOLDER = "report/templates"

VENDORED = "report/vendor"
"""Programs of others that pages run, as they were released, with their licences."""

MEDIA = {b"\x89PNG": "png", b"RIFF": "webp", b"GIF8": "gif"}
"""Kinds of pictures by their first bytes."""


def render(template: str, **values: Any) -> str:
    """Fill a template; a value that it names and does not get is an error, as is text of ours that is not escaped."""
    return _environment().get_template(template).render(**values)


@lru_cache(maxsize=4)
def vendored(name: str) -> str:
    """Return a program of others as it was released, such as ``niivue.js``."""
    return files("monai_semigan").joinpath(VENDORED, name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415  (0.1 s to import)

    made = Environment(
        loader=PackageLoader("monai_semigan", FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": _number, "picture": _picture, "line": _line, "digest": _digest, "base64": _base64}
    return made


def _number(value: float | str | None, decimals: int = 3) -> str:
    """Write a float with so many decimals; text and whole numbers stay what they are."""
    if value is None:
        return MISSING
    return f"{value:.{decimals}f}" if isinstance(value, float) else str(value)


def _picture(content: bytes) -> str:
    """Return a PNG, WebP, GIF or JPEG as an address that needs no request."""
    media = next((name for start, name in MEDIA.items() if content.startswith(start)), "jpeg")
    return f"data:image/{media};base64,{_base64(content)}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _line(values: Sequence[float], width: int, height: int) -> str:
    """Return the points of a polyline through a series; empty for fewer than two values, or without an end."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = (width - 4) / (len(values) - 1)
    return " ".join(
        f"{2 + at * step:.1f},{2 + (high - value) / span * (height - 4):.1f}" for at, value in enumerate(values)
    )


def _digest(script: str) -> str:
    """Return what a Content-Security-Policy calls this script, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
