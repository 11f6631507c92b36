# SPDX-License-Identifier: Apache-2.0
"""Log set-up for notebooks and the command line; the package itself never calls it on import."""

from __future__ import annotations

import logging
import sys

__all__ = ["enable_logging"]


def enable_logging(level: int = logging.INFO) -> None:
    """Send this package's log records to stderr, once; a second call only changes the level.

    Args:
        level: A level of the `logging` module.
    """
    logger = logging.getLogger("monai_semigan")
    if not any(getattr(handler, "_semigan", False) for handler in logger.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        handler._semigan = True  # type: ignore[attr-defined]
        logger.addHandler(handler)
    logger.setLevel(level)
