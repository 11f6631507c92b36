# SPDX-License-Identifier: Apache-2.0
"""Which process works on which rows. All engines take rows from one manifest, at the same time if need be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from monai_semigan.cohort.manifest import Manifest
from monai_semigan.cohort.rows import Part
from monai_semigan.cohort.working import CaseWorker, Observer, Work
from monai_semigan.segmentation.segmenter import Segmenter

__all__ = ["Engine", "SerialEngine", "ShardEngine"]


class Engine(Protocol):
    """How the rows of a cohort are worked through.

    An engine with processes of its own sends them a `Work`, with which each loads its model once and works through a
    `CaseWorker`; rows are all that is sent afterwards, never pixels.
    """

    @property
    def parts(self) -> tuple[Part, ...]:
        """The shares of the rows that this engine works on."""

    def run(self, work: Work, segmenter: Segmenter, observe: Observer | None = None) -> None:
        """Work until no row of its share waits.

        Args:
            work: What is to be done.
            segmenter: The model, loaded in this process.
            observe: Told of each case that ended.
        """


@dataclass(frozen=True)
class SerialEngine:
    """This process takes rows until none waits; a second one beside it takes others."""

    @property
    def parts(self) -> tuple[Part, ...]:
        return (Part(),)

    def run(self, work: Work, segmenter: Segmenter, observe: Observer | None = None) -> None:
        _work_through(self.parts, work, segmenter, observe)


@dataclass(frozen=True)
class ShardEngine:
    """This process takes the rows of one share alone, as one of the jobs of an array does.

    Attributes:
        part: Its share.
    """

    part: Part

    @property
    def parts(self) -> tuple[Part, ...]:
        return (self.part,)

    def run(self, work: Work, segmenter: Segmenter, observe: Observer | None = None) -> None:
        _work_through(self.parts, work, segmenter, observe)


def _work_through(parts: tuple[Part, ...], work: Work, segmenter: Segmenter, observe: Observer | None) -> None:
    with Manifest(work.folder) as manifest:
        worker = CaseWorker(work, manifest, segmenter, observe)
        for part in parts:
            worker.work_through(part)
