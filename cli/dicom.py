# SPDX-License-Identifier: Apache-2.0
"""``semigan dicom serve``, ``watch``, ``status``, ``find``, ``pull`` and ``push``."""

from __future__ import annotations

import csv
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monai_semigan.cli import options
from monai_semigan.cli.dicom_options import (
    access,
    chosen_access,
    chosen_peers,
    chosen_routes,
    node,
    size,
    state_folder,
)
from monai_semigan.cli.output import progress_bar, text_table
from monai_semigan.cli.segment_options import chosen_options, segmenting

if TYPE_CHECKING:
    from monai_semigan.pacs.peer import Access
    from monai_semigan.pacs.serving import Node
    from monai_semigan.pacs.transfers import Fetch, Transferred

__all__ = ["command"]

SOME_FAILED = 3

listening = options.together(
    click.option("--port", type=click.IntRange(0, 65535), default=11112, show_default=True, help="To listen on."),
    click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all."),
    click.option(
        "--allow", multiple=True, metavar="TITLE", help="AE title that may call. Repeatable; needed unless local."
    ),
    click.option("--max-instance", type=size, default="512M", show_default=True, help="Size of an instance."),
    click.option("--max-associations", type=click.IntRange(1, 1000), default=8, show_default=True, help="At once."),
    click.option(
        "--max-rate",
        type=click.IntRange(1),
        default=600,
        show_default=True,
        help="New associations per minute of one address.",
    ),
)


@click.group(name="dicom")
def command() -> None:
    """Stand beside a PACS: receive series, segment them, send the results back; find, pull and push.

    \b
    Examples:
      semigan dicom serve --port 11112 -b lung_cxr_segmentation --to ORTHANC@127.0.0.1:4242 -o node
      semigan dicom watch http://127.0.0.1:8042 -b liver_ct_segmentation --to http://127.0.0.1:8042/dicom-web -o node
      semigan dicom status node
      semigan dicom pull ORTHANC@127.0.0.1:4242 --list studies.csv -o images

    Needs the extra: pip install 'monai_semigan[pacs]'. Research use only.
    """


@command.command(cls=options.TopicCommand, short_help="Receive series, segment them, send the results back.")
@listening
@node
@access
@segmenting
def serve(**settings: Any) -> None:
    """Listen for C-STORE, segment each series that is complete, and send the DICOM results back.

    Success is answered when the disk has an instance; from then on nothing is lost, and each series ends once.

    \b
    Examples:
      semigan dicom serve --port 11112 --aet SEMIGAN --rules rules.json --to PACS@10.0.0.5:104 -o node \\
        --host 0.0.0.0 --allow PACS --max-disk 200G --metrics-port 9100
    """
    from monai_semigan.pacs.listener import Limits, Listener

    who = chosen_access(settings)
    limits = Limits(
        **{name: settings[name] for name in ("allow", "max_instance", "max_associations", "max_rate")},
        timeout_s=who.timeout_s,
    )
    with (
        _node(settings, who) as made,
        Listener(made.store, who, port=settings["port"], host=settings["host"], limits=limits) as listener,
        _monitored(settings["metrics_port"], made, listener),
    ):
        click.echo(f"{who.aet} listens on {settings['host']}:{listener.port}", err=True)
        _work(made)


@command.command(cls=options.TopicCommand, short_help="Take series from an Orthanc as they become stable.")
@click.argument("url")
@click.option(
    "--every", type=click.FloatRange(0.1), default=5.0, show_default=True, help="Pause between two looks, seconds."
)
@node
@access
@segmenting
def watch(url: str, every: float, **settings: Any) -> None:
    """Take the series that the Orthanc at URL calls stable, segment them, and send the results back.

    \b
    Examples:
      semigan dicom watch http://127.0.0.1:8042 -b lung_cxr_segmentation --to http://127.0.0.1:8042/dicom-web -o node
    """
    from monai_semigan.pacs.orthanc import OrthancWatch, Watcher

    who = chosen_access(settings)
    with _node(settings, who) as made:
        modalities = frozenset(word for route in made.routes for word in route.rules.modalities)
        watcher = Watcher(OrthancWatch(url, who, modalities), made.store, made.folder, every)
        with watcher, _monitored(settings["metrics_port"], made, None):
            click.echo(f"watches {watcher.url}", err=True)
            _work(made)


