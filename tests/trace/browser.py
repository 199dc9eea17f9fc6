"""A headless Chromium for tests, driven through its DevTools protocol over two pipes.

No package is needed, only the browser itself (Debian: apt-get install chromium). `find()` says where it is.
"""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
KEYS = {  # name -> (code, number, text)
    "ArrowLeft": ("ArrowLeft", 37, ""), "ArrowUp": ("ArrowUp", 38, ""), "ArrowRight": ("ArrowRight", 39, ""),
    "ArrowDown": ("ArrowDown", 40, ""), "Home": ("Home", 36, ""), "End": ("End", 35, ""),
    "Tab": ("Tab", 9, ""), "Enter": ("Enter", 13, "\r"), "Escape": ("Escape", 27, ""), " ": ("Space", 32, " "),
}  # fmt: skip


def find() -> str | None:
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One process; `open` gives a page. Close it: `with Browser() as browser: ...`."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="minis2s-chromium-")
        to_read, self.to = os.pipe()
        self.back, to_write = os.pipe()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (to_read, to_write)]

        def at_three_and_four():  # where the browser looks for its pipes
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        options += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        options += ["--remote-debugging-pipe", f"--user-data-dir={self.folder}", "--lang=en", "about:blank"]
        self.process = subprocess.Popen(
            [find(), *options], pass_fds=(3, 4), preexec_fn=at_three_and_four, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for fd in (to_read, to_write, *high):
            os.close(fd)
        self.rest, self.number, self.events = b"", 0, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.to)  # the browser ends when its pipe does
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.back)
        shutil.rmtree(self.folder, ignore_errors=True)

    def message(self) -> dict:
        while b"\0" not in self.rest:
            more = os.read(self.back, 1 << 16)
            if not more:
                raise RuntimeError("the browser has ended")
            self.rest += more
        one, self.rest = self.rest.split(b"\0", 1)
        return json.loads(one)

    def send(self, method: str, session: str | None = None, **parameters) -> dict:
        self.number += 1
        text = {"id": self.number, "method": method, "params": parameters}
        data = json.dumps(text | ({"sessionId": session} if session else {})).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data) :]
        while True:
            got = self.message()
            if got.get("id") == self.number:
                if "error" in got:
                    raise RuntimeError(f"{method}: {got['error']['message']}")
                return got["result"]
            if "method" in got:
                self.events.append(got)

    def open(self, path: Path, width=1600, height=900, dark=False, language="en") -> "Page":
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, target, session).load(path, width, height, dark, language)


class Page:
    def __init__(self, browser: Browser, target: str, session: str):
        self.browser, self.target, self.session = browser, target, session

    def send(self, method: str, **parameters) -> dict:
        return self.browser.send(method, self.session, **parameters)

    def load(self, path, width, height, dark, language) -> "Page":
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")
        self.size(width, height)
        self.media("screen", dark)
        agent = self.browser.send("Browser.getVersion")["userAgent"]
        self.send("Network.setUserAgentOverride", userAgent=agent, acceptLanguage=language)
        self.send("Page.navigate", url=path.as_uri())
        self.until("document.readyState == 'complete' && location.protocol == 'file:'")
        return self

    def close(self) -> None:
        self.browser.send("Target.closeTarget", targetId=self.target)

    def size(self, width: int, height: int = 900) -> None:
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def media(self, media: str, dark: bool = False) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def js(self, code: str) -> Any:
        got = self.send("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in got:
            raise RuntimeError(got["exceptionDetails"].get("exception", {}).get("description", code))
        return got["result"].get("value")

    def until(self, code: str, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not self.js(code):
            if time.monotonic() > end:
                raise AssertionError(f"not true within {seconds} s: {code}")
            time.sleep(0.02)

    def text(self, selector: str) -> str:
        return self.js(f"document.querySelector({json.dumps(selector)}).textContent")

    def press(self, *keys: str) -> None:
        for key in keys:
            code, number, text = KEYS.get(key, ("", ord(key[0].upper()), key))
            for kind in ("keyDown", "keyUp"):
                more = {"text": text} if text and kind == "keyDown" else {}
                self.send("Input.dispatchKeyEvent", type=kind, key=key, code=code, windowsVirtualKeyCode=number, **more)

    def click(self, selector: str) -> None:
        x, y = self.place(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def hover(self, selector: str) -> None:
        x, y = self.place(selector)
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def place(self, selector: str) -> tuple[float, float]:
        return self.js(
            f"(() => {{ const node = document.querySelector({json.dumps(selector)});"
            "node.scrollIntoView({block: 'center', inline: 'center'}); const r = node.getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2] })()"
        )

    def faults(self) -> list[str]:
        """What the console said, and every request beyond the file itself."""
        self.js("0")  # what is under way has arrived
        said = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            what, about = event["method"], event["params"]
            if what == "Runtime.consoleAPICalled":
                said.append("console: " + str([a.get("value") for a in about["args"]]))
            elif what == "Runtime.exceptionThrown":
                said.append("error: " + json.dumps(about["exceptionDetails"])[:500])
            elif what == "Log.entryAdded":
                said.append("log: " + about["entry"]["text"])
            elif what == "Network.requestWillBeSent" and about["request"]["url"].split(":")[0] not in ("file", "data"):
                said.append("request: " + about["request"]["url"][:200])
        return said

    def requests(self) -> list[str]:
        self.js("0")
        mine = [e for e in self.browser.events if e.get("sessionId") == self.session]
        return [e["params"]["request"]["url"] for e in mine if e["method"] == "Network.requestWillBeSent"]

    def pdf(self) -> bytes:
        return base64.b64decode(self.send("Page.printToPDF", printBackground=True)["data"])
