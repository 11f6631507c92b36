"""The documentation is true where a program can tell: links, commands and their options, snippets."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path

import click
import pytest

from monai_semigan.cli.main import COMMANDS, cli
from monai_semigan.io.datalist import SCHEMA

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bundles/**/*.md")]
TEXT = {page: page.read_text() for page in PAGES}


def snippets(kind: str) -> list[tuple[Path, str]]:
    return [
        (page, code) for page, text in TEXT.items() for code in re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", TEXT[page]):
        if "://" not in link:
            assert (page.parent / link).exists(), link


def test_commands_in_the_documentation_exist_with_their_options():
    lines = [line for _, code in snippets("console") for line in code.splitlines() if line.startswith("semigan ")]
    assert len(lines) > 8
    for line in lines:
        command: click.Command = cli
        words = shlex.split(line)[1:]
        context = click.Context(cli)
        while isinstance(command, click.Group):
            _, words, _ = command.make_parser(context).parse_args(words)  # its own options, which stand before
            found = command.get_command(context, words.pop(0))
            assert found is not None, line
            command = found
        known = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, line


def test_every_command_is_documented():
    documented = "\n".join(TEXT.values())
    for name in COMMANDS:
        assert f"semigan {name}" in documented, name


def test_python_and_json_snippets_parse():
    for _, code in snippets("python"):
        ast.parse(code)
    for _, code in snippets("json"):
        assert json.loads(code)["schema"] == SCHEMA


def test_make_targets_in_the_readme_exist():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert set(re.findall(r"make (\w+)", TEXT[ROOT / "README.md"])) <= set(targets)


def test_nothing_is_left_to_fill_in():
    for page, text in TEXT.items():
        assert not re.search(r"TODO|FIXME|not measured yet|^RESULTS$", text, re.MULTILINE), page
