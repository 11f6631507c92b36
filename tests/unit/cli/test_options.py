# SPDX-License-Identifier: Apache-2.0
"""An option of several values ends where the next one begins."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from monai_semigan.cli.options import ListCommand, many


@click.command(cls=ListCommand)
@click.argument("data")
@many("--labels", type=click.IntRange(1), required=True)
@many("--names")
@click.option("--flag", is_flag=True)
@click.option("-o", "--output")
def command(**values: object) -> None:
    click.echo(repr(values))


@pytest.mark.parametrize(
    ("words", "labels", "names"),
    [
        ("d --labels 9 35 175 --names a b -o out", (9, 35, 175), ("a", "b")),
        ("d --labels 9 --labels 35", (9, 35), ()),
        ("d --labels=9 35 --flag", (9, 35), ()),
        ("--names a --labels 9 -o out d", (9,), ("a",)),
    ],
)
def test_values_in_a_row(words: str, labels: tuple[int, ...], names: tuple[str, ...]) -> None:
    result = CliRunner().invoke(command, words.split())
    assert result.exit_code == 0, result.output
    assert f"'labels': {labels!r}" in result.output and f"'names': {names!r}" in result.output
    assert "'data': 'd'" in result.output


@pytest.mark.parametrize("words", ["d --labels 0", "d --labels", "d", "d --labels 9 x", "d e --labels 9"])
def test_wrong_use_is_refused(words: str) -> None:
    assert CliRunner().invoke(command, words.split()).exit_code == 2
