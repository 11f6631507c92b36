"""Plots are inline SVG, repeatable, and safe with any class name."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from monai_semigan.pictures.figures import (
    MAX_CLASSES,
    MAX_POINTS,
    BandPoint,
    band_picture,
    band_plot,
    bland_altman_plot,
    distribution_plot,
    ranking_plot,
)


def agreement_plot(values, *, axis):
    return bland_altman_plot({name: [(x, x + 1) for x in series] for name, series in values.items()}, axis=axis)


PLOTS = [distribution_plot, ranking_plot, agreement_plot]


def texts(svg: str) -> str:
    """Parse strictly; all text of the drawing."""
    return " ".join("".join(element.itertext()) for element in ElementTree.fromstring(svg).iter() if element.text)


@pytest.mark.parametrize("plot", PLOTS)
def test_a_plot_names_its_classes_in_the_color_of_the_page(plot) -> None:
    svg = plot({"lung": [0.9, 0.8, 0.95], "heart": [0.7]}, axis="Dice")

    assert all(words in texts(svg) for words in ("Dice", "lung", "heart"))
    assert "currentColor" in svg and "#000000" not in svg and "#ffffff" not in svg


@pytest.mark.parametrize("plot", PLOTS)
def test_class_names_are_text_neither_markup_nor_formula(plot) -> None:
    names = ["--><script>alert(1)</script>", r"$\frac{", "$x$", "_hidden", ""]

    svg = plot({name: [0.1, 0.2] for name in names}, axis="Dice")

    assert "<script" not in svg
    assert r"$\frac{" in texts(svg) and "$x$" in texts(svg)


@pytest.mark.parametrize("plot", PLOTS)
def test_a_plot_is_the_same_every_time(plot) -> None:
    values = {"lung": list(np.linspace(0, 1, 9)), "heart": [0.5]}

    assert plot(values, axis="Dice") == plot(values, axis="Dice")


@pytest.mark.parametrize("plot", PLOTS)
def test_nothing_to_draw_draws_nothing(plot) -> None:
    assert plot({}, axis="Dice") == plot({"lung": []}, axis="Dice") == ""


@pytest.mark.parametrize("plot", PLOTS)
def test_many_cases_do_not_make_the_page_heavy(plot) -> None:
    many, enough = (plot({"lung": list(np.linspace(0, 1, number))}, axis="d") for number in (60_000, MAX_POINTS))

    assert len(many) < 1.2 * len(enough)


@pytest.mark.parametrize("plot", PLOTS)
def test_as_many_long_names_as_are_allowed_fit(plot) -> None:
    """matplotlib would warn, and a warning is an error here."""
    values = {f"{'a very long name of an organ ' * 4}{at}": [0.1 * at, 0.9] for at in range(MAX_CLASSES)}

    assert plot(values, axis="Dice")


def test_limits_of_agreement_are_those_by_hand() -> None:
    """Differences of 1, 2 and 6: mean 3, standard deviation sqrt(7)."""
    text = texts(bland_altman_plot({"liver": [(11, 10), (22, 20), (46, 40)]}, axis="mL"))

    assert "3.0" in text and "8.2" in text and "\N{MINUS SIGN}2.2" not in text and "-2.2" in text
    assert bland_altman_plot({"liver": [(1, 2), (2, 3)]}, axis="mL") == ""


def bands() -> dict[str, list[BandPoint]]:
    return {
        "$U$-Net": [BandPoint(175, 0.95, 0.94, 0.96), BandPoint(9, 0.8)],
        "ours": [BandPoint(9, 0.9, 0.85, 0.93, is_marked=True)],
        "none": [],
    }


def test_bands_name_their_series_and_counts() -> None:
    svg = band_plot(bands(), x_axis="labels", y_axis="Dice")

    for words in ("labels", "Dice", "$U$-Net", "ours", "9", "175"):
        assert words in texts(svg).split(), words
    assert "none" not in texts(svg)
    assert svg == band_plot(bands(), x_axis="labels", y_axis="Dice")
    assert "currentColor" in svg and "#000000" not in svg


def test_a_band_is_as_wide_as_its_interval_and_a_mark_is_drawn() -> None:
    plain, wide, marked = bands(), bands(), bands()
    wide["ours"] = [BandPoint(9, 0.9, 0.5, 0.99, is_marked=True)]
    marked["ours"] = [BandPoint(9, 0.9, 0.85, 0.93)]
    drawn = [band_plot(series, x_axis="labels", y_axis="Dice") for series in (plain, wide, marked)]
    assert len(set(drawn)) == 3


def test_without_points_there_are_no_bands() -> None:
    assert band_plot({"none": []}, x_axis="labels", y_axis="Dice") == ""


def test_a_picture_of_bands_is_a_png() -> None:
    assert band_picture(bands(), x_axis="labels", y_axis="Dice").startswith(b"\x89PNG")
