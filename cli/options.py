# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share, and help that lists options by topic."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

__all__ = [
    "SEEDS",
    "ListCommand",
    "TopicCommand",
    "animation",
    "as_json",
    "bundle",
    "device",
    "dicom_results",
    "many",
    "modality",
    "option",
    "output_folder",
    "repairs",
    "seed",
    "series_modality",
    "series_rules",
    "together",
    "training_seed",
]

Topic = Literal["Options", "Images", "Volumes", "DICOM", "Output"]
TOPICS: tuple[Topic, ...] = ("Options", "Images", "Volumes", "DICOM", "Output")
"""Sections of a command's help, in their order."""

Command = TypeVar("Command", bound=Callable[..., Any])


class TopicOption(click.Option):
    """An option that knows its section of the help."""

    def __init__(self, *args: Any, topic: Topic = "Options", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.topic = topic


class TopicCommand(click.Command):
    """A command whose help lists options by topic."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for topic in TOPICS:
            parameters = [
                parameter
                for parameter in self.get_params(ctx)
                if isinstance(parameter, click.Option) and getattr(parameter, "topic", "Options") == topic
            ]
            records = [record for p in parameters if (record := p.get_help_record(ctx)) is not None]
            if records:
                with formatter.section(topic):
                    formatter.write_dl(records)


class ManyOption(click.Option):
    """An option that takes several values in a row, ``--labels 9 35``, as well as ``--labels 9 --labels 35``."""


class ListCommand(click.Command):
    """A command with options made by `many`; their values end at the next option, so arguments come first."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        names = {name for item in self.params if isinstance(item, ManyOption) for name in item.opts}
        found: list[str] = []
        current = ""
        for word in args:
            if word.startswith("-") and len(word) > 1:
                name = word.partition("=")[0]
                current = name if name in names else ""
                found.append(word)
            elif current and found[-1] != current:
                found += [current, word]
            else:
                found.append(word)
        return super().parse_args(ctx, found)


def many(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """Make an option of several values for a `ListCommand`."""
    return click.option(*names, cls=ManyOption, multiple=True, **settings)


def option(topic: Topic, *names: str, **settings: Any) -> Callable[[Command], Command]:
    """Make a `click.option` of a topic."""
    return click.option(*names, cls=TopicOption, topic=topic, **settings)


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Make one decorator of several options; the help lists them in this order."""
    return lambda command: reduce(lambda made, add: add(made), reversed(options), command)


bundle = click.option(
    "-b", "--bundle", required=True, help="Name of a shipped bundle (see `semigan info`), or a folder."
)
output_folder = option(
    "Output",
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the results.",
)
device = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to compute."
)
SEEDS = click.IntRange(0, 2**31)
"""Those of the trainings' settings."""


def _seed(allowed: click.IntRange) -> Callable[[Command], Command]:
    return click.option("--seed", type=allowed, default=0, show_default=True, help="Seed of everything random.")


seed, training_seed = _seed(click.IntRange(0, 2**62)), _seed(SEEDS)
as_json = option("Output", "--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")

ANIMATIONS = {"webp": ("webp",), "gif": ("gif",), "both": ("webp", "gif"), "none": ()}

animation = together(
    option(
        "Output",
        "--animation",
        "animations",
        type=click.Choice(list(ANIMATIONS)),
        callback=lambda _context, _option, value: ANIMATIONS[value],
        default="webp",
        show_default=True,
        help="Its format.",
    ),
    option(
        "Output",
        "--frame-ms",
        type=click.IntRange(20, 10_000),
        default=150,
        show_default=True,
        help="How long a frame stays, milliseconds.",
    ),
)
"""How an animation is written: ``animations`` and ``frame_ms``."""

modality = option(
    "Volumes",
    "--modality",
    metavar="NAME",
    callback=lambda _context, _option, value: value if value == "auto" else value.upper(),
    default="auto",
    show_default=True,
    help="What the values are, one of the bundle's modalities, such as CT. auto: the DICOM tag, else the intensities.",
)

series_modality = option(
    "DICOM", "--modality", multiple=True, help="Only DICOM series of this modality, such as CT. Repeatable."
)

series_rules = together(
    option("DICOM", "--description", metavar="REGEX", help="Only series whose description matches, whatever the case."),
    option(
        "DICOM",
        "--min-slices",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Only series with as many slices.",
    ),
    option(
        "DICOM",
        "--plane",
        type=click.Choice(["axial", "coronal", "sagittal"]),
        help="Only series with such slices.",
    ),
)
"""The rules that DICOM series are chosen by, but the modality: ``description``, ``min_slices``, ``plane``."""

repairs = together(
    option("DICOM", "--fill-missing", is_flag=True, help="Fill missing slices with copies of the nearest."),
    option(
        "DICOM",
        "--tilt",
        type=click.Choice(["refuse", "resample"]),
        default="refuse",
        show_default=True,
        help="What to do with a tilted gantry: straighten the stack by interpolation, or refuse the series.",
    ),
)
"""The repairs of irregular DICOM series: ``fill_missing`` and ``tilt``."""

dicom_results = together(
    option(
        "DICOM",
        "--dicom-seg/--no-dicom-seg",
        default=True,
        show_default=True,
        help="Write seg.dcm, a DICOM SEG, for DICOM sources.",
    ),
    option(
        "DICOM",
        "--seg-type",
        type=click.Choice(["BINARY", "LABELMAP"], case_sensitive=False),
        default="BINARY",
        show_default=True,
        help="LABELMAP needs a new PACS.",
    ),
    option(
        "DICOM",
        "--terminology",
        type=click.Choice(["dicom", "slicer"]),
        default="dicom",
        show_default=True,
        help="Which of two codes in use means an anatomical structure.",
    ),
    option(
        "DICOM",
        "--empty-seg",
        type=click.Choice(["skip", "write"]),
        default="skip",
        show_default=True,
        help="What becomes of an empty label.",
    ),
    option(
        "DICOM",
        "--unlike-seg",
        type=click.Choice(["skip", "write"]),
        default="skip",
        show_default=True,
        help="What becomes of the SEG of a source that is unlike the bundle's images.",
    ),
    option(
        "DICOM",
        "--also",
        multiple=True,
        type=click.Choice(["dicom-sr", "dicom-probability", "dicom-contours", "dicom-preview"]),
        help="Write this too for DICOM sources: measurements as a structured report, a map of the probability, "
        "outlines as a presentation state, the picture as a secondary capture. Repeatable.",
    ),
    option("DICOM", "--preview", is_flag=True, help="The same as --also dicom-preview."),
)
"""What is written for DICOM sources."""
