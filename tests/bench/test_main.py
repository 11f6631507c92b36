# SPDX-License-Identifier: Apache-2.0
"""How results are summed up, and that measured variants take turns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.__main__ import PARTS, line_of, parts_of, plan_of, rows_of, summary_of
from benchmarks.limits import machine_limits
from benchmarks.measure import Row, compare
from benchmarks.plot import draw_rates, draw_ratios


def row(task: str, size: int, values: dict[str, float], unit: str = "CPU-s", batch: int = 1) -> Row:
    return Row.of(task, size, batch, values, unit=unit, base="grouped")


ROWS = [
    row("operations of a forward", 64, {"ours": 32.0, "grouped": 32.0}, "GFLOP"),
    row("operations of an inversion step", 64, {"ours": 60.0, "grouped": 90.0}, "GFLOP"),
    row("forward", 64, {"ours": 1.0, "grouped": 2.0, "ours bf16": 0.5}),
    row("inversion step", 64, {"ours": 1.0, "grouped": 3.0}, batch=1),
    row("semigan --help", 0, {"ours": 0.1}, batch=0),
]


def test_variants_take_turns_after_a_warm_up() -> None:
    calls: list[str] = []

    timings = compare({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=2)

    assert calls == ["a", "b", "a", "b", "a", "b"]
    assert timings["a"].repeats == 2 and timings["a"].low_cpu_s <= timings["a"].cpu_s <= timings["a"].high_cpu_s


def test_ratios_say_how_many_times_less_ours_takes() -> None:
    assert ROWS[2].ratios == {"ours": 2.0, "ours bf16": 4.0}
    assert ROWS[4].ratios == {}


def test_lines_and_the_summary_name_the_base() -> None:
    line = "64 px       CPU-s: ours 1, grouped 2, ours bf16 0.5  [ours 2.00x, ours bf16 4.00x]"
    assert line_of(ROWS[2]).endswith(line)
    summary = summary_of(ROWS, "grouped")
    assert summary.startswith("ratios to the grouped formulation, not the official program: operations")
    assert "forward 64 px 2.00x / 4.00x bf16; inversion step 64 px 3.00x" in summary
    assert "--help" not in summary
    assert summary_of(ROWS, "official").startswith("ratios to the official program: ")


def test_the_base_is_the_official_program_where_there_is_a_checkout(tmp_path) -> None:
    assert plan_of(full=False, peer=None).base == "grouped"
    assert "official" not in plan_of(full=True, peer=None).programs
    assert plan_of(full=False, peer=tmp_path).programs[-1] == plan_of(full=False, peer=tmp_path).base == "official"


def test_a_part_that_fails_does_not_lose_the_others() -> None:
    def breaks() -> Iterator[Row]:
        yield ROWS[0]
        raise NotImplementedError("first line\nCannot copy out of meta tensor")

    failures: dict[str, str] = {}
    parts = {"counts": breaks, "start": lambda: [ROWS[4]], "networks": lambda: [ROWS[2]]}
    found = list(rows_of(parts, ["networks", "counts"], failures))

    assert found == [ROWS[0], ROWS[2]]
    assert failures == {"counts": "NotImplementedError: Cannot copy out of meta tensor"}


def test_all_parts_can_be_asked_for(tmp_path) -> None:
    assert tuple(parts_of(plan_of(full=False, peer=tmp_path), full=False)) == PARTS


def test_the_pictures_are_drawn_from_what_is_written() -> None:
    import matplotlib.pyplot as plt

    kinds = ("gemm_float32", "gemm_bfloat16", "conv_float32", "conv_bfloat16")
    results = {"rows": [vars(each) for each in ROWS], "base": "grouped", "limits": dict.fromkeys(kinds, 100.0)}
    figure, (left, right) = plt.subplots(1, 2)
    draw_ratios(left, results)
    draw_rates(right, results)

    assert [text.get_text() for text in left.get_yticklabels()] == ["forward, 64 px", "inversion step, 64 px"]
    assert [line.get_label() for line in right.lines[:3]] == [
        "ours, forward",
        "ours bf16, forward",
        "grouped, forward",
    ]
    assert right.lines[0].get_ydata().tolist() == [pytest.approx(32.0)]
    plt.close(figure)


def test_limits_are_numbers_per_second() -> None:
    limits = machine_limits(repeats=1)

    assert set(limits) == {"gemm_float32", "gemm_bfloat16", "conv_float32", "conv_bfloat16", "copy"}
    assert all(value > 0 for value in limits.values())
