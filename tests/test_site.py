# SPDX-License-Identifier: Apache-2.0
"""The site fetches nothing, and shows every page."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def offline() -> ModuleType:
    spec = importlib.util.spec_from_file_location("offline", ROOT / "docs" / "site" / "offline.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<script async src="https://cdn.org/a.js"></script>'),
        ("a.html", "<img alt='x'\n src='//cdn.org/a.js'>"),
        ("a.html", '<link rel="stylesheet" href=https://cdn.org/a.js>'),
        ("a.html", '<style>p { background: url("https://cdn.org/a.js") }</style>'),
        ("a.css", "@import 'https://cdn.org/a.js';"),
        ("a.css", "@font-face { src: url(//cdn.org/a.js) }"),
        ("a.js", 'fetch("https://cdn.org/a.js")'),
        ("a.js", "e.src = `https://cdn.org/a.js`;"),
        ("a.js", 'import x from "https://cdn.org/a.js"'),
        ("a.svg", '<image xlink:href="https://cdn.org/a.js"/>'),
    ],
)
def test_what_a_browser_would_fetch_is_found(offline: ModuleType, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)

    assert [line.removeprefix(f"{name}: ").removeprefix("https:") for line in offline.fetched(tmp_path)] == [
        "//cdn.org/a.js"
    ]


def test_links_and_own_files_are_none(offline: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<p>https://a.org</p><a href="https://arxiv.org/abs/1"><img src="../a.png"></a><script src="a.js"></script>'
    )
    (tmp_path / "a.css").write_text("/* https://a.org */ p { background: url(data:image/svg+xml;base64,x) }")
    (tmp_path / "a.js").write_text('// see https://a.org\nvar space = "http://www.w3.org/2000/svg";')
    (tmp_path / "a.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><a href="https://a.org"/></svg>')

    assert offline.fetched(tmp_path) == []


def test_the_index_lists_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    apart = {"index.md", "index-page.md"}  # itself, and the text of the package index

    for page in (*ROOT.glob("docs/*.md"), *ROOT.glob("bundles/*/docs/README.md"), ROOT / "CHANGELOG.md"):
        link = os.path.relpath(page, ROOT / "docs")
        assert link in apart or f"]({link})" in index, link
