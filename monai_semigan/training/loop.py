# SPDX-License-Identifier: Apache-2.0
"""The loop that trains: iterations, ticks, snapshots, resuming, the stop at NaN. What it trains is a `Task`."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
from torch import Tensor, nn

from monai_semigan.errors import CheckpointError, TrainingError
from monai_semigan.settings import Range, check_settings
from monai_semigan.training.ranks import Ranks
from monai_semigan.training.run_folder import RunFolder
from monai_semigan.training.snapshot import (
    latest_snapshot,
    load_snapshot,
    random_state,
    restore_random_state,
    save_snapshot,
)
from monai_semigan.types import PathLike, StageProgress

__all__ = ["RunSettings", "Task", "TrainingLoop"]

logger = logging.getLogger(__name__)

RANK_SEED = 1_000_003
"""Distance of the processes' seeds."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How long to train and how often to report.

    Attributes:
        total_kimg: Thousands of images to train on, one image or more; only this may change when a run is resumed.
        batch_size: Images of each kind per iteration, over all processes.
        tick_kimg: Thousands of images between lines of ``stats.jsonl``, sample sheets and snapshots.
        keep_snapshots: Snapshots to keep.
        seed: Seed of everything random.
        num_samples: Samples per sheet.
    """

    total_kimg: Annotated[float, Range(0.001, 1e6)] = 200.0
    batch_size: Annotated[int, Range(1, 65536)] = 16
    tick_kimg: Annotated[float, Range(0, 1e6, exclusive="low")] = 4.0
    keep_snapshots: Annotated[int, Range(1, 10_000)] = 2
    seed: Annotated[int, Range(0, 2**31)] = 0
    num_samples: Annotated[int, Range(1, 1024)] = 32

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def total_images(self) -> int:
        """Images to train on."""
        return round(self.total_kimg * 1000)


class Task(Protocol):
    """What a `TrainingLoop` trains.

    Attributes:
        name: Of the stage, for who watches.
        settings: Length and intervals.
        device: Where the networks are.
        ranks: The processes that train together.
        config: What the task was asked for, as JSON types; a resumed run must be asked for the same.
    """

    name: str
    settings: RunSettings
    device: torch.device
    ranks: Ranks
    config: dict[str, Any]

    def prepare(self, folder: Path, progress: StageProgress | None) -> None:
        """Do what comes before the first iteration, or find it done in the run folder."""

    def iterate(self, images_seen: int) -> dict[str, Tensor]:
        """Run one iteration on this rank's share of the images from ``images_seen`` on; scalars without graph."""

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks in training, to be checked for NaN."""

    def state(self) -> dict[str, Any]:
        """Return everything that the next iteration depends on, except the random state and ``images_seen``."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""

    def report(self, folder: Path, images_seen: int) -> dict[str, float]:
        """Draw pictures into the run folder and return further numbers for this tick; the first rank alone is asked."""


@dataclass
class _Means:
    """Means of scalars over a tick, and its speed."""

    images_before: int
    sums: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def add(self, stats: dict[str, Tensor]) -> None:
        for name, value in stats.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def read(self, ranks: Ranks) -> dict[str, float]:
        ranks.average_(self.sums.values())
        return {name: float(value) / self.counts[name] for name, value in self.sums.items()}

    def rate(self, images_seen: int) -> float:
        return (images_seen - self.images_before) / (time.monotonic() - self.started)


