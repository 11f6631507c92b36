# SPDX-License-Identifier: Apache-2.0
"""``/health`` and Prometheus' ``/metrics`` on a local port: counts, and nothing that could identify anybody."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from monai_semigan.errors import ConfigError

__all__ = ["Monitor"]

Measure = Callable[[], tuple[bool, Mapping[str, float]]]
"""Returns whether all is well, and numbers by name; a name that ends in ``_total`` only grows."""

PREFIX = "semigan_dicom_"


class Monitor:
    """Serve measures until `close`.

    Args:
        port: Of TCP on 127.0.0.1; 0 for a free one, see `port`.
        measure: Called for each request.

    Raises:
        ConfigError: The port is taken.
    """

    def __init__(self, port: int, measure: Measure) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                is_well, numbers = measure()
                if self.path == "/health":
                    self._answer(200 if is_well else 503, "application/json", json.dumps({"ok": is_well}))
                elif self.path == "/metrics":
                    self._answer(200, "text/plain; version=0.0.4", _prometheus(is_well, numbers))
                else:
                    self._answer(404, "text/plain", "/health or /metrics\n")

            def _answer(self, code: int, kind: str, text: str) -> None:
                content = text.encode()
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *values: object) -> None:  # noqa: A002  (the library's name)
                """Say nothing."""

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"`metrics_port` must be one that nobody listens on, got {port}. Choose another."
            ) from error
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="dicom-monitor", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


def _prometheus(is_well: bool, numbers: Mapping[str, float]) -> str:
    lines = []
    for name, value in {"up": float(is_well), **numbers}.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# TYPE {PREFIX}{name} {kind}", f"{PREFIX}{name} {value:g}"]
    return "\n".join(lines) + "\n"
