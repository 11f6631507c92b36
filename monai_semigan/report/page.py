# SPDX-License-Identifier: Apache-2.0
"""Pieces of a self-contained HTML page: one file, no requests, safe with any file name."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

__all__ = ["MISSING", "RESEARCH_NOTICE", "facts", "failure_list", "figure", "image_tag", "page", "sparkline", "table"]

MISSING = "\N{EN DASH}"
"""What stands in a table for a number that does not exist."""

RESEARCH_NOTICE = "Research use only. Not a medical device; not for diagnosis or treatment."


def page(title: str, body: str, *, footer: str = "") -> str:
    """Wrap a body into a whole page with its style and script."""
    templates = files(__package__) / "templates"
    style, script = (templates.joinpath(name).read_text(encoding="utf-8") for name in ("style.css", "sort.js"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"{body}\n<footer>{footer}</footer>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numeric_from: int,
    caption: str,
    sortable: bool = False,
) -> str:
    """Build a table; columns from ``numeric_from`` on are numbers: floats with three decimals, None as a dash.

    Args:
        head: Column heads.
        rows: Cells; text is escaped.
        numeric_from: First column that is aligned to the right.
        caption: What screen readers call the table.
        sortable: A click on a head sorts by it.
    """

    def cell(value: object, at: int, tag: str) -> str:
        text = escape(MISSING if value is None else f"{value:.3f}" if isinstance(value, float) else str(value))
        inner = f'<button type="button">{text}</button>' if tag == "th" and sortable else text
        kind = ' class="number"' if at >= numeric_from else ""
        scope = ' scope="col"' if tag == "th" else ""
        return f"<{tag}{scope}{kind}>{inner}</{tag}>"

    def line(values: Sequence[object], tag: str) -> str:
        return "<tr>" + "".join(cell(value, at, tag) for at, value in enumerate(values)) + "</tr>"

    body = "\n".join(line(row, "td") for row in rows)
    kind = ' class="sortable"' if sortable else ""
    label = escape(caption)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}"><table{kind} aria-label="{label}">'
        f"<thead>{line(head, 'th')}</thead><tbody>\n{body}\n</tbody></table></div>"
    )


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Build a list of names and values."""
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in rows)
    return f'<dl class="facts">{items}</dl>'


def figure(caption: str, value: str, *, note: str = "", is_bad: bool = False) -> str:
    """Build one headline number, with a smaller note below."""
    kind = "figure bad" if is_bad else "figure"
    small = f"<small>{escape(note)}</small>" if note else ""
    return f'<div class="{kind}"><b>{escape(value)}</b>{escape(caption)}{small}</div>'


def failure_list(title: str, failures: Sequence[tuple[str, str]]) -> str:
    """Build the section of what failed, with the reasons; empty if nothing did."""
    if not failures:
        return ""
    items = "".join(f"<li><b>{escape(name)}</b>: {escape(reason)}</li>" for name, reason in failures)
    return f'<section><h2>{escape(title)} ({len(failures)})</h2><ul class="failures">{items}</ul></section>'


def image_tag(content: bytes, alternative: str, *, kind: str = "") -> str:
    """Embed a PNG or JPEG."""
    media = "png" if content.startswith(b"\x89PNG") else "jpeg"
    encoded = base64.b64encode(content).decode()
    name = f' class="{escape(kind)}"' if kind else ""
    return f'<img{name} alt="{escape(alternative)}" src="data:image/{media};base64,{encoded}">'


def sparkline(values: Sequence[float], caption: str, *, width: int = 220, height: int = 44) -> str:
    """Draw a falling or rising series as a small inline SVG; empty for fewer than two values, or without an end."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    points = " ".join(
        f"{2 + at * (width - 4) / (len(values) - 1):.1f},{2 + (high - value) / span * (height - 4):.1f}"
        for at, value in enumerate(values)
    )
    return (
        f'<svg role="img" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f"<title>{escape(caption)}</title>"
        f'<polyline fill="none" stroke="#b34700" stroke-width="1.5" points="{points}"/></svg>'
    )
