"""Plots are inline SVG, repeatable, and safe with any class name."""

from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.pictures.figures import MAX_CLASSES, MAX_POINTS, distribution_plot, ranking_plot
from monai_semigan.report.page import page

PLOTS = [distribution_plot, ranking_plot]


@pytest.mark.parametrize("plot", PLOTS)
def test_a_plot_is_one_figure_with_its_caption(plot, read_page) -> None:
    read = read_page(page("t", plot({"lung": [0.9, 0.8, 0.95], "heart": [0.7]}, title="Dice of all", axis="Dice")))

    assert read.count("svg") == read.count("figcaption") == 1
    assert all(words in read.text for words in ("Dice of all", "lung", "heart"))


@pytest.mark.parametrize("plot", PLOTS)
def test_class_names_are_text_neither_markup_nor_formula(plot, read_page) -> None:
    names = ["--><script>alert(1)</script>", r"$\frac{", "$x$", "_hidden", ""]

    read = read_page(page("t", plot({name: [0.1, 0.2] for name in names}, title="<b>", axis="Dice")))

    assert read.count("script") == 1
    assert r"$\frac{" in read.text and "$x$" in read.text


@pytest.mark.parametrize("plot", PLOTS)
def test_a_plot_is_the_same_every_time(plot) -> None:
    values = {"lung": list(np.linspace(0, 1, 9)), "heart": [0.5]}

    assert plot(values, title="t", axis="Dice") == plot(values, title="t", axis="Dice")


@pytest.mark.parametrize("plot", PLOTS)
def test_nothing_to_draw_draws_nothing(plot) -> None:
    assert plot({}, title="t", axis="Dice") == plot({"lung": []}, title="t", axis="Dice") == ""


@pytest.mark.parametrize("plot", PLOTS)
def test_many_cases_do_not_make_the_page_heavy(plot) -> None:
    many, enough = (
        plot({"lung": list(np.linspace(0, 1, number))}, title="t", axis="d") for number in (60_000, MAX_POINTS)
    )

    assert len(many) < 1.2 * len(enough)


@pytest.mark.parametrize("plot", PLOTS)
def test_as_many_long_names_as_are_allowed_fit(plot) -> None:
    """matplotlib would warn, and a warning is an error here."""
    values = {f"{'a very long name of an organ ' * 4}{at}": [0.1 * at, 0.9] for at in range(MAX_CLASSES)}

    assert plot(values, title="t", axis="Dice")
