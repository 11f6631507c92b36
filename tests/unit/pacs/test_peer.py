"""Peers by what a user writes, what servers that are none answer, and results that wait for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dicom_files
import pytest

from monai_semigan.errors import ConfigError, PeerError
from monai_semigan.pacs.delivery import Sender, pause_s
from monai_semigan.pacs.ledger import Ledger
from monai_semigan.pacs.orthanc import OrthancWatch
from monai_semigan.pacs.peer import Access, parse_peer
from monai_semigan.pacs.store import InstanceStore
from monai_semigan.pacs.transfers import push, read_studies

pytest.importorskip("pynetdicom")
pytest.importorskip("dicomweb_client")

pytestmark = [  # pynetdicom lets the system close sockets that never got through
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]

HTML = (200, "text/html", b"<html>Welcome, Secret^Name</html>")


@contextmanager
def answering(code: int, kind: str = "text/plain", content: bytes = b"") -> Iterator[str]:
    """A web server that answers everything the same."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.do_GET()

        def do_GET(self) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/dicom-web"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return dicom_files.write_series(tmp_path / "series")[:2]


@pytest.mark.parametrize(
    "text",
    ["ORTHANC", "ORTHANC@host", "@host:1", "A@host:0", "A@host:70000", "A@host:x", "TITLEOFSEVENTEENS@h:1", "A\\B@h:1"],
)
def test_what_is_no_peer_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="`to` must be"):
        parse_peer(text)


@pytest.mark.parametrize(
    "text", ["http://me:secret@host/dicom-web", "http://", "http://host:port/x", "https://h/x?a=b"]
)
def test_an_address_has_no_secret_and_a_host(text: str) -> None:
    with pytest.raises(ConfigError, match="An address must") as refused:
        parse_peer(text)
    assert "secret" not in str(refused.value)


def test_a_secret_is_in_no_repr() -> None:
    assert "hush" not in repr(Access(user="me", password="hush", token="hush"))


@pytest.mark.parametrize(
    ("answer", "said", "is_final"),
    [
        ((401,), r"wants a user or token that it knows.*\(HTTP 401\)", False),
        ((403,), "refuses this user", False),
        ((404,), "has no DICOMweb at this address", False),
        ((500,), r"failed \(HTTP 500\)", False),
        ((503,), r"failed \(HTTP 503\)", False),
        ((415,), r"refused \(HTTP 415\)", True),
        (HTML, "did not say that it stored", False),
        ((200, "application/dicom+json", b"{no json"), "something that is no DICOMweb", False),
        ((200, "application/dicom+xml", b"<html>"), "something that is no DICOMweb", False),
    ],
    ids=["401", "403", "404", "500", "503", "415", "HTML", "no JSON", "no XML"],
)
def test_an_answer_that_is_no_success_is_none(answer, said: str, is_final: bool, files: list[Path]) -> None:
    with answering(*answer) as url, pytest.raises(PeerError, match=said) as failed:
        parse_peer(url).send(files)

    assert failed.value.is_final == is_final
    assert "Secret" not in str(failed.value)


def test_searches_and_watches_of_no_such_server_fail_clearly(tmp_path: Path) -> None:
    with answering(*HTML) as url:
        with pytest.raises(PeerError, match="no DICOMweb"):
            parse_peer(url).find("study", {"PatientID": ""})
        with pytest.raises(PeerError, match="no DICOMweb"):
            parse_peer(url).fetch("1.2", None, lambda _: None)
        with Ledger(tmp_path, create=True) as ledger, pytest.raises(PeerError):
            OrthancWatch(url, Access(), frozenset({"CT"})).look(InstanceStore(tmp_path / "in"), ledger)


def case_folder(results: Path, files: list[Path]) -> None:
    """A finished case whose record names a DICOM file."""
    import case_records

    from monai_semigan.files import write_json
    from monai_semigan.settings import to_json

    folder = results / "lane" / "case"
    folder.mkdir(parents=True)
    (folder / "seg.dcm").write_bytes(files[0].read_bytes())
    record = case_records.image_record("case", files={"seg.dcm": "0" * 64})
    write_json(folder / "case.json", to_json(record))


def test_results_wait_for_a_destination_that_is_down(
    files: list[Path], tmp_path: Path, listen: Callable, unused_port: int
) -> None:
    case_folder(tmp_path / "results", files)
    title = f"SEMIGAN@127.0.0.1:{unused_port}"
    peer = parse_peer(title)
    sender = Sender(tmp_path, tmp_path / "results", {peer.name: peer})
    with Ledger(tmp_path, create=True) as ledger:
        ledger.deliver("lane", ["case"], [peer.name])

        assert sender.send_due(ledger) == 0
        (late,) = ledger.deliveries()
        assert (late.state, late.attempts) == ("waiting", 1) and "cannot be reached" in late.reason
        assert 3 < late.due - time.time() <= pause_s(0)
        assert sender.send_due(ledger) == 0 and ledger.deliveries()[0].attempts == 1, "not before it is due"
        ledger.retry()
        node = listen()
        peer.port = node.port  # it came up
        assert sender.send_due(ledger) == 1
        assert [one.state for one in ledger.deliveries()] == ["sent"]
    assert node.store.num_kept == 1


def test_what_is_refused_for_good_has_failed_and_the_rest_goes_on(files: list[Path], tmp_path: Path) -> None:
    case_folder(tmp_path / "results", files)
    with answering(415) as url, Ledger(tmp_path, create=True) as ledger:
        peer = parse_peer(url)
        ledger.deliver("lane", ["case"], [peer.name])

        Sender(tmp_path, tmp_path / "results", {peer.name: peer}).send_due(ledger)

        assert [one.state for one in ledger.deliveries()] == ["failed"]
        assert ledger.retry() == 1 and ledger.deliveries()[0].state == "waiting"


def test_pauses_grow_to_a_limit() -> None:
    assert [pause_s(tries) for tries in (0, 1, 2, 5, 50)] == [5, 10, 20, 160, 900]


def test_a_push_goes_on_where_it_ended(files: list[Path], tmp_path: Path, listen: Callable) -> None:
    node = listen()
    peer = parse_peer(f"SEMIGAN@127.0.0.1:{node.port}")

    first = push(peer, [tmp_path / "series"], state=tmp_path / "sent")
    second = push(peer, [tmp_path / "series"], state=tmp_path / "sent")

    assert (first.done, first.before, second.done, second.before) == (5, 0, 0, 5)
    assert node.counts["stored"] == 5
    assert push(peer, files).done == 2


def test_a_list_of_studies_must_hold_uids(tmp_path: Path) -> None:
    from monai_semigan.errors import InputError

    table = tmp_path / "studies.csv"
    table.write_text("PatientID,StudyInstanceUID\nSecret,1.2.3\n\nx,1.2.4\n")
    assert read_studies(table) == [("1.2.3", None), ("1.2.4", None)]
    table.write_text("StudyInstanceUID,SeriesInstanceUID\n1.2.3,1.9\nSecret^Name,\n")
    with pytest.raises(InputError, match="row 3") as refused:
        read_studies(table)
    assert "Secret" not in str(refused.value)
    table.write_text("study\n1.2.3\n")
    with pytest.raises(InputError, match="column StudyInstanceUID"):
        read_studies(table)
