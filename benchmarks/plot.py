# SPDX-License-Identifier: Apache-2.0
"""Draw what a benchmark measured: ratios, and how near to the machine's limit each program comes.

python -m benchmarks.plot bench.json docs/images/benchmarks.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

COLORS = {"ours": "#0b6e99", "ours bf16": "#e66101", "grouped": "#8c8c8c", "official": "#404040"}
TASKS = ("forward", "inversion step")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="What --json wrote.")
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    results = json.loads(arguments.results.read_text())
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained", width_ratios=(1.1, 1))
    draw_ratios(left, results)
    draw_rates(right, results)
    figure.savefig(arguments.picture, dpi=110)


def draw_ratios(axes: Axes, results: dict[str, Any]) -> None:
    """Bars of how many times better ours is, one pair per task."""
    rows = [row for row in results["rows"] if row["ratios"].get("ours", 0) and "operations" not in row["task"]]
    names = [name for name in ("ours", "ours bf16") if any(name in row["ratios"] for row in rows)]
    for at, name in enumerate(names):
        places = [index + 0.4 * at for index, row in enumerate(rows) if name in row["ratios"]]
        values = [row["ratios"][name] for row in rows if name in row["ratios"]]
        bars = axes.barh(places, values, height=0.38, color=COLORS[name], label=name)
        axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=8)
    axes.axvline(1, color=COLORS["grouped"], linewidth=1)
    axes.set_yticks([index + 0.2 for index in range(len(rows))], [_name(row) for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel(f"times less than the {results['base']} formulation (CPU seconds, memory)")
    axes.legend(loc="lower right", fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def draw_rates(axes: Axes, results: dict[str, Any]) -> None:
    """Operations per CPU second by size, with the speed of a plain convolution or product as the limit."""
    counts = {(row["task"], row["size_px"]): row["values"] for row in results["rows"] if row["unit"] == "GFLOP"}
    for task, style in zip(TASKS, ("o-", "s--"), strict=True):
        rows = [row for row in results["rows"] if row["task"] == task and row["batch"] == 1]
        for name, color in COLORS.items():
            points = [
                (row["size_px"], _gflop(counts, task, row["size_px"], name) / row["values"][name])
                for row in rows
                if name in row["values"]
            ]
            if points:
                axes.plot(*zip(*points, strict=True), style, color=color, label=f"{name}, {task}", markersize=5)
    for kind, name in (("float32", "ours"), ("bfloat16", "ours bf16")):
        limit = max(results["limits"][f"{what}_{kind}"] for what in ("gemm", "conv"))
        axes.axhline(limit, color=COLORS[name], linestyle=":", linewidth=1.2)
        axes.annotate(f"limit, {kind}", (64, limit), xytext=(0, 3), textcoords="offset points", fontsize=8,
                      color=COLORS[name])  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks([64, 128, 256], ["64 px", "128 px", "256 px"])
    axes.set_ylim(bottom=0)
    axes.set_ylabel("GFLOP per CPU second")
    axes.legend(fontsize=7, frameon=False, ncol=2, loc="center left", bbox_to_anchor=(0, 0.81))
    axes.spines[["top", "right"]].set_visible(False)


def _gflop(counts: dict[tuple[str, int], dict[str, float]], task: str, size: int, name: str) -> float:
    found = counts[f"operations of {'a' if task == 'forward' else 'an'} {task}", size]
    return found.get(name, found["ours"])


def _name(row: dict[str, Any]) -> str:
    size = f", {row['size_px']} px" if row["size_px"] else ""
    batch = f" x {row['batch']}" if row["batch"] > 1 else ""
    return f"{row['task']}{size}{batch}"


if __name__ == "__main__":
    main()
