"""Functions stay short: a reader sees one whole, and its arguments, at a glance."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import monai_semigan
import monai_semigan.cli

MAX_LINES = 80
MAX_ARGUMENTS = 8
"""Keyword-only ones count, `self` and `cls` do not; nor do the options of a command, which are the user's, and the
pointers and strides of a Triton kernel."""

ROOT = Path(monai_semigan.__file__).parent
CLI = Path(monai_semigan.cli.__file__).parent

TOO_LONG: set[str] = set()
TOO_MANY = {
    "networks/segmenter.py:__init__",  # what a bundle's JSON writes of a network, one by one
    "workflows/preparing.py:prepare",
    "workflows/preparing.py:prepare_phantom",
}
"""Functions that are still over a limit, ``file:function``. Only take away from these lists."""


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    files = {path: path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py")}
    files |= {path: f"cli/{path.name}" for path in CLI.glob("*.py")}
    for path, name in sorted(files.items()):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{name}:{node.name}", node


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    names = [entry.arg for entry in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def decorated(node: ast.FunctionDef | ast.AsyncFunctionDef, words: tuple[str, ...]) -> bool:
    return any(word in ast.unparse(decorator) for decorator in node.decorator_list for word in words)


def test_functions_have_at_most_80_lines() -> None:
    assert {name for name, node in functions() if length(node) > MAX_LINES} <= TOO_LONG


def test_functions_have_at_most_8_arguments() -> None:
    over = {
        name
        for name, node in functions()
        if arguments(node) > MAX_ARGUMENTS and not decorated(node, ("command", "option", "triton"))
    }

    assert over <= TOO_MANY
