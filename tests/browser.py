"""Drive a headless Chromium over its debugging pipe: open pages, run scripts, press keys, take pictures.

Only the standard library: the protocol is JSON, ended by a zero byte, on two pipes that the browser inherits.
"""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--remote-debugging-pipe", "--enable-unsafe-swiftshader",
)  # fmt: skip


class Browser:
    """A browser with one page.

    Attributes:
        messages: Errors and warnings of the console, and uncaught exceptions, since the page was opened.
        requests: Addresses that the page has asked for, itself among them.
    """

    def __init__(self, program: str, profile: Path, *, width: int = 1200, height: int = 900) -> None:
        down, up = os.pipe(), os.pipe()
        self._write, self._read = down[1], up[0]

        def hand_over() -> None:  # the browser reads file 3 and writes file 4
            reading, writing = os.dup(down[0]), os.dup(up[1])
            os.dup2(reading, 3)
            os.dup2(writing, 4)

        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=hand_over,  # noqa: PLW1509
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(down[0])
        os.close(up[1])
        self._rest, self._number, self._session = b"", 0, ""
        self.messages: list[str] = []
        self.requests: list[str] = []
        self._loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(width, height)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            answer = self._next(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
        raise AssertionError(f"no answer to {method}")

    def open(self, address: str) -> None:
        """Load a page and wait until it is there."""
        self.messages.clear()
        self.requests.clear()
        self._loaded = False
        self.call("Page.navigate", url=address)
        deadline = time.monotonic() + 120
        while not self._loaded:
            self._next(deadline)

    def run(self, script: str) -> Any:
        """Evaluate an expression in the page, awaiting promises; its value as JSON has it."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < deadline, f"{condition} did not become true; console: {self.messages}"
            time.sleep(0.05)

    def press(self, key: str, code: str = "") -> None:
        """Press a key."""
        text = key if len(key) == 1 else ""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=code, text=text if kind == "keyDown" else "")

    def resize(self, width: int, height: int = 900) -> None:
        """Set the size of the window, pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def prefer(self, scheme: str = "light", media: str = "") -> None:
        """Choose light or dark, and screen or print."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", media=media, features=[feature])

    def picture(self, *, whole: bool = False) -> bytes:
        """Take a picture of the page as PNG, of what is seen or of all of it."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"])

    def close(self) -> None:
        """End the browser."""
        self._process.terminate()
        self._process.wait(30)
        os.close(self._write)
        os.close(self._read)

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser did not answer in time"
            part = os.read(self._read, 1 << 20)
            assert part, "the browser has ended"
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, facts: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(facts["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.messages.append(str(facts["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and facts["type"] in ("error", "warning", "assert"):
            self.messages.append(f"{facts['type']}: {facts['args']}")
        elif method == "Log.entryAdded" and facts["entry"]["level"] in ("error", "warning"):
            self.messages.append(f"{facts['entry']['level']}: {facts['entry']['text']} {facts['entry'].get('url')}")


def is_bad(rule: dict[str, Any]) -> bool:
    """Whether a finding of axe-core is serious."""
    return rule["impact"] in ("serious", "critical")
