"""Pieces of a page: escaped, aligned, self-contained."""

from __future__ import annotations

import base64

from monai_semigan.report.page import MISSING, facts, failure_list, figure, image_tag, page, sparkline, table

EVIL = "<script>alert('x')</script>\"&"


def test_every_piece_escapes_its_text(read_page) -> None:
    body = (
        table([EVIL], [[EVIL]], numeric_from=1, caption=EVIL, sortable=True)
        + facts([(EVIL, EVIL)])
        + figure(EVIL, EVIL, note=EVIL)
        + failure_list(EVIL, [(EVIL, EVIL)])
        + image_tag(b"\x89PNG", EVIL)
        + sparkline([2.0, 1.0], EVIL)
    )

    read = read_page(page(EVIL, body))

    assert read.count("script") == 1  # the page's own
    assert read.text.count("alert('x')") >= 8
    assert dict(read.elements)["img"]["alt"] == EVIL


def test_numbers_have_three_decimals_and_missing_ones_a_dash() -> None:
    text = table(["name", "x", "y", "n"], [["a", 0.12345, None, 7]], numeric_from=1, caption="t")

    assert '<td>a</td><td class="number">0.123</td>' in text
    assert f'<td class="number">{MISSING}</td><td class="number">7</td>' in text
    assert '<th scope="col">name</th><th scope="col" class="number">x</th>' in text


def test_only_sortable_tables_have_buttons() -> None:
    plain, sortable = (table(["a"], [], numeric_from=1, caption="t", sortable=flag) for flag in (False, True))

    assert "<button" not in plain
    assert 'class="sortable"' in sortable and "<button" in sortable


def test_pictures_are_embedded_with_their_kind() -> None:
    png, jpeg = image_tag(b"\x89PNGxy", "a", kind="overlay"), image_tag(b"\xff\xd8xy", "b")

    assert "data:image/png;base64," + base64.b64encode(b"\x89PNGxy").decode() in png and 'class="overlay"' in png
    assert "data:image/jpeg;base64," in jpeg and "class" not in jpeg


def test_a_sparkline_falls_from_left_to_right() -> None:
    text = sparkline([3.0, 2.0, 1.0], "loss", width=104, height=24)

    assert 'points="2.0,2.0 52.0,12.0 102.0,22.0"' in text
    assert "<title>loss</title>" in text


def test_what_cannot_be_drawn_is_left_out() -> None:
    assert sparkline([], "loss") == sparkline([1.0], "loss") == sparkline([1.0, float("nan")], "loss") == ""
    assert sparkline([1.0, 1.0], "loss") != ""  # flat, not divided by zero
    assert failure_list("Failed", []) == ""
