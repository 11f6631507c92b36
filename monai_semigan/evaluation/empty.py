# SPDX-License-Identifier: Apache-2.0
"""What a class scores that one of the two label maps, or both, do not have: the rule, stated once.

Absent from both: Dice and IoU are 1, the maps agree. Absent from one: Dice and IoU are 0, a total miss or a pure
invention. In neither case is there a surface distance: 0 would praise, and any large number would be made up. Such
cases are counted, never dropped: they stay in the means of Dice and IoU, and beside the means of HD95 and ASSD stands
how many distances are undefined.
"""

from __future__ import annotations

__all__ = ["EMPTY_RULE", "OVERLAP_IF_BOTH_EMPTY"]

OVERLAP_IF_BOTH_EMPTY = 1.0
"""Dice and IoU of a class that neither map has."""

EMPTY_RULE = (
    "A class that is absent from both label maps scores Dice and IoU 1; one that is absent from only one of them "
    "scores 0. Neither has a surface distance: such cases are counted below as undefined, and left out of the means "
    "of HD95 and ASSD alone."
)
"""The rule in the words of the reports."""
