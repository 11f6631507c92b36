# SPDX-License-Identifier: Apache-2.0
"""Commands in a fork of this process, which has imported all they need: one that is killed often is back at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import torch

from monai_semigan.cli.main import main as semigan

__all__ = ["cpu_seconds", "start_fork"]


def start_fork(words: Sequence[object], *, stderr: int | None = None) -> int:
    """Start ``semigan`` with these words, one thread and no output; return its process number.

    This process must have no threads.

    Args:
        words: What follows ``semigan``.
        stderr: Descriptor for what it says; None for nowhere.
    """
    child = os.fork()
    if child == 0:
        _run(words, stderr)
    return child


def _run(words: Sequence[object], stderr: int | None) -> NoReturn:
    code = 1
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream, target in enumerate((nowhere, nowhere, nowhere if stderr is None else stderr)):
            os.dup2(target, stream)
        torch.set_num_threads(1)
        semigan([str(word) for word in words])
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    finally:
        os._exit(code)


def cpu_seconds(pid: int) -> float:
    """Of a process that runs or was not waited for, as Linux counts them."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")
