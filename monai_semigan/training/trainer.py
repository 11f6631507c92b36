# SPDX-License-Identifier: Apache-2.0
"""The loop that both trainings share: iterations, ticks, snapshots, resuming, the stop at NaN."""

from __future__ import annotations

import logging
import math
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monai_semigan.errors import ConfigError, TrainingError
from monai_semigan.training.ranks import ALONE, Ranks
from monai_semigan.training.run_folder import RunFolder
from monai_semigan.training.snapshot import (
    latest_snapshot,
    load_snapshot,
    random_state,
    restore_random_state,
    save_snapshot,
)
from monai_semigan.types import PathLike, Progress

__all__ = ["RunSettings", "Trainer"]

logger = logging.getLogger(__name__)

RANK_SEED = 1_000_003
"""Distance of the processes' seeds."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How long to train and how often to report.

    Attributes:
        total_kimg: Thousands of images to train on; only this may change when a run is resumed.
        batch_size: Images of each kind per iteration, over all processes.
        tick_kimg: Thousands of images between lines of ``stats.jsonl``, sample sheets and snapshots.
        keep_snapshots: Snapshots to keep.
        seed: Seed of everything random.
        num_samples: Samples per sheet.
    """

    total_kimg: float = 200.0
    batch_size: int = 16
    tick_kimg: float = 4.0
    keep_snapshots: int = 2
    seed: int = 0
    num_samples: int = 32

    def __post_init__(self) -> None:
        for name in ("total_kimg", "batch_size", "tick_kimg", "keep_snapshots", "num_samples"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"`{name}` must be > 0, got {getattr(self, name)}.")


class Trainer(ABC):
    """Iterate until enough images are seen; report, draw and save at every tick.

    Args:
        run_dir: The run folder.
        settings: Length and intervals.
        config: What the run was asked for, for ``resolved_config.json``; a resumed run must be asked for the same.
        device: Where the networks are.
        ranks: The processes that train together; the first one writes the folder.
        resume: Continue the run in ``run_dir`` from its latest snapshot; on a CPU with the same numbers as without the
            interruption, if there are as many processes as before.
        progress: Called with the images seen and their total after every iteration.
    """

    def __init__(
        self,
        *,
        run_dir: PathLike,
        settings: RunSettings,
        config: dict[str, Any],
        device: torch.device,
        ranks: Ranks = ALONE,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self.settings, self.device, self.ranks, self.progress = settings, device, ranks, progress
        self.run_dir = Path(run_dir)
        run = {name: value for name, value in asdict(settings).items() if name != "total_kimg"}
        self.folder = RunFolder(run_dir, {**config, "run": run}, resume=resume) if ranks.is_first else None
        self.images_seen = 0
        torch.manual_seed(settings.seed + ranks.rank * RANK_SEED)
        snapshot = latest_snapshot(self.run_dir) if resume else None
        if snapshot is not None:
            self._restore(load_snapshot(snapshot))
        if self.folder is not None:
            self.folder.drop_stats_after(self.images_seen)

    def _restore(self, saved: dict[str, Any]) -> None:
        self.load_state(saved["step"])
        self.images_seen = saved["images_seen"]
        states = [saved["random"], *saved.get("random_of_others", [])]
        if len(states) == self.ranks.size:
            restore_random_state(states[self.ranks.rank], self.device)
        else:
            torch.manual_seed(self.settings.seed + self.images_seen + self.ranks.rank * RANK_SEED)
            logger.warning("%d processes go on where %d were: other random numbers", self.ranks.size, len(states))

    @abstractmethod
    def iterate(self) -> dict[str, Tensor]:
        """Run one iteration on this rank's share of the images from ``self.images_seen`` on; scalars without graph."""

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """Return the networks in training, to be checked for NaN."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return everything that the next iteration depends on, except the random state and ``images_seen``."""

    @abstractmethod
    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""

    @abstractmethod
    def report(self) -> dict[str, float]:
        """Draw pictures into the run folder and return further numbers for this tick; the first rank alone is asked."""

    @property
    def total_images(self) -> int:
        """Images to train on."""
        return round(self.settings.total_kimg * 1000)

    def run(self) -> Path:
        """Train; return the last snapshot.

        Raises:
            TrainingError: A loss or weight became NaN or infinite; the last good snapshot is named.
        """
        tick = max(round(self.settings.tick_kimg * 1000), self.settings.batch_size)
        sums: dict[str, Tensor] = {}
        counts: dict[str, int] = {}
        started, images_before = time.monotonic(), self.images_seen
        while self.images_seen < self.total_images:
            for name, value in self.iterate().items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value
                counts[name] = counts.get(name, 0) + 1
            ticks_before = self.images_seen // tick
            self.images_seen += self.settings.batch_size
            if self.progress is not None:
                self.progress(min(self.images_seen, self.total_images), self.total_images)
            if self.images_seen // tick > ticks_before or self.images_seen >= self.total_images:
                rate = (self.images_seen - images_before) / (time.monotonic() - started)
                self.ranks.average_(sums.values())
                self._tick({name: float(value) / counts[name] for name, value in sums.items()}, rate)
                sums, counts = {}, {}
                started, images_before = time.monotonic(), self.images_seen
        if self.folder is not None:
            self.folder.close()
        last = latest_snapshot(self.run_dir)
        if last is None:
            raise ConfigError(f"`total_kimg` must be > 0, got {self.settings.total_kimg}.")
        return last

    def _tick(self, means: dict[str, float], images_per_second: float) -> None:
        broken = sorted(name for name, value in means.items() if not math.isfinite(value))
        broken += [name for name, network in self.networks().items() if not _is_finite(network)]
        if broken:
            last = latest_snapshot(self.run_dir)
            raise TrainingError(
                f"Training must stay finite, but {', '.join(broken)} became NaN or infinite before image "
                f"{self.images_seen}. The last good snapshot is {last or 'none'}. "
                "Lower the learning rate, then start anew."
            )
        first, *others = self.ranks.gather(random_state(self.device))
        if self.folder is not None:
            self.folder.log(self.images_seen, {**means, **self.report(), "images_per_second": images_per_second})
            state = {"step": self.state(), "random": first, "random_of_others": others}
            path = save_snapshot(self.run_dir, self.images_seen, state, keep=self.settings.keep_snapshots)
            logger.info("%.1f kimg, %.1f images/s, %s", self.images_seen / 1000, images_per_second, path.name)
        self.ranks.wait()


def _is_finite(network: nn.Module) -> bool:
    return all(bool(parameter.isfinite().all()) for parameter in network.parameters())
