# SPDX-License-Identifier: Apache-2.0
"""Where we stand: time, memory and operations of this package, against the same computation done the usual way.

    python -m benchmarks [--full] [--peer DIR] [--json FILE]

Without ``--peer`` the base is the grouped formulation of our own networks, which is not the official program; with the
folder of a checkout of semanticGAN_code it is that program's generator. The last line sums up the ratios.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.limits import machine_limits
from benchmarks.measure import Row
from benchmarks.start_up import start_up_rows
from benchmarks.tasks import Plan, count_rows, memory_rows, network_rows, training_rows
from benchmarks.whole import same_loss_row, volume_row
from monai_semigan.ops.precision import CPU_FLAGS, bfloat16_obstacle
from monai_semigan.versions import environment

PARTS = ("counts", "start", "networks", "memory", "whole", "volumes", "training")


def plan_of(*, full: bool, peer: Path | None) -> Plan:
    """Choose how much to measure: some CPU minutes, or about an hour of them."""
    if full:
        return Plan(sizes=(64, 128, 256), batches=(4, 8, 16), repeats=5, training_sizes=(64, 256), training_batch=4,
                    peer=peer)  # fmt: skip
    return Plan(sizes=(64, 128, 256), batches=(4,), repeats=3, training_sizes=(64,), training_batch=2, peer=peer)


def parts_of(plan: Plan, *, full: bool) -> dict[str, Callable[[], Iterable[Row]]]:
    """Return what measures each part."""
    return {
        "counts": lambda: count_rows(plan, plan.sizes),
        "start": lambda: start_up_rows(repeats=plan.repeats),
        "networks": lambda: network_rows(plan),
        "memory": lambda: memory_rows(plan),
        "whole": lambda: [same_loss_row(slices=16)],
        "volumes": lambda: map(volume_row, (16, 200) if full else (16,)),
        "training": lambda: training_rows(plan),
    }


def rows_of(
    parts: Mapping[str, Callable[[], Iterable[Row]]], wanted: Iterable[str], failures: dict[str, str]
) -> Iterator[Row]:
    """Measure part after part; one that fails is noted in ``failures`` by its name, and the others go on."""
    for name, measure in parts.items():
        if name not in wanted:
            continue
        try:
            yield from measure()
        except Exception as error:  # whatever a checkout of someone else's code raises
            detail = str(getattr(error, "stderr", "") or error).strip().splitlines()[-1:]
            failures[name] = ": ".join([type(error).__name__, *detail])


def machine() -> dict[str, Any]:
    """Describe what the numbers were measured on."""
    obstacle = bfloat16_obstacle(torch.device("cpu"), flags=CPU_FLAGS[:1])
    return {
        "processor": _processor(),
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "versions": dict(environment()),
        "has_amx_bf16": obstacle is None,
        "has_bfloat16": bfloat16_obstacle(torch.device("cpu")) is None,
    }


def line_of(row: Row) -> str:
    """Format a row for people."""
    where = f"{row.size_px} px" if row.size_px else ""
    batch = f"x {row.batch}" if row.batch > 1 else ""
    values = ", ".join(f"{name} {value:.3g}" for name, value in row.values.items())
    ratios = ", ".join(f"{name} {ratio:.2f}x" for name, ratio in row.ratios.items())
    return f"{row.task:42} {where:>6} {batch:5} {row.unit}: {values}" + (f"  [{ratios}]" if ratios else "")


def summary_of(rows: list[Row], base: str) -> str:
    """Sum up our ratios in one line."""
    found = [
        f"{row.task}{f' {row.size_px} px' if row.size_px else ''}{f' x {row.batch}' if row.batch > 1 else ''} "
        + " / ".join(f"{ratio:.2f}x{name.removeprefix('ours')}" for name, ratio in row.ratios.items() if "ours" in name)
        for row in rows
        if any("ours" in name for name in row.ratios)
    ]
    what = "grouped formulation, not the official program" if base == "grouped" else "official program"
    return f"ratios to the {what}: " + "; ".join(found)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="More sizes, batches and repeats.")
    parser.add_argument("--peer", type=Path, metavar="DIR", help="Checkout of semanticGAN_code.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write everything measured, after every line.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # CPU seconds compare best when no thread waits for another
    plan = plan_of(full=arguments.full, peer=arguments.peer)
    facts = {"machine": machine(), "limits": machine_limits(), "base": plan.base}
    print(json.dumps(facts, indent=1), flush=True)
    rows: list[Row] = []
    failures: dict[str, str] = {}
    for row in rows_of(parts_of(plan, full=arguments.full), arguments.parts, failures):
        rows.append(row)
        print(line_of(row), flush=True)
        _write(arguments.json, facts, rows)
    # Again, as the machine may have been busier before; the better number is nearer to the limit.
    facts["limits"] = {name: max(value, facts["limits"][name]) for name, value in machine_limits().items()}
    facts["failures"] = failures
    _write(arguments.json, facts, rows)
    print(json.dumps(facts["limits"]))
    print(summary_of(rows, plan.base))
    if failures:
        raise SystemExit("\n".join(f"{name}: not measured, {reason}" for name, reason in failures.items()))


def _write(path: Path | None, facts: dict[str, Any], rows: list[Row]) -> None:
    if path is not None:
        path.write_text(json.dumps({**facts, "rows": [vars(row) for row in rows]}, indent=1) + "\n")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


if __name__ == "__main__":
    main()
