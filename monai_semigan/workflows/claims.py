# SPDX-License-Identifier: Apache-2.0
"""Names of cases that a run has claimed by hidden files, so that no other run into the folder takes them."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from monai_semigan.atomic import is_abandoned, is_elsewhere, owner_name
from monai_semigan.errors import OutputError

__all__ = ["ELSEWHERE_H", "free_claims", "said_in", "take_claim"]

UNSIGNED_S = 60.0
"""Age of a claim that says nobody's name, because its process was killed while it made it, seconds."""

ELSEWHERE_H = 24
"""Age of a claim of another machine that counts as left by a killed run, hours: far more than one case takes."""


def free_claims(folder: Path, *, lost: Collection[str] = ()) -> None:
    """Remove the claims of runs that are gone, and of those that are known to be, by their `atomic.owner_name`."""
    for claim in folder.glob(".*.claim"):
        _free(claim, lost)


def _free(claim: Path, lost: Collection[str] = ()) -> bool:
    """Remove a claim whose process is gone; False if it lives, or may live on another machine.

    It is renamed first: of two processes that find it, one gets it, and neither removes what the other made anew.
    """
    with suppress(OSError):
        owner, *_ = said_in(claim) or [""]
        age_s = time.time() - claim.stat().st_mtime
        is_old = age_s > UNSIGNED_S if not owner else is_elsewhere(owner) and age_s > ELSEWHERE_H * 3600
        if owner in lost or is_abandoned(owner) or is_old:
            taken = claim.with_name(f"{claim.name}.{owner_name()}.tmp")
            claim.rename(taken)
            if (said_in(taken) or [""])[0] != owner:  # made anew in between
                os.link(taken, claim)
            taken.unlink()
            return True
    return False


def said_in(claim: Path) -> list[str]:
    """Whose a claim is, and what location is worked on; nothing if it is gone or says nothing yet."""
    try:
        return claim.read_text().split()
    except OSError:
        return []


def take_claim(claim: Path, location: str) -> bool:
    """Create a claim of an input; False if a running process, here or on another machine, has it."""
    for _ in range(3):  # what a gone process left is freed, and perhaps taken by another one before us
        try:
            with claim.open("x") as stream:
                try:
                    stream.write(f"{owner_name()} {location}")
                    stream.flush()
                except OSError:
                    claim.unlink()
                    raise
        except FileExistsError:  # noqa: PERF203  (a try is what the loop is for)
            if not _free(claim):
                return False
        except OSError as error:
            raise OutputError(f"`{claim.parent}` must be a folder that can be written: {error.strerror}.") from error
        else:
            return True
    return False
