"""Pages are filled from templates: escaped, nothing forgotten, one script that the policy knows."""

from __future__ import annotations

import base64
import hashlib
import re

import jinja2
import pytest

from monai_semigan.templates import MISSING, render

EVIL = "<script>alert('x')</script>\"&"


def test_every_value_is_escaped() -> None:
    text = render("score.html", head=[EVIL], rows=[[EVIL]])

    assert EVIL not in text and text.count("&lt;script&gt;") == 2


def test_a_forgotten_value_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="rows"):
        render("score.html", head=["a"])


def test_numbers_have_three_decimals_and_missing_ones_a_dash() -> None:
    text = render("score.html", head=[], rows=[["a", 0.12345, None, 7]])

    assert f"<td>a</td><td>0.123</td><td>{MISSING}</td><td>7</td>" in text


def test_a_page_in_a_notebook_is_an_attribute() -> None:
    page = '<p title="x">it\'s</p>'

    text = render("notebook.html", title="t", page=page)

    assert "<p" not in text and text.count('"') % 2 == 0 and "&lt;p title=&#34;x&#34;&gt;" in text


def test_the_policy_allows_the_pages_own_script_alone() -> None:
    text = render("base.html")

    script = text[text.index("<script>") + len("<script>") : text.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None and f"script-src 'sha256-{digest}'" in policy[1]
    assert "default-src 'none'" in policy[1] and "script-src 'unsafe-inline'" not in policy[1]
    assert "prefers-color-scheme: dark" in text and "@media print" in text