@command.command(short_help="Show what came in, what is done, and what is on its way.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@options.as_json
def status(folder: Path, as_json: bool) -> None:
    """Show how the node of FOLDER stands: series, cases, deliveries, and why one is late."""
    from monai_semigan.pacs.status import node_status

    found = node_status(folder)
    if as_json:
        click.echo(json.dumps(found))
        return
    rows = [("series", state, str(count)) for state, count in found["series"].items()]
    for lane, held in found["lanes"].items():
        rows += [(lane, state, str(count)) for state, count in held["counts"].items() if count]
    rows += [("deliveries", state, str(count)) for state, count in found["deliveries"]["counts"].items()]
    click.echo(text_table(("of", "state", "count"), rows))
    for entry in found["left"]:
        click.echo(f"series {entry['series']} {entry['state']}: {entry['reason']}")
    for held in found["lanes"].values():
        for entry in held["problems"]:
            click.echo(f"case {entry['case']} {entry['state']}: {entry['reason']}")
    for entry in found["deliveries"]["problems"]:
        again = "" if entry["again_in_s"] is None else f", again in {entry['again_in_s']:.0f} s"
        tries = f"{entry['attempts']} tries{again}"
        click.echo(f"case {entry['case']} to {entry['peer']} {entry['state']} ({tries}): {entry['reason']}")


@command.command(short_help="Search studies of a PACS.")
@click.argument("peer")
@click.option("--patient-id", default="", help="PatientID, with * and ?.")
@click.option("--patient-name", default="", help="PatientName, with * and ?.")
@click.option("--date", "study_date", default="", metavar="DATE", help="YYYYMMDD, or FROM-TO.")
@click.option("--accession", default="", help="AccessionNumber.")
@click.option("--modality", default="", help="Such as CT.")
@click.option("--study", default="", help="StudyInstanceUID.")
@access
@options.as_json
def find(peer: str, as_json: bool, **settings: Any) -> None:
    """Search the studies of PEER; they are printed as CSV, which `semigan dicom pull --list` takes.

    The rows name patients: they go to standard output alone.

    \b
    Examples:
      semigan dicom find ORTHANC@127.0.0.1:4242 --modality CT --date 20260101-20260131 > studies.csv
    """
    from monai_semigan.pacs.peer import parse_peer
    from monai_semigan.pacs.transfers import STUDY_FIELDS

    given = {
        "PatientID": settings["patient_id"],
        "PatientName": settings["patient_name"],
        "StudyDate": settings["study_date"],
        "AccessionNumber": settings["accession"],
        "ModalitiesInStudy": settings["modality"],
        "StudyInstanceUID": settings["study"],
    }
    rows = parse_peer(peer, chosen_access(settings)).find("study", {name: given.get(name, "") for name in STUDY_FIELDS})
    if as_json:
        click.echo(json.dumps({"studies": rows}))
        return
    writer = csv.DictWriter(sys.stdout, STUDY_FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


@command.command(cls=options.TopicCommand, short_help="Fetch studies from a PACS.")
@click.argument("peer")
@click.option("--study", "studies", multiple=True, metavar="UID", help="StudyInstanceUID. Repeatable.")
@click.option("--series", metavar="UID", help="SeriesInstanceUID of the only series of the only study.")
@click.option(
    "--list",
    "listed",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="CSV",
    help="A table with StudyInstanceUID and perhaps SeriesInstanceUID, as `find` prints it.",
)
@click.option("--move", is_flag=True, help="By C-MOVE to our --aet on --port, which the PACS must know, not C-GET.")
@click.option("--port", type=click.IntRange(0, 65535), default=11112, show_default=True, help="Of --move.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Of --move: address to listen on.")
@click.option("--allow", multiple=True, metavar="TITLE", help="Of --move: who may send.")
@state_folder
@access
@options.as_json
def pull(peer: str, output: Path, as_json: bool, **settings: Any) -> int:
    """Fetch studies from PEER into OUTPUT/received, a folder per series; the same command again goes on.

    \b
    Examples:
      semigan dicom pull http://127.0.0.1:8042/dicom-web --list studies.csv -o images
      semigan dicom pull PACS@10.0.0.5:104 --study 1.2.3 --move --aet SEMIGAN --host 0.0.0.0 --allow PACS -o images
    """
    from monai_semigan.files import make_folder
    from monai_semigan.pacs.ledger import Ledger
    from monai_semigan.pacs.peer import parse_peer
    from monai_semigan.pacs.serving import RECEIVED
    from monai_semigan.pacs.store import InstanceStore
    from monai_semigan.pacs.transfers import pull as pull_studies
    from monai_semigan.pacs.transfers import read_studies

    studies, series = settings["studies"], settings["series"]
    if bool(studies) == bool(settings["listed"]):
        raise click.UsageError("Give one of --study and --list.")
    if series and len(studies) != 1:
        raise click.UsageError("--series is of one --study.")
    wanted = read_studies(settings["listed"]) if settings["listed"] else [(study, series) for study in studies]
    who = chosen_access(settings)
    other, folder = parse_peer(peer, who), make_folder(output)
    folder.chmod(0o700)
    store = InstanceStore(folder / RECEIVED)
    with (
        Ledger(folder, create=True) as ledger,
        _fetching(other, store, who, settings) as fetch,
        progress_bar("fetch", unit=" studies") as progress,
    ):
        result = pull_studies(other, wanted, store, ledger, fetch=fetch, progress=progress)
    return _ended(result, "studies", as_json=as_json)


@command.command(short_help="Store DICOM files at a PACS.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--to", "peer", required=True, metavar="PEER", help="AET@HOST:PORT, or the address of a DICOMweb service."
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder that remembers what was sent: the same command again goes on there.",
)
@access
@options.as_json
def push(paths: tuple[Path, ...], peer: str, state: Path | None, as_json: bool, **settings: Any) -> int:
    """Store the DICOM files among PATHS, files and folders, at a PACS.

    \b
    Examples:
      semigan dicom push out/case/seg.dcm --to ORTHANC@127.0.0.1:4242
      semigan dicom push studies --to http://127.0.0.1:8042/dicom-web --state sent
    """
    from monai_semigan.pacs.peer import parse_peer
    from monai_semigan.pacs.transfers import push as push_files

    other = parse_peer(peer, chosen_access(settings))
    with progress_bar("send", unit=" folders") as progress:
        result = push_files(other, paths, state=state, progress=progress)
    return _ended(result, "files", as_json=as_json)


@contextmanager
def _node(settings: dict[str, Any], who: Access) -> Iterator[Node]:
    """Make a node of what a command was asked for; all that can be refused at once is."""
    from dataclasses import replace

    from monai_semigan.pacs.extra import pacs_library
    from monai_semigan.pacs.lanes import dicom_formats
    from monai_semigan.pacs.serving import Node, NodeOptions

    pacs_library("pynetdicom")
    pacs_library("dicomweb_client")
    routes, peers = chosen_routes(settings), chosen_peers(settings["to"], who)
    segment = chosen_options(settings)
    if segment.formats is None:
        segment = replace(segment, formats=dicom_formats(), extra_formats=())
    made = NodeOptions(
        quiet_s=settings["quiet_seconds"],
        keep_h=settings["keep_hours"],
        max_disk=settings["max_disk"],
        segment=segment,
    )
    with Node(settings["output"], routes, peers, made) as node:
        yield node


def _work(node: Node) -> None:
    """Work until Ctrl-C or SIGTERM, which is the usual end of a service and no failure."""
    try:
        node.load()
        click.echo("ready", err=True)
        node.run(threading.Event())
    except KeyboardInterrupt:
        click.echo("stopped", err=True)


@contextmanager
def _monitored(port: int | None, node: Node, listener: Any) -> Iterator[None]:
    if port is None:
        yield
        return
    from monai_semigan.pacs.monitor import Monitor

    def measure() -> tuple[bool, Mapping[str, float]]:
        if listener is None:
            return node.is_well, node.numbers
        counts = {f"listener_{name}_total": float(count) for name, count in sorted(listener.counts.items())}
        open_now = {"associations": float(listener.num_associations)}
        return node.is_well and listener.is_alive, {**node.numbers, **counts, **open_now}

    monitor = Monitor(port, measure)
    try:
        click.echo(f"metrics on 127.0.0.1:{monitor.port}", err=True)
        yield
    finally:
        monitor.close()


@contextmanager
def _fetching(peer: Any, store: Any, who: Access, settings: Mapping[str, Any]) -> Iterator[Fetch | None]:
    """Yield how to fetch: None for the peer's own way; with --move through a listener of ours."""
    if not settings["move"]:
        yield None
        return
    from monai_semigan.pacs.dimse import DimsePeer
    from monai_semigan.pacs.listener import Limits, Listener

    if not isinstance(peer, DimsePeer):
        raise click.UsageError("--move needs a PEER of the form AET@HOST:PORT.")
    limits = Limits(allow=settings["allow"], timeout_s=who.timeout_s, takes_all=True)
    with Listener(store, who, port=settings["port"], host=settings["host"], limits=limits):
        yield lambda study, series, _: peer.move(study, series, who.aet)


def _ended(result: Transferred, what: str, *, as_json: bool) -> int:
    from dataclasses import asdict

    if as_json:
        click.echo(json.dumps(asdict(result)))
    else:
        for number, reason in result.failed.items():
            click.echo(f"failed: {number}. of the list: {reason}", err=True)
        images = f", {result.instances} images" if what == "studies" else ""
        click.echo(f"{result.done} {what} done{images}, {result.before} before, {len(result.failed)} failed")
    return SOME_FAILED if result.failed else 0
