"""A real Chromium for tests and screenshots, driven over a pipe: no package, no port, no network.

The protocol is Chrome's own (https://chromedevtools.github.io/devtools-protocol/): JSON messages that end in a zero
byte, written to the browser's file descriptor 3 and read from its 4 (`--remote-debugging-pipe`).
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ANSWER_SEC = 60.0  # a busy machine takes its time
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # a container has no user namespaces; the pages are our own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)

# (key's name: code, key code, text) of the keys that tests press
KEYS = {
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    " ": ("Space", 32, " "),
    "ArrowLeft": ("ArrowLeft", 37, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
    "ArrowRight": ("ArrowRight", 39, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
    "+": ("Equal", 187, "+"),
}


class BrowserError(RuntimeError):
    """The browser does not answer, or refuses a command."""


def chromium() -> str | None:
    """The path of a Chromium or Chrome on this machine; `CHROMIUM` in the environment comes first."""
    wanted = os.environ.get("CHROMIUM")
    return next((found for name in ((wanted,) if wanted else NAMES) if (found := shutil.which(name))), None)


@contextmanager
def open_browser(path: str | None = None) -> Iterator[Browser]:
    """A headless browser with a profile of its own; on leaving, it and all its processes end.

    Raises BrowserError where there is none.
    """
    executable = path or chromium()
    if executable is None:
        raise BrowserError(f"none of {', '.join(NAMES)} is on PATH; install it, or name it in CHROMIUM")
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        browser = Browser(executable, Path(profile))
        try:
            yield browser
        finally:
            browser.close()


class Browser:
    """One browser process. `page()` opens tabs in it."""

    def __init__(self, executable: str, profile: Path) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        # Away from 3 and 4, which the browser's ends become: two that are there already would overwrite each other.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (to_browser, from_browser)]
        null = os.open(os.devnull, os.O_RDWR)
        actions = [(os.POSIX_SPAWN_DUP2, null, stream) for stream in (0, 1, 2)]
        actions += [(os.POSIX_SPAWN_DUP2, end, number) for end, number in zip(ends, (3, 4), strict=True)]
        words = [executable, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._pid = os.posix_spawn(executable, words, dict(os.environ), file_actions=actions, setsid=True)
        for end in (to_browser, from_browser, *ends, null):
            os.close(end)
        self._number, self._buffer = 0, b""
        self._events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result. Raises BrowserError if it is refused or not answered in time."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + ANSWER_SEC
        while True:
            answer = self._message(until, method)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])
            self._events.append(answer)

    def wait_for(self, event: str, session: str) -> dict[str, Any]:
        """The parameters of the next event of that name, among those that came already too."""
        until = time.monotonic() + ANSWER_SEC
        while True:
            for index, message in enumerate(self._events):
                if message.get("method") == event and message.get("sessionId") == session:
                    return dict(self._events.pop(index)["params"])
            self._events.append(self._message(until, event))

    def events(self, session: str) -> list[dict[str, Any]]:
        """What a page has reported so far and nobody waited for."""
        return [message for message in self._events if message.get("sessionId") == session]

    def _message(self, until: float, what: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            chunk = os.read(self._read, 1 << 20) if ready else b""
            if not chunk:
                raise BrowserError(f"{what}: {'the browser ended' if ready else f'no answer within {ANSWER_SEC:g} s'}")
            self._buffer += chunk
        first, self._buffer = self._buffer.split(b"\0", 1)
        return dict(json.loads(first))

    def page(self, address: str | Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> Page:
        """A new tab of that size in CSS pixels with the address, or a file, loaded in it."""
        target = str(self.call("Target.createTarget", url="about:blank")["targetId"])
        session = str(self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        page = Page(self, session, target)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        page.dark(dark)
        page.open(address)
        return page

    def close(self) -> None:
        """End the browser and all its processes."""
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        for end in (self._write, self._read):
            os.close(end)


class Page:
    """A tab."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser, self._session, self._target = browser, session, target

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def open(self, address: str | Path) -> None:
        """Load it, and wait until it is there with all that it needs."""
        url = address.resolve().as_uri() if isinstance(address, Path) else address
        result = self.call("Page.navigate", url=url)
        if "errorText" in result:
            raise BrowserError(f"{url}: {result['errorText']}")
        self._browser.wait_for("Page.loadEventFired", self._session)

    def close(self) -> None:
        """Close the tab."""
        self._browser.call("Target.closeTarget", targetId=self._target)

    def resize(self, width: int, height: int) -> None:
        """The size in CSS pixels; below 500 too, where a window of the desktop would stop."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def dark(self, on: bool) -> None:
        features = [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, a promise's too. Raises BrowserError if it throws."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details["text"])
        return result["result"].get("value")

    def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of the first element that the selector finds."""
        point = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center', behavior: 'instant'}); const b = e.getBoundingClientRect();"
            " return {x: b.x + b.width / 2, y: b.y + b.height / 2}; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **point, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """A key of `KEYS`, to whatever has the focus."""
        code, number, text = KEYS[key]
        common: dict[str, Any] = {"key": key, "code": code, "windowsVirtualKeyCode": number}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def complaints(self) -> list[str]:
        """Errors and warnings on the console, uncaught exceptions, refusals of the page's policy."""
        self.evaluate("new Promise(requestAnimationFrame)")  # so that all before it has been reported
        found = []
        for event in self._browser.events(self._session):
            parameters = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(parameters["exceptionDetails"]["text"])
            elif event["method"] == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
                found.append(" ".join(str(value.get("value")) for value in parameters["args"]))
            elif event["method"] == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                found.append(parameters["entry"]["text"])
        return found

    def requests(self) -> list[str]:
        """Addresses that were asked for, those within the document (`data:`) left out."""
        self.evaluate("new Promise(requestAnimationFrame)")
        events = self._browser.events(self._session)
        asked = [
            event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"
        ]
        return [address for address in asked if not address.startswith("data:")]

    def screenshot(self, path: Path, *, whole: bool = False, part: str = "") -> Path:
        """Write a PNG of what is seen, of the whole page, or of the first element that the selector `part` finds."""
        parameters: dict[str, Any] = {"format": "png", "captureBeyondViewport": whole or bool(part)}
        if part:
            box = f"document.querySelector({json.dumps(part)}).getBoundingClientRect()"
            frame = f"(b => ({{x: b.x + scrollX, y: b.y + scrollY, width: b.width, height: b.height}}))({box})"
            parameters["clip"] = {**self.evaluate(frame), "scale": 1}
        elif whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            parameters["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", **parameters)["data"]))
        return path
