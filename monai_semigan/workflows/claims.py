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
"""Age of a claim that says nobody's name, because its process was killed while it made it, seconds.

Only where the file system has no hard links.
"""

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
                _put(taken, claim)
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
    """Create a claim of an input; False if a running process, here or on another machine, has it.

    It is written under another name first: a process that is killed here leaves no claim that says nobody's name.
    """
    signed = claim.with_name(f".{claim.name}.{owner_name()}.tmp")
    try:
        signed.write_text(f"{owner_name()} {location}")
        for _ in range(3):  # what a gone process left is freed, and perhaps taken by another one before us
            if _put(signed, claim):
                return True
            if not _free(claim):
                return False
    except OSError as error:
        raise OutputError(f"`{claim.parent}` must be a folder that can be written: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            signed.unlink(missing_ok=True)
    return False


def _put(signed: Path, claim: Path) -> bool:
    """Give a file that is whole a second name, if that is free."""
    try:
        os.link(signed, claim)
    except FileExistsError:
        return False
    except OSError:  # a file system that has no such thing: there, the new file is empty for a moment
        return _put_copy(signed, claim)
    return True


def _put_copy(signed: Path, claim: Path) -> bool:
    try:
        stream = claim.open("x")
    except FileExistsError:
        return False
    with stream:
        try:
            stream.write(signed.read_text())
            stream.flush()
        except OSError:
            claim.unlink()
            raise
    return True
