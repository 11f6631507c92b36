"""A reader of pages that the report tests share."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

VOID = {"meta", "img", "br", "link", "input", "hr"}
FETCHING = {"src", "href", "xlink:href", "srcset", "action", "data", "poster"}


class Page(HTMLParser):
    """Parse a page strictly: every element that opens closes, in order; keep elements and text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = text
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)

    def check_self_contained(self) -> None:
        for tag, attributes in self.elements:
            assert tag not in ("link", "iframe", "object", "embed", "base")
            for name in FETCHING & attributes.keys():
                if tag == "a":  # nothing is fetched before a click: a place in the page, or a file beside it
                    assert re.match(r"(?!//|[a-z]+:)[^:]+$", attributes[name] or ""), attributes[name]
                    continue
                assert (attributes[name] or "").startswith(("data:image/", "#")), (tag, name, attributes[name])
            assert not [name for name in attributes if name.startswith("on")], attributes
        for address in re.findall(r"url\(([^)]*)\)", self.source):
            assert address.strip("'\"").startswith(("#", "data:")), address
        assert "@import" not in self.source and "fetch(" not in self.source
        policies = [a.get("content") or "" for tag, a in self.elements if tag == "meta" and "http-equiv" in a]
        assert len(policies) == 1 and "default-src 'none'" in policies[0]
        assert "script-src 'sha256-" in policies[0]


@pytest.fixture
def read_page() -> Callable[[str], Page]:
    """Parse a page, and check that it needs nothing but itself."""

    def read(text: str) -> Page:
        page = Page(text)
        page.check_self_contained()
        return page

    return read
