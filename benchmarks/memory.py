# SPDX-License-Identifier: Apache-2.0
"""By how much one call raises the peak of memory, each program in a fresh process.

    python -m benchmarks.memory inversion --program ours --size 256 --batch 1

prints the growth in bytes: the peak of the resident set during the call over what the process had before it.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.programs import (
    GROUPED,
    OFFICIAL,
    OURS,
    OURS_BF16,
    OurProgram,
    build_programs,
    full_generator,
    styles_and_target,
)

__all__ = ["peak_growth_bytes"]

STATUS = Path("/proc/self/status")
TASKS = ("forward", "inversion")


def peak_growth_bytes(
    task: str, program: str, *, size: int, batch: int, channels: Sequence[int] | None = None, peer: Path | None = None
) -> int:
    """Measure in a fresh process; ``task`` is ``forward`` or ``inversion``."""
    command = [sys.executable, "-m", "benchmarks.memory", task, "--program", program, "--size", str(size)]
    command += ["--batch", str(batch)]
    command += ["--channels", *map(str, channels)] if channels else []
    command += ["--peer", str(peer)] if peer else []
    root = Path(__file__).parents[1]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    return int(result.stdout.split()[-1])


def _measure(
    task: str, program: str, *, size: int, batch: int, channels: tuple[int, ...] | None, peer: Path | None
) -> int:
    generator = full_generator(size, channels=channels)
    w_plus, target = styles_and_target(generator, batch)
    runner = build_programs(generator, [program], peer)[program]
    if task == "inversion" and isinstance(runner, OurProgram):
        runner.prepare(w_plus, target)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak, see proc(5)
    before = _status_bytes("VmRSS")
    if task == "inversion":
        runner.step(w_plus, target)
    else:
        runner.render(w_plus)
    return _status_bytes("VmHWM") - before


def _status_bytes(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--program", choices=(OURS, OURS_BF16, GROUPED, OFFICIAL), required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--channels", type=int, nargs="+")
    parser.add_argument("--peer", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.channels = tuple(arguments.channels) if arguments.channels else None
    print(_measure(**vars(arguments)))


if __name__ == "__main__":
    main()
