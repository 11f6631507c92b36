# SPDX-License-Identifier: Apache-2.0
"""Options of ``semigan dicom``: who we are, whom we let in, how much, and what they become."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monai_semigan.cli.options import option, together

if TYPE_CHECKING:
    from monai_semigan.pacs.peer import Access, Peer
    from monai_semigan.pacs.routes import Route

__all__ = ["SIZE", "access", "chosen_access", "chosen_peers", "chosen_routes", "node", "state_folder"]

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}

FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


class Size(click.ParamType):
    """A number of bytes, such as 512M."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", str(value).strip(), re.IGNORECASE)
        if found is None or float(found[1]) <= 0:
            self.fail(f"{value!r:.40} is no size; try 500G or 512M.", param, ctx)
        return int(float(found[1]) * UNITS[found[2].upper()])


SIZE = Size()

state_folder = option(
    "Output",
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for everything that is kept: images, results, and how far each is. Its owner's alone.",
)

access = together(
    click.option("--aet", default="SEMIGAN", show_default=True, metavar="TITLE", help="Our AE title."),
    click.option("--tls-certificate", type=FILE, metavar="PEM", help="Our certificate, for DIMSE and https."),
    click.option("--tls-key", type=FILE, metavar="PEM", help="Its key."),
    click.option("--tls-ca", type=FILE, metavar="PEM", help="Whom we trust; who calls must show a certificate of it."),
    click.option(
        "--user", metavar="NAME", help="For DICOMweb; the password is taken from the variable SEMIGAN_DICOM_PASSWORD."
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(0.1, 3600),
        default=60.0,
        show_default=True,
        help="How long another system may take to answer, seconds.",
    ),
)
"""Who we are; a bearer token for DICOMweb is taken from the variable SEMIGAN_DICOM_TOKEN."""

node = together(
    click.option("--rules", type=FILE, metavar="JSON", help="Which bundle takes which series."),
    click.option("-b", "--bundle", help="One bundle for all series that it is made for, instead of --rules."),
    click.option(
        "--to",
        multiple=True,
        metavar="PEER",
        help="Where results go: AET@HOST:PORT, or the address of a DICOMweb service. Repeatable.  [default: they stay]",
    ),
    state_folder,
    click.option(
        "--quiet-seconds",
        type=click.FloatRange(0, 86_400),
        default=30.0,
        show_default=True,
        help="A series is complete when no instance came for so long.",
    ),
    click.option(
        "--keep-hours",
        type=click.FloatRange(0),
        default=24.0,
        show_default=True,
        help="Delete images and results so long after the results were delivered.",
    ),
    click.option("--max-disk", type=SIZE, help="What the folder may hold, such as 500G; more is refused with 0xA700."),
    click.option("--metrics-port", type=click.IntRange(0, 65535), help="Serve /health and /metrics on 127.0.0.1."),
)
"""What a node does with series, wherever they come from."""


def chosen_access(settings: Mapping[str, Any]) -> Access:
    """Build who we are from the values of `access`."""
    from monai_semigan.pacs.peer import Access

    return Access(
        aet=settings["aet"],
        certificate=settings["tls_certificate"],
        key=settings["tls_key"],
        ca=settings["tls_ca"],
        user=settings["user"],
        password=os.environ.get("SEMIGAN_DICOM_PASSWORD"),  # as options they would be seen in the list of processes
        token=os.environ.get("SEMIGAN_DICOM_TOKEN"),
        timeout_s=settings["timeout"],
    )


def chosen_peers(names: tuple[str, ...], who: Access) -> list[Peer]:
    """Build the destinations of results."""
    from monai_semigan.pacs.peer import parse_peer

    return [parse_peer(name, who) for name in dict.fromkeys(names)]


def chosen_routes(settings: Mapping[str, Any]) -> list[Route]:
    """Read the rules file, or make one route of a bundle and the rules of the command line."""
    from monai_semigan.io.dicom.rules import SeriesRules
    from monai_semigan.pacs.routes import read_routes, route_to

    if (settings["rules"] is None) == (settings["bundle"] is None):
        raise click.UsageError("Give one of --rules and --bundle.")
    own = {name: settings[name] for name in ("description", "min_slices", "plane")}
    if settings["rules"] is None:
        return [route_to(settings["bundle"], SeriesRules(**own))]
    if own != {"description": None, "min_slices": 1, "plane": None}:
        raise click.UsageError("--description, --min-slices and --plane stand in the file of --rules.")
    return read_routes(settings["rules"])
