# SPDX-License-Identifier: Apache-2.0
"""A training that can be watched: what its folder holds so far, as a page that is written again at every tick."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_semigan.errors import InputError
from monai_semigan.files import escaped, write_text
from monai_semigan.pictures.figures import COLORS, curve_plot
from monai_semigan.templates import render
from monai_semigan.training.run_folder import CONFIG_NAME, STATS_NAME, read_length, read_stats
from monai_semigan.types import PathLike

__all__ = ["PAGE_NAME", "RunState", "read_run", "watch_run", "write_watch_page"]

PAGE_NAME = "watch.html"

RELOAD_S = 10
"""Seconds after which a page of a running training reads itself again."""

POLL_S = 2.0

SILENT_TICKS = 5
"""Ticks without a new line after which a run counts as ended or stopped."""

MIN_SILENCE_S = 120.0

SHEETS = ("samples-*.png", "validation-*.png")
"""Sample sheets of the GAN's and of the encoder's training, named by the images seen."""

PLOTS = (
    ("Dice on validation", "Dice", ("validation_dice", "best_dice")),
    ("Losses", "loss", ("loss_",)),
    ("Strength of the augmentation", "probability", ("augment_",)),
    ("Signs of the discriminators on real images", "mean sign", ("real_sign",)),
)
"""Title, axis, and beginnings of the names of what is drawn together."""


@dataclass(frozen=True, kw_only=True)
class RunState:
    """How far a training is.

    Attributes:
        folder: Of the stage.
        stats: Lines of ``stats.jsonl``.
        total_kimg: Thousands of images to train on; None for runs of older versions.
        age_s: Since the last line, seconds; None before the first.
    """

    folder: Path
    stats: tuple[dict[str, Any], ...]
    total_kimg: float | None
    age_s: float | None

    @property
    def kimg(self) -> float:
        """Thousands of images seen."""
        return float(self.stats[-1]["kimg"]) if self.stats else 0.0

    @property
    def images_per_second(self) -> float | None:
        """At the last tick."""
        return self.stats[-1].get("images_per_second") if self.stats else None

    @property
    def is_done(self) -> bool:
        """Whether all images were seen."""
        return self.total_kimg is not None and self.kimg >= self.total_kimg

    @property
    def is_running(self) -> bool:
        """Whether a next line is to be expected; a run that has said nothing for long is not."""
        if self.is_done or self.age_s is None:
            return not self.is_done
        tick = 1000 * (self.kimg - (self.stats[-2]["kimg"] if len(self.stats) > 1 else 0))
        expected_s = tick / self.images_per_second if self.images_per_second else 0.0
        return self.age_s < max(MIN_SILENCE_S, SILENT_TICKS * expected_s)

    @property
    def left_s(self) -> float | None:
        """Time to the end at the last tick's speed, seconds; None if it cannot be told."""
        if self.total_kimg is None or not self.images_per_second or self.is_done:
            return None
        return 1000 * (self.total_kimg - self.kimg) / self.images_per_second


def read_run(run: PathLike) -> RunState:
    """Read how far a training is: of a folder of ``train``, or of the stage of ``fit`` that was written to last.

    Raises:
        InputError: There is no training in the folder.
    """
    folder = Path(run)
    stages = [path.parent for pattern in (CONFIG_NAME, f"*/{CONFIG_NAME}") for path in folder.glob(pattern)]
    if not stages:
        raise InputError(
            f"`{escaped(run)}` must be the folder of a training, but holds no {CONFIG_NAME}. Name the folder that was "
            "given to `semigan train`, or its parent."
        )
    stage = max(stages, key=_last_change)
    lines = tuple(read_stats(stage))
    age_s = max(0.0, time.time() - (stage / STATS_NAME).stat().st_mtime) if lines else None
    return RunState(folder=stage, stats=lines, total_kimg=read_length(stage), age_s=age_s)


def write_watch_page(state: RunState) -> Path:
    """Write ``watch.html`` into the run's folder and return its path.

    Raises:
        OutputError: It cannot be written.
    """
    sheets = sorted((path for pattern in SHEETS for path in state.folder.glob(pattern)), key=lambda path: path.stem)
    shown = [("Samples now", sheets[-1])] if sheets else []
    shown += [("Samples before", sheets[-2])] if len(sheets) > 1 else []
    shown += [("Samples at the beginning", sheets[0])] if len(sheets) > 2 else []
    last = state.stats[-1] if state.stats else {}
    page = render(
        "training.html",
        name=state.folder.absolute().name,
        stage="running" if state.is_running else "done" if state.is_done else "no news: ended, stopped, or very slow",
        updated=time.strftime("%Y-%m-%d %H:%M:%S"),
        is_running=state.is_running,
        reload_s=RELOAD_S,
        tiles=_tiles(state),
        share=None if not state.total_kimg else min(1.0, state.kimg / state.total_kimg),
        plots=_plots(state.stats),
        sheets=[(f"{title} ({path.stem.rpartition('-')[2].lstrip('0') or '0'} images)", path.read_bytes())
                for title, path in shown],
        numbers=[(name.replace("_", " "), f"{value:.4g}") for name, value in last.items()],
        footer="Written by semigan watch; the curves are in TensorBoard too.",
    )  # fmt: skip
    path = state.folder / PAGE_NAME
    write_text(path, page)
    return path


def watch_run(run: PathLike, say: Callable[[RunState, Path], None]) -> None:
    """Write the page again whenever the run has a new line, until the run is done or silent.

    Args:
        run: As `read_run` takes it.
        say: Called with the state and the page each time it was written.

    Raises:
        InputError: There is no training in the folder.
        OutputError: The page cannot be written.
    """
    before: tuple[Path, int, bool] | None = None
    while True:
        state = read_run(run)
        now = state.folder, len(state.stats), state.is_running
        if now != before:
            say(state, write_watch_page(state))
            before = now
        if not state.is_running:
            return
        time.sleep(POLL_S)


def _tiles(state: RunState) -> list[tuple[str, str, str]]:
    of_total = "" if state.total_kimg is None else f"of {state.total_kimg:g} thousand"
    tiles = [(f"{state.kimg:.1f}", "thousand images seen", of_total)]
    if state.images_per_second:
        tiles.append((f"{state.images_per_second:.1f}", "images per second", ""))
    if state.left_s is not None and state.is_running:
        end = time.localtime(time.time() + state.left_s)
        tiles.append((_duration(state.left_s), "to go", "about " + time.strftime("%Y-%m-%d %H:%M", end)))
    best = [line["validation_dice"] for line in state.stats if "validation_dice" in line]
    if best:
        tiles.append((f"{best[-1]:.3f}", "Dice on validation", f"best {max(best):.3f}"))
    return tiles


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{max(minutes, 1)} min"


def _plots(stats: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    names = list(dict.fromkeys(name for line in stats for name in line))
    plots = []
    for title, axis, beginnings in PLOTS:
        chosen = [name for name in names if name.startswith(beginnings)][: len(COLORS)]
        series = {
            name.removeprefix("loss_").replace("_", " "): [(line["kimg"], line[name]) for line in stats if name in line]
            for name in chosen
        }
        plots.append((title, curve_plot(series, x_axis="thousand images", y_axis=axis)))
    return [(title, svg) for title, svg in plots if svg]


def _last_change(stage: Path) -> float:
    stats = stage / STATS_NAME
    return (stats if stats.exists() else stage / CONFIG_NAME).stat().st_mtime
