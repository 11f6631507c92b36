# SPDX-License-Identifier: Apache-2.0
"""Look through a bundle for what MONAI's runner would execute, without executing it.

First come kinds, sizes, links and number of files; only if all are harmless is one of them read.
``_target_`` entries name classes that get called; strings that start with ``$`` are Python expressions; the logging
configuration is partly evaluated. All are held against short lists of what the bundles of this project need, because
lists of what is dangerous are never complete: ``monai.data.utils.os.system`` lies inside an allowed package.
"""

from __future__ import annotations

import ast
import configparser
import itertools
import json
import os
import re
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import monai_semigan
from monai_semigan.errors import BundleError
from monai_semigan.files import escaped, read_regular

__all__ = ["MAX_CONFIG_BYTES", "MAX_OOD_BYTES", "METADATA", "OOD_FILE", "audit_bundle", "require_clean"]

METADATA = Path("configs", "metadata.json")
"""The description of a bundle, inside its folder."""

OOD_FILE = Path("models", "ood.pt")
"""What the bundle says of the images it knows, see `ood_file`."""

MAX_OOD_BYTES = 16 << 20
"""Of that: 32 directions over the 20,000 numbers that the largest network has for an image, for two chains."""

MAX_CONFIG_BYTES = 1 << 20
"""Larger configs are refused unread."""

MAX_LOGGING_BYTES = 1 << 16
MAX_FILE_BYTES = 4 << 30
"""Of any other file: weights, texts, samples."""

MAX_FILES = 2000
"""Files and folders of a bundle."""

MAX_EXPRESSION = 1000
"""Characters of an expression, or of a value that MONAI evaluates."""

ALLOWED_NAMESPACES = frozenset(
    {"monai.metrics", "monai.transforms", "torch.nn", "torch.optim", "torch.optim.lr_scheduler"}
)
"""Classes directly in these may be called; of this package, what a module lists in ``__all__``."""

ALLOWED_CLASSES = {
    "monai.data": {"CacheDataset", "DataLoader", "Dataset", "ThreadDataLoader"},
    "monai.engines": {"SupervisedEvaluator", "SupervisedTrainer"},
    "monai.handlers": {"MeanDice", "StatsHandler", "ValidationHandler"},
    "monai.inferers": {"SimpleInferer", "SliceInferer", "SlidingWindowInferer"},
    "torch": {"device"},
    "torch.utils.data": {"DataLoader"},
}
"""Of these packages these alone: others of theirs unpickle files, or speak to servers."""

DENIED_CLASSES = re.compile(r"monai\.transforms\.\w*(Lambda|TorchIO|TorchVision)\w*")
"""Transforms that call, or import, what they are given."""

ALLOWED_IMPORT = re.compile(r"import (monai_semigan|monai|torch|ignite)")

