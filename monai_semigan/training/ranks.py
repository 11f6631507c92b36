# SPDX-License-Identifier: Apache-2.0
"""Several processes that train one network together: who takes which images, and what they agree on.

Every process (a *rank*) holds all networks and takes every ``size``-th image of each batch; gradients are averaged
before each optimizer step. Images are dealt out like cards, so that the groups of the minibatch standard deviation are
those of a single process, without a word between the ranks. With one process nothing is sent and nothing changes.

`torchrun` starts the processes. What lies on GPUs is sent by NCCL, the rest by gloo.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from monai_semigan.errors import ConfigError

__all__ = ["ALONE", "Ranks", "current_ranks", "join_ranks", "joined_ranks", "leave_ranks"]

PATIENCE = timedelta(hours=2)
"""How long ranks wait for the first one, which trains the teacher and draws reports alone."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        rank: From 0 on.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run's folder."""
        return self.rank == 0

    def share(self, batch: Tensor) -> Tensor:
        """Return this rank's part of a global batch, ``(N, ...)`` to ``(N / size, ...)``.

        Raises:
            ConfigError: N is no multiple of the number of processes.
        """
        if len(batch) % self.size:
            raise ConfigError(
                f"`batch_size` must be a multiple of the {self.size} processes, got {len(batch)}. "
                "It counts the images of all processes together."
            )
        return batch[self.rank :: self.size]

    @torch.no_grad()
    def average_(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors of one type by their mean over the ranks, in one message."""
        if self.size == 1:
            return
        parts = list(tensors)
        if not parts:
            return
        flat = torch.cat([part.detach().reshape(-1) for part in parts])
        dist.all_reduce(flat)
        flat /= self.size
        for part, mean in zip(parts, torch.split(flat, [part.numel() for part in parts]), strict=True):
            part.copy_(mean.view_as(part))

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Return when all ranks have come here."""
        if self.size > 1:
            dist.barrier()


ALONE = Ranks()
"""One process."""


def current_ranks() -> Ranks:
    """Return this process's place; one process where `torch.distributed` was not started."""
    if dist.is_available() and dist.is_initialized():
        return Ranks(dist.get_rank(), dist.get_world_size())
    return ALONE


def join_ranks() -> Ranks:
    """Meet the other processes that `torchrun` started; nothing to do without it, or when called again.

    From here on, "cuda" means this process's own GPU.

    Raises:
        ConfigError: There are GPUs, but fewer than processes on this machine.
    """
    if dist.is_available() and dist.is_torchelastic_launched() and not dist.is_initialized():
        if torch.cuda.is_available():
            local, count = dist.get_node_local_rank(0), torch.cuda.device_count()
            if local >= count:
                raise ConfigError(
                    f"Each process must have a GPU of its own, but there are {count} for more processes. "
                    f"Start {count}, or hide the GPUs (CUDA_VISIBLE_DEVICES=) to train on the CPU."
                )
            torch.cuda.set_device(local)
        dist.init_process_group(timeout=PATIENCE)
    return current_ranks()


def leave_ranks() -> None:
    """Part from the other processes; nothing to do for a single one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


@contextlib.contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Join for a block, and leave after it what the block joined."""
    was_joined = dist.is_available() and dist.is_initialized()
    try:
        yield join_ranks()
    finally:
        if not was_joined:
            leave_ranks()
