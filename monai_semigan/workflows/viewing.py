# SPDX-License-Identifier: Apache-2.0
"""Results in the browser: a server for this computer alone that gives the files of a folder to who has its address."""

from __future__ import annotations

import hmac
import secrets
import shutil
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from monai_semigan.errors import InputError, OutputError, SemiGanError
from monai_semigan.files import escaped, open_regular
from monai_semigan.types import PathLike

__all__ = ["KINDS", "ResultServer"]

HOST = "127.0.0.1"

FIRST_PAGES = ("report.html", "viewer.html")
"""What the address opens: the first one that is there."""

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".nii.gz": "application/gzip",
    ".nii": "application/octet-stream",
    ".mha": "application/octet-stream",
    ".nrrd": "application/octet-stream",
    ".dcm": "application/dicom",
}
"""Files that are given, by their ending; nothing else is."""

HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Nothing is kept, told to other sites, or shown inside their pages."""


class ResultServer:
    """Give the files of a folder of results to the browser of this computer.

    The address has a random port and a random token; without the token nothing is given. Only files of `KINDS` that
    really lie in the folder are, never a list of them.

    .. code-block:: python

        with ResultServer("out") as server:
            webbrowser.open(server.address)
            server.serve()

    Args:
        folder: With ``report.html`` of a segmentation or an evaluation, or with the ``viewer.html`` of a case.

    Raises:
        InputError: There is no such page in it.
        OutputError: The system gives no port.
    """

    def __init__(self, folder: PathLike) -> None:
        root = Path(folder)
        page = next((name for name in FIRST_PAGES if (root / name).is_file()), None)
        if page is None:
            raise InputError(
                f"`{escaped(folder)}` must be a folder of results with {' or '.join(FIRST_PAGES)}, but has none. Name "
                "the folder that was given to --output."
            )
        self.token = secrets.token_urlsafe(24)
        try:
            self._server = _Server(root.resolve(), self.token, page)
        except OSError as error:
            raise OutputError(f"No port of {HOST} could be used: {error.strerror}. End other servers.") from error

    @property
    def address(self) -> str:
        """Where the first page is; whoever knows it can read the folder while this runs, on this computer alone."""
        return f"http://{HOST}:{self._server.server_port}/{self.token}/{self._server.page}"

    def serve(self) -> None:
        """Answer until `stop` is called from another thread, or an exception ends it."""
        self._server.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """End `serve`."""
        self._server.shutdown()

    def __enter__(self) -> ResultServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, root: Path, token: str, page: str) -> None:
        self.root, self.token, self.page = root, token, page
        super().__init__((HOST, 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a browser that goes away in the middle is usual."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version, sys_version = "semigan", ""
    timeout = 60

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base's name)
        """Say nothing: addresses hold names of cases, and the token."""

    def _answer(self, *, with_content: bool) -> None:
        # A page of another site that was led here by a forged name does not know our own.
        if self.headers.get("Host") not in (
            f"{HOST}:{self.server.server_port}",
            f"localhost:{self.server.server_port}",
        ):
            self._refuse(HTTPStatus.FORBIDDEN)
            return
        _, token, *parts = [unquote(part) for part in urlsplit(self.path).path.split("/")] + [""]
        if not hmac.compare_digest(token.encode(errors="replace"), self.server.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN)
            return
        names = parts[:-1]
        if names in ([], [""]):
            self._lead_to(self.server.page)
            return
        path = _inside(self.server.root, names)
        if path is None:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        self._give(path, with_content=with_content)

    def _give(self, path: Path, *, with_content: bool) -> None:
        try:
            stream = open_regular(path)
        except SemiGanError:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        with stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            self._begin(HTTPStatus.OK, _kind(path), size)
            if with_content:
                shutil.copyfileobj(stream, self.wfile, 1 << 20)

    def _lead_to(self, page: str) -> None:
        self.send_response_only(HTTPStatus.FOUND)
        self.send_header("Location", f"/{self.server.token}/{quote(page)}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _refuse(self, status: HTTPStatus) -> None:
        text = f"{status.value} {status.phrase}\n".encode()
        self._begin(status, "text/plain; charset=utf-8", len(text))
        if self.command != "HEAD":
            self.wfile.write(text)

    def _begin(self, status: HTTPStatus, kind: str, size: int) -> None:
        self.send_response_only(status)
        for name, value in (HEADERS | {"Content-Type": kind, "Content-Length": str(size)}).items():
            self.send_header(name, value)
        self.end_headers()


def _inside(root: Path, names: list[str]) -> Path | None:
    """Return the file that an address names; None for what is hidden, of another kind, or outside, also by a link."""
    if any(name in ("", ".", "..") or name.startswith(".") or set(name) & set("/\\:\0") for name in names):
        return None
    path = root.joinpath(*names)
    if not _kind(path):
        return None
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):  # missing; links in a circle
        return None
    return path if real.is_relative_to(root) and _kind(real) else None


def _kind(path: Path) -> str:
    """Media type of a file by its ending; empty for one that is not given."""
    return next((kind for ending, kind in KINDS.items() if path.name.lower().endswith(ending)), "")
