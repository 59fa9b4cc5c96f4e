"""A Chromium without a window, driven over its debugging pipe: tests look at pages as people get them.

It needs a browser that is installed, and no driver and no port. Tests that use it skip where there is none.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = f"no browser is installed (looked for {', '.join(NAMES)})"

_QUIET = (
    "--headless", "--remote-debugging-pipe", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--disable-dev-shm-usage",
)  # fmt: skip
_START_SECONDS = 90.0


def installed() -> str | None:
    """Path of a browser, None where there is none."""
    return next((path for path in map(shutil.which, NAMES) if path is not None), None)


def started() -> Iterator[Browser]:
    """What a fixture of a module yields from; skips the tests that want it where no browser is installed."""
    path = installed()
    if path is None:
        pytest.skip(MISSING)
    made = Browser(path)
    yield made
    made.close()


class Browser:
    """A browser with one page open.

    Raises:
        RuntimeError: it does not answer; the message has the end of what it printed.
    """

    def __init__(self, path: str) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="fedchain-browser-"))
        self._log = (self._home / "log").open("w+b")
        to_it, self._out = os.pipe()
        self._in, from_it = os.pipe()
        root = ("--no-sandbox",) if os.geteuid() == 0 else ()  # it has no sandbox for the superuser
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{to_it} 4>&{from_it}', "-", path, *_QUIET, *root,
             f"--user-data-dir={self._home / 'profile'}", "about:blank"],
            pass_fds=(to_it, from_it), stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        os.close(to_it)
        os.close(from_it)
        self._buffer = b""
        self._count = 0
        self._session = ""
        self.events: list[dict[str, Any]] = []
        timer = threading.Timer(_START_SECONDS, self._process.kill)  # then the pipe ends, and with it every wait
        timer.start()
        try:
            target = self.ask("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Network", "Runtime", "Log"):
                self.ask(f"{domain}.enable")
        except BaseException:
            self.close()
            raise
        finally:
            timer.cancel()

    def close(self) -> None:
        """End it and remove all that it wrote."""
        self._process.kill()
        self._process.wait()
        os.close(self._out)
        os.close(self._in)
        self._log.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol; events that come meanwhile go to `events`."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def open(self, page: Path, *, width: int, height: int = 900, media: str = "screen", scheme: str = "light") -> None:
        """Show a file as a window of that width does, once it has loaded; `events` are those of this page alone."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.ask(
            "Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}]
        )
        self.events.clear()
        self.ask("Page.navigate", url=page.absolute().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())

    def tell(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; the page's own policy does not bind it."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def requests(self) -> list[str]:
        """What the page got or tried to get since it was opened, itself first; not what its policy held back."""
        refused = {
            event["params"]["requestId"]
            for event in self.events
            if event.get("method") == "Network.loadingFailed" and event["params"].get("blockedReason") == "csp"
        }
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent" and event["params"]["requestId"] not in refused
        ]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._in, 1 << 16)
            if not part:
                self._log.seek(0)
                raise RuntimeError(f"the browser ended: {self._log.read()[-2000:].decode(errors='replace')}")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer
