# SPDX-License-Identifier: Apache-2.0
"""Look through a bundle for what MONAI's runner would execute, without executing it.

``_target_`` entries name classes that get called; strings that start with ``$`` are Python expressions; the logging
configuration is partly evaluated. All are held against short lists of what the bundles of this project need, because
lists of what is dangerous are never complete: ``monai.data.utils.os.system`` lies inside an allowed package.
"""

from __future__ import annotations

import ast
import configparser
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import monai_semigan
from monai_semigan.errors import BundleError

__all__ = ["audit_bundle", "require_clean"]

MAX_CONFIG_BYTES = 1 << 20
"""Larger configs are refused unread."""

ALLOWED_NAMESPACES = frozenset(
    {
        "monai.data",
        "monai.engines",
        "monai.handlers",
        "monai.inferers",
        "monai.metrics",
        "monai.transforms",
        "torch.nn",
        "torch.optim",
        "torch.optim.lr_scheduler",
        "torch.utils.data",
        "ignite.engine",
        "ignite.handlers",
        "ignite.metrics",
    }
)
"""Classes directly in these may be called; of this package, what a module lists in ``__all__``."""

DENIED_CLASSES = re.compile(r"monai\.data\.(Persistent|LMDB|CacheNTrans|GDS)Dataset|monai\.transforms\.\w*Lambda\w*")
"""Classes in those namespaces that unpickle their cache, or call what they are given."""

ALLOWED_IMPORT = re.compile(r"import (monai_semigan|monai|torch|ignite)")

