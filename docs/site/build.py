# SPDX-License-Identifier: Apache-2.0
"""Build the site: ``python docs/site/build.py build/site``.

The pages are those of the repository, laid out as they lie there, so that their relative links hold; `docs/index.md`
says which there are and in what order. Made here: the commands' ``--help``, the Python reference from docstrings, the
notebooks. A link or an anchor that leads nowhere, a page that no other lists, and whatever a browser would fetch from a
network, fail.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import chain
from pathlib import Path

import click
from offline import fetched
from sphinx.cmd.build import main

import monai_semigan
from monai_semigan.cli.main import COMMANDS, cli

ROOT = Path(__file__).parents[2]
INDEX = ROOT / "docs" / "index.md"
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")

PACKAGES = {
    "segmentation": "From a source to a label",
    "bundle": "Bundles",
    "domains": "Kinds of images",
    "transforms": "Transforms",
    "io": "Reading files",
    "writers": "Writing files",
    "evaluation": "Scores",
    "networks": "Networks",
    "latent": "Embedding and inversion",
    "losses": "Losses",
    "ops": "Ops",
    "training": "Training",
    "cohort": "Cohorts",
}
"""Packages that users import from, with the titles of their pages."""

NOT_IMPORTED = {"dask_worker", "isolated_import"}
"""Modules that are no one's to import: entry points, and what keeps others' code apart."""


def sections() -> dict[str, list[str]]:
    """Return the pages that `docs/index.md` lists, by heading, as paths from the root."""
    found: dict[str, list[str]] = {}
    for part in INDEX.read_text().split("\n## ")[1:]:
        title, _, body = part.partition("\n")
        links = [link for link in LINK.findall(body) if "://" not in link]
        found[title] = [(INDEX.parent / link).resolve().relative_to(ROOT).as_posix() for link in links]
    return found


def contents(caption: str, pages: list[str]) -> str:
    """Return a hidden table of contents: a section of the sidebar."""
    names = "\n".join(f"/{page.rpartition('.')[0]}" for page in pages)
    title = f":caption: {caption}\n" if caption else ""
    return f"\n```{{toctree}}\n:hidden:\n{title}\n{names}\n```\n"


def notebook_page(path: Path) -> str:
    """Return a notebook's cells as a page."""
    cells = json.loads(path.read_text())["cells"]
    texts = [
        "".join(cell["source"]) if cell["cell_type"] == "markdown" else f"```python\n{''.join(cell['source'])}\n```"
        for cell in cells
    ]
    return "\n\n".join([*texts, f"The notebook itself: [{path.name}]({path.name})\n"])


def command_pages(folder: Path) -> list[str]:
    """Write a page of ``--help`` for every command, its subcommands below it; return the pages' names."""
    context = click.Context(cli, info_name="semigan")
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        text = "".join(help_texts(command, f"semigan {name}", context, level=1))
        (folder / f"{name}.md").write_text(text)
    head = f"# Commands\n\n```text\n{cli.get_help(context)}\n```\n"
    (folder / "index.md").write_text(head + contents("", [f"reference/commands/{name}.md" for name in COMMANDS]))
    return ["reference/commands/index.md"]


def help_texts(command: click.Command, name: str, parent: click.Context, *, level: int) -> Iterator[str]:
    """Yield the help of a command and of its subcommands, each under a heading."""
    settings = {"help_option_names": ["-h", "--help"], "terminal_width": 82}
    context = click.Context(command, info_name=name.rpartition(" ")[2], parent=parent, **settings)
    yield f"{'#' * level} {name}\n\n```text\n{command.get_help(context)}\n```\n\n"
    if isinstance(command, click.Group):
        for part in command.list_commands(context):
            below = command.get_command(context, part)
            assert below is not None
            yield from help_texts(below, f"{name} {part}", context, level=level + 1)


def python_pages(folder: Path) -> list[str]:
    """Write the reference of the top of the package and of each of `PACKAGES`; return the pages' names."""
    names = [(name, getattr(monai_semigan, name)) for name in monai_semigan.__all__]
    lines = [title("monai_semigan"), ".. automodule:: monai_semigan", ""]
    for heading, kind, chosen in (
        ("Functions", "function", [name for name, value in names if not isinstance(value, type)]),
        ("Classes", "class", [name for name, value in names if isinstance(value, type)]),
    ):
        lines += [title(heading, "-")]
        for name in chosen:
            lines += [f".. auto{kind}:: monai_semigan.{name}", *["   :members:"] * (kind == "class"), ""]
    (folder / "monai_semigan.rst").write_text("\n".join(lines))
    for package, heading in PACKAGES.items():
        text = "\n".join([title(heading), *module_entries(f"monai_semigan.{package}")])
        (folder / f"{package}.rst").write_text(text)
    return [f"reference/python/{name}.rst" for name in ("monai_semigan", *PACKAGES)]


def module_entries(package: str) -> Iterator[str]:
    """Yield the directives for a package and for its modules that have something to import."""
    root = Path(str(import_module(package).__file__)).parent
    yield f".. automodule:: {package}\n"
    for path in sorted(root.glob("*.py")):
        if path.stem not in {"__init__", *NOT_IMPORTED} and "__all__" in path.read_text():
            yield title(f"{package}.{path.stem}", "-")
            yield f".. automodule:: {package}.{path.stem}\n   :members:\n"


def title(text: str, underline: str = "=") -> str:
    """Return a heading of reStructuredText."""
    return f"{text}\n{underline * len(text)}\n"


def lay_out(stage: Path) -> None:
    """Copy the pages and the files that they lead to, and write what is made here."""
    listed = sections()
    for page in ("README.md", INDEX.relative_to(ROOT).as_posix(), *chain(*listed.values())):
        source = ROOT / page
        links = LINK.findall(source.read_text()) if source.suffix == ".md" else []
        for path in (source, *((source.parent / link).resolve() for link in links if "://" not in link)):
            target = stage / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file() and not target.exists():
                shutil.copy(path, target)
            if path.suffix == ".ipynb":
                target.with_suffix(".md").write_text(notebook_page(path))
    for folder in ("reference/commands", "reference/python"):
        (stage / folder).mkdir(parents=True)
    listed["Reference"] += command_pages(stage / "reference" / "commands")
    listed["Python"] = python_pages(stage / "reference" / "python")
    order = ["Tutorials", "How-to", "Explanations", "Model cards", "Reference", "Python", "Project"]
    assert set(order) == set(listed), set(order) ^ set(listed)
    home = (stage / "README.md").read_text() + contents("", ["docs/index.md"])
    (stage / "index.md").write_text(home + "".join(contents(name, listed[name]) for name in order))
    (stage / "README.md").unlink()


def build(site: Path) -> int:
    """Build into `site`, anew; return the exit code."""
    stage = site.with_name(f"{site.name}-source")
    for folder in (stage, site):
        shutil.rmtree(folder, ignore_errors=True)
    stage.mkdir(parents=True)
    lay_out(stage)
    arguments = ["-q", "-W", "--keep-going", "-c", str(Path(__file__).parent), "-d", f"{site}-cache"]
    if code := main([*arguments, str(stage), str(site)]):
        return code
    for line in (outside := fetched(site)):
        click.echo(f"not offline: {line}")
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    click.echo(f"{site}/index.html: {sum(1 for _ in site.rglob('*.html'))} pages, {size / 1e6:.1f} MB")
    return 1 if outside else 0


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1]).resolve()))
