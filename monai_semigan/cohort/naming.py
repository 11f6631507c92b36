# SPDX-License-Identifier: Apache-2.0
"""The names of a cohort's cases: each its own, and none that results beside them have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from monai_semigan.cohort.rows import Unit
from monai_semigan.errors import InputError

__all__ = ["MANIFEST_NAME", "RESERVED_CASES", "named_apart"]

MANIFEST_NAME: Final = "cohort.sqlite"

RESERVED_CASES = frozenset({"derivatives", "evaluation", MANIFEST_NAME, "groups.csv"})
"""What else is in the output folder."""

MAX_NAMES = 1_000_000
"""Cases of one name."""


def named_apart(units: Iterable[Unit], taken: Mapping[tuple[Path, str], str], *, may_rename: bool) -> list[Unit]:
    """Give units names that no other has: ``-2`` and so on are added.

    Args:
        units: What was found.
        taken: Cases that are there already, by path and part; a unit that is one of them keeps its name.
        may_rename: Otherwise a name that is taken is an error.

    Raises:
        InputError: A name is taken and must not be changed.
    """
    used = {case.casefold() for case in taken.values()} | RESERVED_CASES
    last: dict[str, int] = {}  # so that a thousand of one name do not try a thousand names each
    named: list[Unit] = []
    for unit in units:
        known = taken.get((unit.path, unit.part))
        if known is not None:
            named.append(unit if unit.case == known else replace(unit, case=known))
            continue
        stem = unit.case.casefold()
        case, number = unit.case, last.get(stem, 1)
        while case.casefold() in used and number < MAX_NAMES:
            if not may_rename:
                raise InputError(
                    f"`case` must be of one path, but {case} is there already with another one. Rename it."
                )
            number += 1
            case = f"{unit.case}-{number}"
        last[stem] = number
        used.add(case.casefold())
        named.append(unit if unit.case == case else replace(unit, case=case))
    return named
