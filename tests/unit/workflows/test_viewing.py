"""The server of results gives files of one folder to who has the token, on this computer, and nothing else."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from monai_semigan.cli.view import command
from monai_semigan.errors import InputError
from monai_semigan.workflows.viewing import ResultServer

SECRET = b"of nobody else"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder of results with files that must be given, and others, inside and outside, that must not."""
    folder = tmp_path / "out"
    (folder / "a b").mkdir(parents=True)
    (folder / "report.html").write_text("<h1>report</h1>")
    (folder / "a b" / "viewer-image.nii.gz").write_bytes(b"\x1f\x8bvolume")
    (folder / "a b" / "case.json").write_text("{}")
    (folder / ".hidden.json").write_bytes(SECRET)
    (folder / "key.pem").write_bytes(SECRET)
    (folder / "all.tar.gz").write_bytes(SECRET)
    (folder / "folder.html").mkdir()
    (tmp_path / "outside.json").write_bytes(SECRET)
    (folder / "link.json").symlink_to(tmp_path / "outside.json")
    (folder / "to_key.json").symlink_to(folder / "key.pem")
    (folder / "up").symlink_to(tmp_path)
    (folder / "circle.json").symlink_to(folder / "circle.json")
    return folder


@pytest.fixture
def server(results: Path) -> Iterator[ResultServer]:
    with ResultServer(results) as running:
        thread = threading.Thread(target=running.serve)
        thread.start()
        yield running
        running.stop()
        thread.join()


Ask = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture
def ask(server: ResultServer) -> Ask:
    """Ask for a raw path; status, headers and content."""

    def get(path: str, method: str = "GET", host: str | None = None) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(server.address).port, timeout=10)
        connection.putrequest(method, path.replace("TOKEN", server.token), skip_host=True)
        connection.putheader("Host", host or urlsplit(server.address).netloc)
        connection.endheaders()
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return found

    return get


def test_files_are_given_to_who_has_the_token(ask, server) -> None:
    status, headers, content = ask("/TOKEN/report.html")
    assert (status, content) == (200, b"<h1>report</h1>")
    assert headers["Referrer-Policy"] == "no-referrer" and headers["Cache-Control"] == "no-store"
    assert headers["Content-Type"].startswith("text/html")

    status, headers, content = ask("/TOKEN/a%20b/viewer-image.nii.gz?x=1")
    assert (status, content) == (200, b"\x1f\x8bvolume") and headers["Content-Length"] == "8"
    assert "Content-Encoding" not in headers
    assert ask("/TOKEN/a%20b/case.json", method="HEAD")[::2] == (200, b"")

    for first in ("/TOKEN", "/TOKEN/"):
        status, headers, _ = ask(first)
        assert status == 302 and headers["Location"] == urlsplit(server.address).path


@pytest.mark.parametrize("path", ["/", "/report.html", "//report.html", "/TOKE/report.html", "/TOKENx/report.html",
                                  "/token/TOKEN/report.html", "/%C3%A4/report.html", "*", "/favicon.ico"])  # fmt: skip
def test_without_the_token_nothing_is_given(ask, path) -> None:
    status, _, content = ask(path)

    assert status == 403 and b"report" not in content


@pytest.mark.parametrize("path", [
    "../outside.json", "%2e%2e/outside.json", "a%20b/../../outside.json", "..%2foutside.json", "up/outside.json",
    "a%20b/..%5c..%5coutside.json", "link.json", "to_key.json", "circle.json", ".hidden.json", "key.pem", "all.tar.gz",
    "folder.html", "a%20b", "a%20b/", "/etc/passwd", "%00.json", "report.html%00.json", "missing.json", "report.html/",
    "C:%5Cx.json",
])  # fmt: skip
def test_only_known_files_inside_are_given(ask, path) -> None:
    status, _, content = ask(f"/TOKEN/{path}")

    assert status == 404 and SECRET not in content and b"case.json" not in content


def test_a_page_of_another_site_reaches_nothing(ask) -> None:
    assert ask("/TOKEN/report.html", host="evil.example:80")[0] == 403
    assert ask("/TOKEN/report.html", method="POST")[0] == 501


def test_only_this_computer_is_listened_to(server) -> None:
    address, port = server._server.socket.getsockname()
    assert address == "127.0.0.1" and port == urlsplit(server.address).port

    others = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
    for other in others:
        with socket.socket() as tried:
            tried.settimeout(2)
            assert tried.connect_ex((other, port)) != 0


def test_every_server_has_a_token_of_its_own(results) -> None:
    with ResultServer(results) as one, ResultServer(results) as two:
        assert one.token != two.token and len(one.token) >= 32 and one.address != two.address


def test_a_folder_without_a_page_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="report"):
        ResultServer(tmp_path)
    with pytest.raises(InputError, match="must be a folder of results"):
        ResultServer(tmp_path / "missing")


def test_the_command_prints_its_address_and_ends_by_ctrl_c(results, monkeypatch) -> None:
    def interrupted(_: ResultServer) -> None:
        raise KeyboardInterrupt

    opened: list[str] = []
    monkeypatch.setattr(ResultServer, "serve", interrupted)
    monkeypatch.setattr("webbrowser.open", opened.append)

    printed = CliRunner().invoke(command, [str(results), "--no-browser"])
    assert printed.exit_code == 0 and printed.stdout.startswith("http://127.0.0.1:") and opened == []

    printed = CliRunner().invoke(command, [str(results)])
    assert opened == [printed.stdout.strip()]
