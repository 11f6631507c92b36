# SPDX-License-Identifier: Apache-2.0
"""Plots of an evaluation as inline SVG, drawn with matplotlib without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MAX_CLASSES", "distribution_plot", "ranking_plot"]

SIZE_INCHES = (5.2, 3.2)

MAX_CLASSES = 12
"""Classes that fit into one plot: the callers choose."""

MAX_NAME = 24
"""Characters of a class name that a plot shows."""

COLORS = ("#b34700", "#005ab5", "#4b7a1e", "#882e72", "#8a6d00", "#00797a")
"""Colors of the classes, in turn: dark enough for lines on white, apart for color-blind readers."""

MIN_BOX = 5
"""Fewer values are shown as points alone: their quartiles say nothing."""

MAX_POINTS = 2000
"""More points per class would not be told apart and make the page heavy: an even choice by rank is drawn."""


def distribution_plot(values: Mapping[str, Sequence[float]], *, title: str, axis: str) -> str:
    """Draw every value as a point, with a box of the quartiles behind it, per class.

    Args:
        values: Values per class.
        title: Caption below the plot, and its text for screen readers.
        axis: Label of the axis.

    Returns:
        A ``figure`` element; empty where there is no value.
    """
    shown = {name: np.asarray(series, dtype=np.float64) for name, series in values.items() if len(series)}
    if not shown:
        return ""

    def draw(axes: Axes) -> None:
        rng = np.random.default_rng(0)
        for at, series in enumerate(shown.values()):
            if len(series) >= MIN_BOX:
                axes.boxplot(
                    [series],
                    positions=[at],
                    orientation="horizontal",
                    widths=0.5,
                    showfliers=False,
                    boxprops={"color": "#5b6875"},
                    whiskerprops={"color": "#5b6875"},
                    capprops={"color": "#5b6875"},
                    medianprops={"color": "#1c2530", "linewidth": 1.6},
                )
            points = _thinned(np.sort(series))
            spread = rng.uniform(-0.16, 0.16, len(points))
            axes.plot(points, at + spread, "o", markersize=4, alpha=0.5, color=_color(at), markeredgewidth=0)
        axes.set_ylim(len(shown) - 0.4, -0.6)  # the first class on top
        axes.set_yticks(range(len(shown)), [_short(name) for name in shown], parse_math=False)
        axes.set_xlabel(axis)
        axes.grid(axis="x", linewidth=0.5, alpha=0.5)

    return _figure(draw, title)


def ranking_plot(values: Mapping[str, Sequence[float]], *, title: str, axis: str) -> str:
    """Draw the values of each class in ascending order: how many cases are how bad.

    Args:
        values: Values per class.
        title: Caption below the plot, and its text for screen readers.
        axis: Label of the axis.

    Returns:
        A ``figure`` element; empty where there is no value.
    """
    shown = {name: _thinned(np.sort(np.asarray(series, dtype=np.float64))) for name, series in values.items() if series}
    if not shown:
        return ""

    def draw(axes: Axes) -> None:
        for at, ranked in enumerate(shown.values()):
            share = 100 * (np.arange(len(ranked)) + 0.5) / len(ranked)
            marker = "o" if len(ranked) <= 30 else ""
            axes.plot(share, ranked, _dash(at), marker=marker, markersize=3.5, linewidth=1.6, color=_color(at))
        axes.set_xlim(0, 100)
        axes.set_xlabel("cases, worst first (%)")
        axes.set_ylabel(axis)
        axes.grid(linewidth=0.5, alpha=0.5)
        if len(shown) > 1:
            legend = axes.legend(axes.lines, map(_short, shown), frameon=False, fontsize="small")
            for text in legend.get_texts():
                text.set_parse_math(False)

    return _figure(draw, title)


def _color(at: int) -> str:
    return COLORS[at % len(COLORS)]


def _dash(at: int) -> str:
    return "-" if at < len(COLORS) else "--"


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 3] + "..."


def _thinned(ranked: np.ndarray) -> np.ndarray:
    """Keep at most `MAX_POINTS`, the first and the last among them."""
    if len(ranked) <= MAX_POINTS:
        return ranked
    chosen: np.ndarray = ranked[np.linspace(0, len(ranked) - 1, MAX_POINTS).round().astype(int)]
    return chosen


def _figure(draw: Any, title: str) -> str:
    import matplotlib as mpl  # noqa: PLC0415  (0.4 s to import)
    from matplotlib.figure import Figure  # noqa: PLC0415  (no pyplot: no display, no global state)

    stream = StringIO()
    with mpl.rc_context({"svg.hashsalt": title, "svg.fonttype": "none", "font.family": "sans-serif"}):
        drawing = Figure(figsize=SIZE_INCHES, layout="constrained")
        axes = drawing.subplots()
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        drawing.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue()
    svg = text[text.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)
    return f"<figure>{svg}<figcaption>{escape(title)}</figcaption></figure>"
