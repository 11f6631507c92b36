# SPDX-License-Identifier: Apache-2.0
"""What ends one case, said in our own words."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from monai_semigan.errors import InputError, SemiGanError

__all__ = ["MemoryShortageError", "case_faults", "reason_of"]

logger = logging.getLogger(__name__)

OUT_OF_MEMORY = re.compile(r"out of memory|allocate|not enough memory|bad_alloc", re.IGNORECASE)
"""What torch writes in a RuntimeError where it has no class of its own for it."""


class MemoryShortageError(InputError):
    """There was too little memory for a case."""


def reason_of(error: Exception) -> str:
    """Say why a case failed: our own words, or that it was not expected; never a library's, which may quote values."""
    if isinstance(error, SemiGanError):
        return str(error)
    logger.debug("An unexpected error ended a case.", exc_info=error)
    return f"An error that was not expected ({type(error).__name__}) ended this case. Run with -vv to see where."


@contextmanager
def case_faults() -> Iterator[None]:
    """Say what too little memory means for the case in work.

    Raises:
        MemoryShortageError: There was too little memory, with what to do.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        is_shortage = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or OUT_OF_MEMORY.search(str(error))
        if not is_shortage or isinstance(error, SemiGanError):
            raise
        raise MemoryShortageError(
            "There was too little memory for this case. Lower --batch-size, use --device cpu, end other programs, "
            "or downsample the input."
        ) from error
