# SPDX-License-Identifier: Apache-2.0
"""How a node stands, read from its folder, also while it works."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

from monai_semigan.cohort.manifest import Manifest
from monai_semigan.pacs.lanes import lane_folders
from monai_semigan.pacs.ledger import Delivery, Ledger
from monai_semigan.pacs.serving import RECEIVED, RESULTS
from monai_semigan.pacs.store import MARK
from monai_semigan.types import PathLike

__all__ = ["node_status"]

MAX_SHOWN = 100
"""Deliveries and series that are listed."""


def node_status(folder: PathLike) -> dict[str, Any]:
    """Return counts and what did not go right, JSON types; series and cases by names that identify nobody.

    Raises:
        InputError: It is no node's folder, or its ledger is damaged.
    """
    folder = Path(folder)
    with Ledger(folder) as ledger:
        series, deliveries = ledger.series(), ledger.deliveries()
    lanes = {}
    for lane in lane_folders(folder / RESULTS):
        with Manifest(lane) as manifest:
            ended = [row for row in manifest.rows() if row.state in ("refused", "failed")][:MAX_SHOWN]
            problems = [{"case": row.case, "state": row.state, "reason": row.reason} for row in ended]
            lanes[lane.name] = {"counts": manifest.counts(), "problems": problems}
    states = Counter(state for state, *_ in series.values())
    left = [
        {"series": name, "state": state, "reason": reason}
        for name, (state, _, reason, _) in series.items()
        if state != "queued"
    ]
    delayed = [_problem(delivery) for delivery in deliveries if delivery.reason]
    return {
        "series": {"arriving": sum(1 for _ in (folder / RECEIVED).glob(f"*/{MARK}")), **states},
        "left": left[:MAX_SHOWN],
        "lanes": lanes,
        "deliveries": {
            "counts": dict(Counter(delivery.state for delivery in deliveries)),
            "problems": delayed[:MAX_SHOWN],
        },
    }


def _problem(delivery: Delivery) -> dict[str, Any]:
    wait = max(0.0, round(delivery.due - time.time(), 1))
    return {
        "case": delivery.case,
        "peer": delivery.peer,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "again_in_s": wait if delivery.state == "waiting" else None,
        "reason": delivery.reason,
    }