ALLOWED_NODES = (
    ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Attribute, ast.Call, ast.keyword, ast.BinOp, ast.UnaryOp,
    ast.BoolOp, ast.Compare, ast.IfExp, ast.List, ast.Tuple, ast.Dict, ast.Subscript, ast.Slice, ast.operator,
    ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip
"""What an expression may be made of: no lambdas, comprehensions, assignments or f-strings."""

ALLOWED_NAMES = frozenset({"int", "float", "str", "bool", "len", "list", "dict", "tuple", "min", "max", "round"})
"""Names that an expression may use beside its references."""

ALLOWED_TORCH = frozenset({"torch.device", "torch.cuda.is_available", "torch.float32", "torch.bfloat16"})
"""The parts of torch that an expression may name."""

ALLOWED_ATTRIBUTES = frozenset({"to", "eval", "train", "run", "parameters", "keys", "values", "items", "get"})
"""What an expression may reach on anything: objects lead to modules, and modules to the shell."""

CODE_FILE = re.compile(r".*\.(py[a-z]?|so|dll|dylib|pkl|pickle|npy|npz|sh|exe)", re.IGNORECASE)

REFERENCE = re.compile(r"@\w*(?:(?:::|#)\w*)*")
TARGET = re.compile(r"([a-z]\w*(?:\.[a-z]\w*)*)\.([A-Za-z]\w*)", re.ASCII)
SIZE = r"(\d{1,5}|\d\*\*p|p|n)"
PLAIN_VALUES = {
    "spatial_shape": re.compile(rf"\*|{SIZE}(\s*[*+-]\s*{SIZE})*"),  # evaluated by older releases
    "_mode_": re.compile("default"),  # "debug" starts a debugger
    "reader": re.compile(r"[A-Za-z]\w*"),  # a dotted name is imported and called, here and in the next two
    "writer": re.compile(r"[A-Za-z]\w*"),
    "merger_cls": re.compile(r"[A-Za-z]\w*"),
}
"""What strings under these keys must look like, because MONAI evaluates or imports them."""

LOGGING_OPTIONS = frozenset({"keys", "level", "handlers", "formatter", "format", "datefmt", "qualname", "propagate"})
LOGGING_EVALUATED = {
    "class": re.compile(r"(logging\.)?(StreamHandler|Formatter)"),
    "args": re.compile(r"\(\s*(sys\.(stdout|stderr)\s*,\s*)?\)"),
}


def require_clean(root: Path) -> None:
    """Refuse a bundle with findings.

    Raises:
        BundleError: Names the first finding and counts the rest.
    """
    findings = audit_bundle(root)
    if findings:
        more = f" ({len(findings) - 1} more findings)" if len(findings) > 1 else ""
        raise BundleError(f"`{root.name}` must not be trusted: {findings[0]}{more}. Get it from its publisher again.")


def audit_bundle(root: Path) -> list[str]:
    """Return what is suspicious in a bundle folder, one line each; an empty list means nothing was found."""
    findings: list[str] = []
    inside = root.resolve()
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        is_config, suffix = name.parts[0] == "configs", path.suffix.lower()
        if not path.resolve().is_relative_to(inside):
            findings.append(f"`{name}` leads out of the bundle")
        elif path.is_symlink() and path.is_dir():
            findings.append(f"`{name}` is a link to a folder")
        elif not path.is_file():
            continue
        elif CODE_FILE.fullmatch(path.name):
            findings.append(f"`{name}` can hold code: a bundle of this project has none")
        elif is_config and suffix in (".yaml", ".yml"):
            findings.append(f"`{name}` is not JSON: its configs are not read here")
        elif is_config and suffix == ".json":
            findings += [f"`{name}`: {finding}" for finding in _audit_json(path)]
        elif path.name.lower() == "logging.conf":
            findings += [f"`{name}`: {finding}" for finding in _audit_logging(path)]
    return findings


def _audit_json(path: Path) -> Iterator[str]:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            yield f"must be smaller than {MAX_CONFIG_BYTES} bytes"
            return
        content = json.loads(path.read_text(encoding="utf-8"))
        leaves = list(_leaves(content))
    except (OSError, ValueError, RecursionError) as error:
        yield f"must be JSON, but is not ({type(error).__name__})"
        return
    for key, value in leaves:
        reason = _reason_against_value(key, value)
        if reason:
            yield reason


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value with the nearest key above it; what `_target_` names comes whole, whatever its type."""
    if key != "_target_" and isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else ((key, item) for item in value)
        for name, item in items:
            yield from _leaves(item, name)
    else:
        yield key, value


def _reason_against_value(key: str, value: Any) -> str | None:
    if key == "_target_":
        return None if _is_allowed_target(value) else f"`_target_` names the foreign class {_shorten(value)}"
    if not isinstance(value, str):
        return None
    if key in PLAIN_VALUES:
        return None if PLAIN_VALUES[key].fullmatch(value) else f"`{key}` must be plain, got {_shorten(value)}"
    if value.startswith("%"):
        return f"{_shorten(value)} pulls in the text of another entry or file"
    reason = _reason_against(value[1:]) if value.startswith("$") else None
    return f"the expression {_shorten(value)} {reason}" if reason else None


def _is_allowed_target(target: Any) -> bool:
    match = TARGET.fullmatch(target) if isinstance(target, str) else None
    if match is None:
        return False
    namespace, name = match.groups()
    if namespace.split(".")[0] == "monai_semigan":
        return name in _public_names(namespace)
    if target == "torch.device":
        return True
    return namespace in ALLOWED_NAMESPACES and name[0].isupper() and not DENIED_CLASSES.fullmatch(target)


@lru_cache
def _public_names(module: str) -> frozenset[str]:
    """Return the ``__all__`` of one of this package's modules, read from its source: nothing is imported."""
    path = Path(monai_semigan.__file__).parent.joinpath(*module.split(".")[1:]).with_suffix(".py")
    if not path.is_file():
        return frozenset()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return frozenset(ast.literal_eval(node.value))
    return frozenset()


def _reason_against(expression: str) -> str | None:
    """Say why an expression is refused; None accepts it."""
    if ALLOWED_IMPORT.fullmatch(expression.strip()):
        return None
    try:
        return _reason_against_node(ast.parse(REFERENCE.sub("_reference", expression).strip(), mode="eval"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "is no plain expression"


def _reason_against_node(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute) and ast.unparse(node) in ALLOWED_TORCH:
        return None  # the names below it would not be allowed alone
    if not isinstance(node, ALLOWED_NODES):
        return f"uses {type(node).__name__}"
    if isinstance(node, ast.Name) and node.id not in ALLOWED_NAMES and node.id != "_reference":
        return f"uses the name {node.id!r}"
    if isinstance(node, ast.Attribute) and node.attr not in ALLOWED_ATTRIBUTES:
        return f"reaches {node.attr!r}"
    return next((reason for child in ast.iter_child_nodes(node) if (reason := _reason_against_node(child))), None)


def _audit_logging(path: Path) -> Iterator[str]:
    parser = configparser.ConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
        options = [(option, parser.get(section, option, raw=True)) for section in parser for option in parser[section]]
    except (OSError, ValueError, configparser.Error) as error:
        yield f"must be a logging configuration, but is not ({type(error).__name__})"
        return
    for option, value in options:
        allowed = LOGGING_EVALUATED.get(option)
        if allowed is None and option not in LOGGING_OPTIONS:
            yield f"`{option}` is not expected"
        elif allowed is not None and not allowed.fullmatch(value.strip()):
            yield f"`{option}` must be a plain stream's, got {_shorten(value)}"


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
