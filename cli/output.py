# SPDX-License-Identifier: Apache-2.0
"""What the commands print: a progress bar on stderr, tables on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import click

from monai_semigan.types import StageProgress

__all__ = ["clock", "is_watched", "progress_bar", "show_notes", "stage_bars", "text_table"]

BAR_WIDTH = 30
REFRESH_SECONDS = 0.2


@contextmanager
def progress_bar(label: str, *, unit: str = "", divisor: int = 1) -> Iterator[Callable[[int, int], None]]:
    """Yield a function ``(done, total)`` that draws a bar with the time left on stderr.

    Silent where no terminal is watching, and after ``semigan --quiet``.

    Args:
        label: Shown before the bar.
        unit: Shown behind the counts.
        divisor: Counts are shown divided by this, such as 1000 for kimg.
    """
    is_shown = is_watched()
    started, drawn = time.monotonic(), -REFRESH_SECONDS
    first: int | None = None

    def draw(done: int, total: int) -> None:
        nonlocal drawn, first
        now = time.monotonic()
        first = done if first is None else first
        if not is_shown or (now - drawn < REFRESH_SECONDS and done < total):
            return
        drawn = now
        share = done / total if total else 1.0
        filled = round(BAR_WIDTH * share)
        progressed = done - first
        left = (now - started) / progressed * (total - done) if progressed > 0 else None
        shown = f"{done / divisor:.1f}/{total / divisor:.1f}" if divisor > 1 else f"{done}/{total}"
        remaining = f", {clock(left)} left" if left is not None and done < total else ""
        click.echo(
            f"\r{label} [{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {shown}{unit}{remaining}   ", nl=False, err=True
        )

    try:
        yield draw
    finally:
        if is_shown and drawn > 0:
            click.echo(err=True)


def is_watched() -> bool:
    """Whether a terminal shows stderr, and ``semigan --quiet`` was not asked for."""
    return sys.stderr.isatty() and not _is_quiet()


@contextmanager
def stage_bars(label: str = "", *, unit: str = "", divisor: int = 1) -> Iterator[StageProgress]:
    """Yield a function ``(stage, done, total)`` that draws a bar for each stage, one under another.

    Args:
        label: Shown before the stage's name.
        unit: As of `progress_bar`, like ``divisor``.
        divisor: See there.
    """
    bars: dict[str, Callable[[int, int], None]] = {}
    with ExitStack() as current:

        def draw(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                current.close()  # the bar before is done: its line ends
                bars[stage] = current.enter_context(progress_bar(f"{label}{stage}", unit=unit, divisor=divisor))
            bars[stage](done, total)

        yield draw


def show_notes(lines: Iterable[str], *, label: str = "") -> None:
    """Print lines on stderr, each behind a label; nothing after ``semigan --quiet``."""
    if not _is_quiet():
        for line in lines:
            click.echo(f"{label}{line}", err=True)


def text_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Align columns: text to the left, numbers to the right with three decimals."""
    cells = [[_text(value) for value in row] for row in [head, *rows]]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    is_number = [
        bool(rows) and all(isinstance(row[at], (int, float)) or row[at] is None for row in rows)
        for at in range(len(head))
    ]
    lines = [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, is_number, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join(lines)


def _is_quiet() -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.find_root().params.get("quiet", False))


def _text(value: object) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def clock(seconds: float) -> str:
    """Write a time as minutes and seconds, with hours if there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
