"""Headless Chromium, driven over the pipe of its DevTools protocol: no driver, no port, no package."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pages import CHROMIUM

QUIET = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync "
    "--disable-extensions --hide-scrollbars --force-color-profile=srgb --remote-debugging-pipe"
)
SECONDS = 20
KEYS = {
    "Enter": (13, "\r"),
    "Escape": (27, ""),
    "ArrowDown": (40, ""),
    "ArrowUp": (38, ""),
    "Home": (36, ""),
    "End": (35, ""),
    "Tab": (9, ""),
    "Backspace": (8, ""),
    "/": (191, "/"),
}


class Browser:
    """One Chromium; what it says is read only while an answer is awaited."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write, self._number, self._rest = read, write, 0, b""
        self.events: list[dict[str, Any]] = []
        self._contexts: list[str] = []

    def call(self, method: str, session: str | None = None, /, **params: object) -> dict[str, Any]:
        """One command and its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self._write, json.dumps(message).encode() + b"\0")
        ends = time.monotonic() + SECONDS
        while True:
            answer = self._next(ends)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def _next(self, ends: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._read], [], [], max(0, ends - time.monotonic()))[0], "Chromium does not answer"
            part = os.read(self._read, 1 << 20)
            assert part, "Chromium is gone"
            self._rest += part
        first, _, self._rest = self._rest.partition(b"\0")
        return json.loads(first)

    def tab(self, url: str, *, width: int = 1200, height: int = 900, dark: bool = False, still: bool = False) -> Tab:
        """A new page in a profile of its own."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        self._contexts.append(context)
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.call(f"{domain}.enable")
        tab.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        media = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce" if still else "no-preference"}
        tab.call("Emulation.setEmulatedMedia", features=[{"name": name, "value": value} for name, value in media.items()])
        tab.open(url)
        return tab

    def close_tabs(self) -> None:
        """Closes every page, and forgets what it said."""
        while self._contexts:
            self.call("Target.disposeBrowserContext", browserContextId=self._contexts.pop())
        self.events.clear()


class Tab:
    """A page as a user has it: keys, text, what is shown."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def call(self, method: str, **params: object) -> dict[str, Any]:
        return self._browser.call(method, self._session, **params)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script: str) -> Any:
        """The value of an expression; a promise is awaited."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, script: str, *, seconds: float = SECONDS) -> None:
        """Waits until an expression is true."""
        self.until_true(lambda: self.run(f"Boolean({script})"), script, seconds)

    def until_true(self, ask: Callable[[], object], told: str, seconds: float = SECONDS) -> None:
        ends = time.monotonic() + seconds
        while not ask():
            assert time.monotonic() < ends, f"never true: {told}\n{self.run('document.body.innerText')}"
            time.sleep(0.03)

    def key(self, name: str) -> None:
        code, text = KEYS[name]
        same = {"key": name, "code": name, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **same, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **same)

    def write(self, text: str) -> None:
        """Text as a keyboard gives it to what has the focus."""
        self.call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        self.until(f"document.querySelector({selector!r}) !== null")
        self.run(f"document.querySelector({selector!r}).click()")

    def text(self, selector: str = "body") -> str:
        return self.run(f"document.querySelector({selector!r})?.innerText ?? ''")

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        shown = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shown["data"]))

    def complaints(self) -> list[str]:
        """What stands on the console as a warning or an error: an uncaught exception, a script or style that the policy forbids."""
        self.run("0")
        found = []
        for event in self._events():
            details = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(details["exceptionDetails"]))
            elif event["method"] == "Runtime.consoleAPICalled" and details["type"] in {"error", "warning", "assert"}:
                found.append(str(details["args"]))
            elif event["method"] == "Log.entryAdded" and details["entry"]["source"] != "network":
                found.append(details["entry"]["text"])
        return found

    def requested(self) -> list[str]:
        """Addresses that the page asked for."""
        self.run("0")
        return [event["params"]["request"]["url"] for event in self._events() if event["method"] == "Network.requestWillBeSent"]

    def _events(self) -> Iterator[dict[str, Any]]:
        return (event for event in self._browser.events if event.get("sessionId") == self._session)


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A running browser."""
    for_it, ours = os.pipe()
    from_it, its = os.pipe()
    # the protocol's pipe is descriptors 3 and 4 of the child; copies above them, so that neither overwrites the other
    high = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 100) for each in (for_it, its)]
    os.close(for_it)
    os.close(its)

    def wire() -> None:
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    process = subprocess.Popen(
        [str(CHROMIUM), *QUIET.split(), f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(3, 4),
        preexec_fn=wire,  # noqa: PLW1509 - the two descriptors can be given in no other way
    )
    for each in high:
        os.close(each)
    try:
        browser = Browser(from_it, ours)
        yield browser
        browser.call("Browser.close")
        process.wait(timeout=SECONDS)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(from_it)
