# SPDX-License-Identifier: Apache-2.0
"""Plots of an evaluation or a training as inline SVG, drawn with matplotlib without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLORS",
    "MAX_CLASSES",
    "BandPoint",
    "band_picture",
    "band_plot",
    "bland_altman_plot",
    "curve_plot",
    "distribution_plot",
    "ranking_plot",
]

WIDTH, HEIGHT = 5.2, 3.2
"""Inches."""

BAND_HEIGHT = 4.0
"""Of plots of many curves, inches."""

DOTS_PER_INCH = 200

ROW, FRAME = 0.55, 0.9
"""Height of a class and of the axis in plots with a row per class, inches."""

MAX_CLASSES = 12
"""Classes that fit into one plot: the callers choose."""

MAX_NAME = 24
"""Characters of a class name that a plot shows."""

COLORS = ("#d55e00", "#2f80d0", "#5f9a2d", "#b05a9c", "#a88500", "#119a9b")
"""Colors of the classes, in turn: seen on white and on black, apart for color-blind readers."""

GREY = "#7d8a96"
INK = "#010203"
"""Stands for the color of the page's text until the plot is written."""

LIMITS = 1.96
"""Standard deviations on either side of the mean that hold 95 % of the differences (Bland and Altman 1986)."""

MIN_BOX = 5
"""Fewer values are shown as points alone: their quartiles say nothing."""

MIN_PAIRS = 3

MAX_POINTS = 2000
"""More points per class would not be told apart and make the page heavy: an even choice by rank is drawn."""


def distribution_plot(values: Mapping[str, Sequence[float]], *, axis: str) -> str:
    """Draw every value as a point, with a box of the quartiles behind it, per class.

    Args:
        values: Values per class.
        axis: Label of the axis.

    Returns:
        SVG in the colors of the page's text; empty where there is no value.
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
                    boxprops={"color": GREY},
                    whiskerprops={"color": GREY},
                    capprops={"color": GREY},
                    medianprops={"color": INK, "linewidth": 1.6},
                )
            points = _thinned(np.sort(series))
            spread = rng.uniform(-0.16, 0.16, len(points))
            axes.plot(points, at + spread, "o", markersize=4.5, alpha=0.7, color=_color(at), markeredgewidth=0)
        axes.set_ylim(len(shown) - 0.4, -0.6)  # the first class on top
        axes.set_yticks(range(len(shown)), [_short(name) for name in shown], parse_math=False)
        axes.set_xlabel(axis)
        axes.grid(axis="x", linewidth=0.5, alpha=0.5, color=GREY)

    return _figure(draw, min(HEIGHT, FRAME + ROW * len(shown)))


def ranking_plot(values: Mapping[str, Sequence[float]], *, axis: str) -> str:
    """Draw the values of each class in ascending order: how many cases are how bad.

    Args:
        values: Values per class.
        axis: Label of the axis.

    Returns:
        SVG in the colors of the page's text; empty where there is no value.
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
        axes.grid(linewidth=0.5, alpha=0.5, color=GREY)
        if len(shown) > 1:
            _legend(axes, list(shown))

    return _figure(draw)


def bland_altman_plot(pairs: Mapping[str, Sequence[tuple[float, float]]], *, axis: str) -> str:
    """Draw the difference of each pair over its mean, with the mean difference and its 95 % limits of agreement.

    Args:
        pairs: Predicted and reference value of each case, per class.
        axis: What is measured, with its unit.

    Returns:
        SVG in the colors of the page's text; empty with fewer than three pairs: they have no limits.
    """
    shown = {name: np.asarray(series, dtype=np.float64) for name, series in pairs.items() if len(series)}
    if sum(map(len, shown.values())) < MIN_PAIRS:
        return ""
    differences = np.concatenate([series[:, 0] - series[:, 1] for series in shown.values()])
    middle, spread = float(differences.mean()), LIMITS * float(differences.std(ddof=1))

    def draw(axes: Axes) -> None:
        for at, series in enumerate(shown.values()):
            mean, difference = series.mean(axis=1), series[:, 0] - series[:, 1]
            axes.plot(
                mean[:MAX_POINTS], difference[:MAX_POINTS], "o", markersize=4, alpha=0.6, color=_color(at),
                markeredgewidth=0,
            )  # fmt: skip
        for value, style in ((middle, "-"), (middle - spread, "--"), (middle + spread, "--")):
            axes.axhline(value, linestyle=style, linewidth=1.2, color=GREY)
            axes.annotate(
                f"{value:.1f}", (1, value), xycoords=("axes fraction", "data"), xytext=(-2, 2),
                textcoords="offset points", ha="right", fontsize="small",
            )  # fmt: skip
        axes.set_xlabel(f"mean of both, {axis}")
        axes.set_ylabel("predicted minus reference")
        if len(shown) > 1:
            _legend(axes, list(shown))

    return _figure(draw)


