"""The architecture: imports point downwards, and the lower layers stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import monai_semigan
import monai_semigan.cli
from monai_semigan.cli.main import COMMANDS

LAYERS = (
    {"errors", "logs", "templates", "versions"},
    {"types"},
    {"atomic", "devices", "settings"},
    {"files", "ops", "geometry", "bundles"},
    {"networks"},
    {"losses", "transforms", "io"},
    {"latent", "evaluation", "domains", "writers", "pictures"},
    {"segmentation", "training", "extras"},
    {"baselines", "bundle"},
    {"report"},
    {"workflows"},
    {"cohort"},
    {"pacs"},
    {"cli"},
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
ROOT = Path(monai_semigan.__file__).parent
CLI = Path(monai_semigan.cli.__file__).parent


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] not in ("__init__", "cli"):
            yield parts[0], path
    for path in sorted(CLI.glob("*.py")):
        yield "cli", path


def imported(path: Path) -> set[str]:
    """Return the parts of this package, and the foreign packages with a dot before them, that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            found.add(parts[1] if parts[0] == "monai_semigan" and len(parts) > 1 else f".{parts[0]}")
    return found


@pytest.mark.parametrize(("layer", "path"), list(modules()), ids=lambda value: getattr(value, "name", value))
def test_imports_point_downwards(layer: str, path: Path) -> None:
    for target in imported(path) - {layer, "__version__"}:
        if not target.startswith("."):
            assert RANK[target] < RANK[layer], f"{path}: layer `{layer}` may not import `{target}`"


@pytest.mark.parametrize(("layer", "path"), list(modules()), ids=lambda value: getattr(value, "name", value))
def test_light_layers_never_import_monai(layer: str, path: Path) -> None:
    if RANK[layer] <= RANK["networks"]:
        assert ".monai" not in imported(path)


@pytest.mark.parametrize(("layer", "path"), list(modules()), ids=lambda value: getattr(value, "name", value))
def test_the_environment_is_read_in_the_command_line_alone(layer: str, path: Path) -> None:
    text = path.read_text()
    assert layer == "cli" or ("os.environ" not in text and "getenv" not in text)


@pytest.mark.parametrize(("layer", "path"), list(modules()), ids=lambda value: getattr(value, "name", value))
def test_only_the_command_line_prints(layer: str, path: Path) -> None:
    names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}

    assert layer == "cli" or "print" not in names


@pytest.mark.parametrize(("layer", "path"), list(modules()), ids=lambda value: getattr(value, "name", value))
def test_imports_are_absolute(layer: str, path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}:{node.lineno}"


def modules_after(code: str, folder: Path) -> set[str]:
    """Run code in a fresh interpreter and return the heavy packages that it has loaded; last line of its output."""
    heavy = {"torch", "monai", "numpy", "matplotlib", "pydicom", "PIL", "scipy"}
    check = f"import sys\n{code}\nprint('\\n' + ' '.join({heavy} & set(sys.modules)))"
    # In another folder, as this one would shadow the installed package.
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=folder)
    return set(result.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)], ids=lambda words: words[0]
)
def test_help_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = f"from monai_semigan.cli.main import cli\ncli.main({arguments}, standalone_mode=False)"

    assert modules_after(code, tmp_path) == set()


@pytest.mark.parametrize("name", ["monai_semigan", "monai_semigan.workflows", "monai_semigan.bundles"])
def test_the_entrances_of_the_package_import_nothing_heavy(name: str, tmp_path: Path) -> None:
    assert modules_after(f"import {name}", tmp_path) == set()


def test_segmenting_does_not_import_monai(tmp_path: Path) -> None:
    assert "monai" not in modules_after("import monai_semigan.workflows.segmenting", tmp_path)


def module_name(path: Path) -> str:
    folder, first = (CLI, ("monai_semigan", "cli")) if path.is_relative_to(CLI) else (ROOT, ("monai_semigan",))
    parts = (*first, *path.relative_to(folder).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_on_load(tree: ast.Module, known: set[str]) -> set[str]:
    """Return the modules of this package that are imported when a module is: not in functions, not for types alone."""
    found: set[str] = set()
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:  # a module of a package, or a name of a module
                full = f"{node.module}.{alias.name}"
                found.add(full if full in known else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    return found & known


def cycle_in(edges: dict[str, set[str]]) -> list[str]:
    """Return the modules of one circle, in order and closed; empty if there is none."""
    done: set[str] = set()

    def search(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in done:
            return []
        for target in sorted(edges[name]):
            if found := search(target, [*trail, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(edges) if (found := search(name, []))), [])


def test_modules_import_each_other_in_no_circle() -> None:
    paths = {module_name(path): path for path in [*ROOT.rglob("*.py"), *CLI.glob("*.py")]}
    edges = {name: imported_on_load(ast.parse(path.read_text()), set(paths)) - {name} for name, path in paths.items()}

    assert edges["monai_semigan.ops.bias_act"] >= {"monai_semigan.ops.backend"}, "the search sees imports"
    assert cycle_in(edges) == []


def test_a_circle_is_found() -> None:
    known = {"a", "b", "c"}
    circle = "try:\n    from c import x\nexcept ImportError: pass"
    sources = {"a": "import b", "b": circle, "c": "if True:\n    import b"}
    edges = {name: imported_on_load(ast.parse(source), known) for name, source in sources.items()}

    assert cycle_in(edges) == ["b", "c", "b"]
    assert imported_on_load(ast.parse("def f():\n    import b\nif TYPE_CHECKING:\n    import c"), known) == set()