class TrainingLoop:
    """Iterate a task until enough images are seen; report, draw and save at every tick.

    Args:
        task: What is trained.
        run_dir: The run folder; nothing is read or written there before `run`.
        resume: Continue the run in ``run_dir`` from its latest snapshot; on a CPU with the same numbers as without the
            interruption, if there are as many processes as before.
        progress: Called with the stage, the images seen and their total after every iteration.
    """

    def __init__(
        self, task: Task, run_dir: PathLike, *, resume: bool = False, progress: StageProgress | None = None
    ) -> None:
        self.task, self.run_dir, self.resume, self.progress = task, Path(run_dir), resume, progress
        self.images_seen = 0

    def run(self) -> Path:
        """Train; return the last snapshot.

        Raises:
            ConfigError: A run lies in the folder and is not to be resumed, or was made with other settings.
            CheckpointError: The latest snapshot cannot be read.
            TrainingError: Another process trains there, or a loss or weight became NaN or infinite; the last
                good snapshot is named.
        """
        task = self.task
        run = {name: value for name, value in asdict(task.settings).items() if name != "total_kimg"}
        folder = (
            RunFolder(self.run_dir, {**task.config, "run": run}, resume=self.resume) if task.ranks.is_first else None
        )
        try:
            self._start(folder)
            if folder is not None:
                folder.note_length(task.settings.total_kimg)
            task.prepare(self.run_dir, self.progress)
            self._iterate(folder)
        finally:
            if folder is not None:
                folder.close()
        last = latest_snapshot(self.run_dir)
        assert last is not None, "every run ends with a tick"
        return last

    def _start(self, folder: RunFolder | None) -> None:
        task = self.task
        torch.manual_seed(task.settings.seed + task.ranks.rank * RANK_SEED)
        snapshot = latest_snapshot(self.run_dir) if self.resume else None
        if snapshot is not None:
            try:
                self._restore(load_snapshot(snapshot))
            except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
                raise CheckpointError(
                    f"`{snapshot}` must hold the state of this run, but is damaged or of another one "
                    f"({type(error).__name__}). Delete it to resume from the one before."
                ) from error
        if folder is not None:
            folder.drop_stats_after(self.images_seen)

    def _restore(self, saved: dict[str, Any]) -> None:
        task = self.task
        task.load_state(saved["step"])
        self.images_seen = saved["images_seen"]
        states = [saved["random"], *saved.get("random_of_others", [])]
        if len(states) == task.ranks.size:
            restore_random_state(states[task.ranks.rank], task.device)
        else:
            torch.manual_seed(task.settings.seed + self.images_seen + task.ranks.rank * RANK_SEED)
            logger.warning("%d processes go on where %d were: other random numbers", task.ranks.size, len(states))

    def _iterate(self, folder: RunFolder | None) -> None:
        settings, total = self.task.settings, self.task.settings.total_images
        tick = max(round(settings.tick_kimg * 1000), settings.batch_size)
        means = _Means(self.images_seen)
        while self.images_seen < total:
            means.add(self.task.iterate(self.images_seen))
            ticks_before = self.images_seen // tick
            self.images_seen += settings.batch_size
            if self.progress is not None:
                self.progress(self.task.name, min(self.images_seen, total), total)
            if self.images_seen // tick > ticks_before or self.images_seen >= total:
                rate = means.rate(self.images_seen)
                self._tick(folder, means.read(self.task.ranks), rate)
                means = _Means(self.images_seen)

    def _tick(self, folder: RunFolder | None, means: dict[str, float], images_per_second: float) -> None:
        task, seen = self.task, self.images_seen
        broken = sorted(name for name, value in means.items() if not math.isfinite(value))
        broken += [name for name, network in task.networks().items() if not _is_finite(network)]
        if broken:
            last = latest_snapshot(self.run_dir)
            raise TrainingError(
                f"Training must stay finite, but {', '.join(broken)} became NaN or infinite before image "
                f"{seen}. The last good snapshot is {last or 'none'}. Lower the learning rate, then start anew."
            )
        first, *others = task.ranks.gather(random_state(task.device))
        if folder is not None:
            reported = task.report(self.run_dir, seen)
            folder.log(seen, {**means, **reported, "images_per_second": images_per_second})
            state = {"step": task.state(), "random": first, "random_of_others": others}
            path = save_snapshot(self.run_dir, seen, state, keep=task.settings.keep_snapshots)
            logger.info("%.1f kimg, %.1f images/s, %s", seen / 1000, images_per_second, path.name)
        task.ranks.wait()


def _is_finite(network: nn.Module) -> bool:
    return all(bool(parameter.isfinite().all()) for parameter in network.parameters())