def curve_plot(series: Mapping[str, Sequence[tuple[float, float]]], *, x_axis: str, y_axis: str) -> str:
    """Draw how numbers change over a training.

    Args:
        series: Points ``(x, y)`` by name, at most as many as there are colors.
        x_axis: Label of the x axis.
        y_axis: Label of the y axis.

    Returns:
        SVG in the colors of the page's text; empty where there are fewer than two points.
    """
    shown = {name: np.asarray(points, dtype=np.float64) for name, points in series.items() if len(points) > 1}
    if not shown:
        return ""

    def draw(axes: Axes) -> None:
        for at, points in enumerate(shown.values()):
            axes.plot(points[:, 0], points[:, 1], _dash(at), linewidth=1.6, color=_color(at))
        axes.set_xlabel(x_axis)
        axes.set_ylabel(y_axis)
        axes.grid(linewidth=0.5, alpha=0.5, color=GREY)
        if len(shown) > 1:
            _legend(axes, list(shown))

    return _figure(draw)


@dataclass(frozen=True)
class BandPoint:
    """A point of `band_plot`.

    Attributes:
        x: Above 0.
        y: Its height.
        low: Lower end of its interval; None for none.
        high: Upper end.
        is_marked: Drawn hollow.
    """

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    is_marked: bool = False


def band_plot(series: Mapping[str, Sequence[BandPoint]], *, x_axis: str, y_axis: str) -> str:
    """Draw curves with the band of their intervals over a logarithmic axis of counts.

    Args:
        series: Points by name.
        x_axis: Label of the x axis.
        y_axis: Label of the y axis.

    Returns:
        SVG in the colors of the page's text; empty where there is no point.
    """
    shown = {name: points for name, points in series.items() if points}
    return _figure(lambda axes: _draw_bands(axes, shown, x_axis, y_axis), BAND_HEIGHT) if shown else ""


def band_picture(series: Mapping[str, Sequence[BandPoint]], *, x_axis: str, y_axis: str) -> bytes:
    """Draw what `band_plot` draws, black on white, as a PNG; there must be a point."""
    shown = {name: points for name, points in series.items() if points}
    stream = BytesIO()
    drawing = _drawing(lambda axes: _draw_bands(axes, shown, x_axis, y_axis), BAND_HEIGHT)
    drawing.savefig(stream, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return stream.getvalue()


def _draw_bands(axes: Axes, shown: Mapping[str, Sequence[BandPoint]], x_axis: str, y_axis: str) -> None:
    lines, counts = [], sorted({point.x for points in shown.values() for point in points})
    for at, points in enumerate(shown.values()):
        ranked, color = sorted(points, key=lambda point: point.x), _color(at)
        x, y = ([getattr(point, name) for point in ranked] for name in ("x", "y"))
        low, high = ([point.y if end is None else end for point, end in pairs] for pairs in _ends(ranked))
        lines += axes.plot(x, y, _dash(at), marker="o", markersize=4, linewidth=1.6, color=color)
        axes.fill_between(x, low, high, color=color, alpha=0.12, linewidth=0)
        axes.vlines(x, low, high, color=color, alpha=0.5, linewidth=1.0)  # a single point has no band
        marked = [point for point in ranked if point.is_marked]
        axes.plot(
            [point.x for point in marked], [point.y for point in marked], "o", markersize=7, markerfacecolor="none",
            color=color,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(counts[0] / 1.25, counts[-1] * 1.25)
    axes.set_xticks(counts, [f"{count:g}" for count in counts])
    axes.minorticks_off()
    axes.set_xlabel(x_axis)
    axes.set_ylabel(y_axis)
    axes.grid(linewidth=0.5, alpha=0.5, color=GREY)
    legend = axes.legend(lines, map(_short, shown), frameon=False, fontsize="small", loc="best")
    for text in legend.get_texts():
        text.set_parse_math(False)


def _ends(points: Sequence[BandPoint]) -> list[list[tuple[BandPoint, float | None]]]:
    return [[(point, point.low) for point in points], [(point, point.high) for point in points]]


def _legend(axes: Axes, names: Sequence[str]) -> None:
    legend = axes.legend(axes.lines[: len(names)], map(_short, names), frameon=False, fontsize="small")
    for text in legend.get_texts():
        text.set_parse_math(False)


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


def _figure(draw: Any, height: float = HEIGHT) -> str:
    stream = StringIO()
    bare = {"Date": None, "Creator": None, "Format": None, "Type": None}
    import matplotlib as mpl  # noqa: PLC0415  (0.4 s to import)

    ink = dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK)
    with mpl.rc_context({"svg.hashsalt": "", "svg.fonttype": "none", "font.family": "sans-serif", **ink}):
        _drawing(draw, height).savefig(stream, format="svg", metadata=bare, transparent=True)
    text = stream.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor")


def _drawing(draw: Any, height: float) -> Figure:
    from matplotlib.figure import Figure  # noqa: PLC0415  (no pyplot: no display, no global state)

    drawing = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = drawing.subplots()
    draw(axes)
    axes.spines[["top", "right"]].set_visible(False)
    return drawing