ALLOWED_NODES = (
    ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Attribute, ast.Call, ast.keyword, ast.BinOp, ast.UnaryOp,
    ast.BoolOp, ast.Compare, ast.IfExp, ast.List, ast.Tuple, ast.Dict, ast.Subscript, ast.Slice, ast.operator,
    ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip
"""What an expression may be made of: no lambdas, comprehensions, assignments or f-strings."""

REPEATING = (ast.Mult, ast.Mod, ast.Pow, ast.LShift)
"""Operators that make something huge of something small, texts and lists too."""

MAX_NUMBER = 1_000_000
"""Of a number in an expression."""

ALLOWED_NAMES = frozenset({"int", "float", "str", "bool", "len", "list", "dict", "tuple", "min", "max", "round"})
"""Names that an expression may use beside its references."""

ALLOWED_TORCH = frozenset({"torch.device", "torch.cuda.is_available", "torch.float32", "torch.bfloat16"})
"""The parts of torch that an expression may name."""

ALLOWED_ATTRIBUTES = frozenset({"to", "eval", "train", "run", "parameters", "keys", "values", "items", "get"})
"""What an expression may reach on anything: objects lead to modules, and modules to the shell."""

CODE_FILE = re.compile(r".*\.(py[a-z]?|so|dll|dylib|pkl|pickle|npy|npz|sh|exe)", re.IGNORECASE | re.DOTALL)

REFERENCE = re.compile(r"@\w*(?:(?:::|#)\w*)*")
TARGET = re.compile(r"([a-z]\w*(?:\.[a-z]\w*)*)\.([A-Za-z]\w*)", re.ASCII)
SIZE = r"(\d{1,5}|\d\*\*p|p|n)"
PLAIN_VALUES = {
    "spatial_shape": re.compile(rf"\*|{SIZE}(\s*[*+-]\s*{SIZE})*"),  # evaluated by older releases
    "_mode_": re.compile("default"),  # "debug" starts a debugger
    "network_type": re.compile("resnet50"),  # of a perceptual loss: the others are fetched from a hub
    "reader": re.compile(r"(ITK|Nibabel|PIL|Pydicom|Nrrd)Reader"),  # NumPy's unpickles any file
    "writer": re.compile(r"[A-Za-z]\w*"),  # a dotted name is imported and called, as the next one
    "merger_cls": re.compile(r"[A-Za-z]\w*"),
}
"""What strings under these keys must look like, because MONAI evaluates or imports them."""

LOGGING_OPTIONS = frozenset({"keys", "level", "handlers", "formatter", "format", "datefmt", "qualname", "propagate"})
LOGGING_EVALUATED = {
    "class": re.compile(r"(logging\.)?(StreamHandler|Formatter)"),
    "args": re.compile(r"\(\s*(sys\.(stdout|stderr)\s*,\s*)?\)"),
}


def require_clean(root: Path, metadata: bytes | None = None) -> None:
    """Refuse a bundle with findings.

    Args:
        root: The bundle.
        metadata: Content of its `METADATA`, if it was read already: it is not opened again.

    Raises:
        BundleError: Names the first finding and counts the rest.
    """
    findings = audit_bundle(root, metadata)
    if findings:
        more = f" ({len(findings) - 1} more findings)" if len(findings) > 1 else ""
        raise BundleError(
            f"`{escaped(root.name)}` must not be trusted: {findings[0]}{more}. Get it from its publisher again."
        )


def audit_bundle(root: Path, metadata: bytes | None = None) -> list[str]:
    """Return what is suspicious in a bundle folder, one printable line each; empty if nothing was found."""
    findings: list[str] = []
    entries: list[tuple[str, tuple[int, ...]]] = []
    try:
        found = list(itertools.islice(_entries(root), MAX_FILES + 1))
    except OSError as error:
        return [f"it cannot be read: {error.strerror}"]
    for at, (path, status) in enumerate(found):
        if at == MAX_FILES:
            return [*findings, f"it holds more than {MAX_FILES} files"]
        reason = _reason_against_file(root, path, status)
        if reason:
            findings.append(f"`{escaped(path.relative_to(root))}` {reason}")
        elif not path.is_dir():
            target = path.stat()
            entries.append((str(path.relative_to(root)), (target.st_size, target.st_mtime_ns, target.st_ctime_ns)))
    return findings or list(_audit_contents(root.resolve(), tuple(sorted(entries)), metadata))


def _entries(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield everything below a folder with its own status; links are not followed."""
    left = [root]
    while left:
        with os.scandir(left.pop()) as found:
            for entry in sorted(found, key=lambda entry: entry.name):
                yield Path(entry.path), entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    left.append(Path(entry.path))


def _reason_against_file(root: Path, path: Path, status: os.stat_result) -> str | None:
    """Say why a file is refused by its place, kind, name or size; nothing of it is read."""
    if stat.S_ISLNK(status.st_mode):
        reason = _reason_against_link(root, path)
        if reason:
            return reason
        status = path.stat()
    return None if stat.S_ISDIR(status.st_mode) else _reason_against_kind(path.relative_to(root), status)


def _reason_against_link(root: Path, path: Path) -> str | None:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # a loop
        return "leads nowhere"
    if not target.is_relative_to(root.resolve()):
        return "leads out of the bundle"
    return "is a link to a folder" if target.is_dir() else None


def _reason_against_kind(name: Path, status: os.stat_result) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        return "is no regular file"
    if CODE_FILE.fullmatch(name.name):
        return "can hold code: a bundle of this project has none"
    if _is_config(name) and name.suffix.lower() in (".yaml", ".yml"):
        return "is not JSON: its configs are not read here"
    limit = _limit(name)
    return None if status.st_size <= limit else f"must be at most {limit} bytes"


def _is_config(name: Path) -> bool:
    return name.parts[0].lower() == "configs"


def _limit(name: Path) -> int:
    if name.name.lower() == "logging.conf":
        return MAX_LOGGING_BYTES
    if name == OOD_FILE:
        return MAX_OOD_BYTES
    return MAX_CONFIG_BYTES if _is_config(name) and name.suffix.lower() == ".json" else MAX_FILE_BYTES


@lru_cache(maxsize=64)
def _audit_contents(
    root: Path, entries: tuple[tuple[str, tuple[int, ...]], ...], metadata: bytes | None
) -> tuple[str, ...]:
    """Read what MONAI's runner would read; once for files of the same sizes and times."""
    findings: list[str] = []
    for text, _ in entries:
        name = Path(text)
        if name.name.lower() == "logging.conf":
            findings += [f"`{escaped(name)}`: {finding}" for finding in _audit_logging(root / name)]
        elif _is_config(name) and name.suffix.lower() == ".json":
            findings += [
                f"`{escaped(name)}`: {finding}"
                for finding in _audit_json(root / name, metadata if name == METADATA else None)
            ]
    return tuple(findings)


def _audit_json(path: Path, known: bytes | None) -> Iterator[str]:
    try:
        content = read_regular(path, MAX_CONFIG_BYTES, error=BundleError) if known is None else known
        leaves = list(_leaves(json.loads(content)))
    except (BundleError, ValueError, RecursionError) as error:
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
        if len(value) > MAX_EXPRESSION:
            return f"`{key}` is too long"
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
    if name in ALLOWED_CLASSES.get(namespace, ()):
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
    if len(expression) > MAX_EXPRESSION:
        return "is too long"
    if ALLOWED_IMPORT.fullmatch(expression.strip()):
        return None
    try:
        return _reason_against_node(ast.parse(REFERENCE.sub("_reference", expression).strip(), mode="eval"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "is no plain expression"


def _reason_against_node(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute) and ast.unparse(node) in ALLOWED_TORCH:
        return None  # the names below it would not be allowed alone
    found = None
    if not isinstance(node, ALLOWED_NODES):
        found = f"uses {type(node).__name__}"
    elif isinstance(node, ast.Name) and node.id not in ALLOWED_NAMES and node.id != "_reference":
        found = f"uses the name {node.id!r}"
    elif isinstance(node, ast.Attribute) and node.attr not in ALLOWED_ATTRIBUTES:
        found = f"reaches {node.attr!r}"
    elif isinstance(node, REPEATING):
        found = f"uses {type(node).__name__}"
    elif (
        isinstance(node, ast.Constant)
        and isinstance(node.value, (int, float, complex))
        and not abs(node.value) <= MAX_NUMBER
    ):
        found = "uses a huge number"
    return found or next(
        (reason for child in ast.iter_child_nodes(node) if (reason := _reason_against_node(child))), None
    )


def _audit_logging(path: Path) -> Iterator[str]:
    parser = configparser.ConfigParser()
    try:
        parser.read_string(read_regular(path, MAX_LOGGING_BYTES, error=BundleError).decode())
        options = [(option, parser.get(section, option, raw=True)) for section in parser for option in parser[section]]
    except (BundleError, ValueError, configparser.Error) as error:
        yield f"must be a logging configuration, but is not ({type(error).__name__})"
        return
    for option, value in options:
        allowed = LOGGING_EVALUATED.get(option)
        if allowed is None and option not in LOGGING_OPTIONS:
            yield f"`{escaped(option)}` is not expected"
        elif allowed is not None and not allowed.fullmatch(value.strip()):
            yield f"`{option}` must be a plain stream's, got {_shorten(value)}"


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
