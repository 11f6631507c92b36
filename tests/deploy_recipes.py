"""Read container recipes: a Dockerfile's stages, a definition of Apptainer, and what an ignore file keeps out."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import click

from monai_semigan.cli.main import cli

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"

INSTRUCTIONS = {"ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN"}
INSTRUCTIONS |= {"SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}
SECTIONS = {"arguments", "environment", "files", "help", "labels", "post", "runscript", "setup", "startscript", "test"}


@dataclass
class Stage:
    """One stage of a Dockerfile: what it begins with, its name, and its instructions in order."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [rest for word, rest in self.steps if word == instruction]


def read_dockerfile(text: str) -> tuple[dict[str, str], list[Stage]]:
    """Return the arguments before the first stage, and the stages; anything unknown is an error."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in joined.splitlines():
        if not line.strip():
            continue
        word, _, rest = line.strip().partition(" ")
        if word not in INSTRUCTIONS:
            raise ValueError(f"unknown instruction {word!r}")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(base, name))
        elif not stages:
            if word != "ARG":
                raise ValueError(f"{word} before FROM")
            name, _, value = rest.partition("=")
            arguments[name] = value
        else:
            stages[-1].steps.append((word, rest))
    return arguments, stages


def pairs(text: str) -> dict[str, str]:
    """Read what ENV and LABEL hold."""
    return dict(word.split("=", 1) for word in shlex.split(text))


def read_definition(text: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the header and the sections of a definition of Apptainer; anything unknown is an error."""
    header: dict[str, str] = {}
    sections: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line.startswith("%"):
            name = line[1:].strip()
            if name not in SECTIONS or name in sections:
                raise ValueError(f"unknown section {name!r}")
            current = sections[name] = []
        elif current is not None:
            current.append(line.strip())
        else:
            key, _, value = line.partition(":")
            header[key.strip()] = value.strip()
    return header, sections


def is_ignored(path: str, patterns: list[str]) -> bool:
    """Whether an ignore file keeps a path out of the build: the last pattern that fits it or a folder above decides."""
    above = ["/".join(path.split("/")[:at]) for at in range(1, path.count("/") + 2)]
    ignored = False
    for line in patterns:
        pattern = line.lstrip("!")
        if any(_fits(part, pattern) for part in above):
            ignored = not line.startswith("!")
    return ignored


def _fits(path: str, pattern: str) -> bool:
    wanted, given = pattern.strip("/").split("/"), path.split("/")
    if wanted[0] == "**":
        return any(_fits("/".join(given[at:]), "/".join(wanted[1:])) for at in range(len(given)))
    return len(wanted) == len(given) and all(map(fnmatchcase, given, wanted))


def ignore_patterns() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def require_command(words: list[str]) -> None:
    """Refuse words of a command line, ``semigan`` first, that the command line does not have."""
    command: click.Command = cli
    context = click.Context(cli)
    words = words[1:]
    while isinstance(command, click.Group):
        _, words, _ = command.make_parser(context).parse_args(list(words))
        if not words:  # options alone, such as --version
            return
        found = command.get_command(context, words.pop(0))
        assert found is not None, words
        command = found
    command.make_parser(click.Context(command)).parse_args(list(words))


def json_words(text: str) -> list[str]:
    """Read the exec form of ENTRYPOINT and CMD; the shell form, under which signals are lost, is an error."""
    words = json.loads(text)
    assert isinstance(words, list) and all(isinstance(word, str) for word in words)
    return words
