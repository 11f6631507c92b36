# SPDX-License-Identifier: Apache-2.0
"""How long a training may take, and how much of it is used: seconds of computing, or steps."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

import torch

from monai_semigan.errors import ConfigError
from monai_semigan.settings import Range, check_settings

__all__ = ["Budget", "Stopwatch"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Either of two measures.

    Attributes:
        seconds: Of training; what is read, validated and written does not count.
        steps: Optimizer steps of the network that segments.
    """

    seconds: Annotated[float, Range(0, 1e8, exclusive="low")] | None = None
    steps: Annotated[int, Range(1, 10_000_000)] | None = None

    def __post_init__(self) -> None:
        check_settings(self)
        if (self.seconds is None) == (self.steps is None):
            raise ConfigError("`budget` must be seconds or steps, one of the two.")

    def share(self, *, seconds: float, steps: int) -> float:
        """Return how much is used, from 0 to 1 and beyond."""
        return seconds / self.seconds if self.seconds is not None else steps / (self.steps or 1)


class Stopwatch:
    """Sum up the seconds of the blocks that it is entered for.

    On a CPU those of the processor, all threads together: what else runs on the machine does not shorten a training. On
    a GPU those of the clock.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds, self._started = device, 0.0, 0.0

    def now(self) -> float:
        """Return a time, in seconds from some beginning."""
        if self.device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def __enter__(self) -> Stopwatch:
        self._started = self.now()
        return self

    def __exit__(self, *reason: object) -> None:
        self.seconds += self.now() - self._started
