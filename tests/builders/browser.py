"""A headless Chromium that tests drive: clicks, keys, screenshots, and all that the page complains about.

It speaks the DevTools protocol of the browser itself over aiohttp, so that no driver has to be installed.
"""

import asyncio
import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 90.0  # seconds for anything that the page is to do


def find() -> str | None:
    """The browser: MIAD_CHROMIUM, or the first of the usual names on PATH."""
    return os.environ.get("MIAD_CHROMIUM") or next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One browser with one page at a time.

    Attributes:
        complaints: errors and warnings of the console, exceptions nobody caught, and requests to the network.
    """

    def __init__(self, program: str) -> None:
        self.profile = tempfile.mkdtemp(prefix="miad-chromium-")
        flags = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--remote-debugging-port=0"]
        # WebGL without a graphics card.
        flags += ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars", "--mute-audio"]
        flags += ["--disable-background-networking", "--no-first-run", f"--user-data-dir={self.profile}"]
        self.process = subprocess.Popen(
            [program, *flags, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.loop = asyncio.new_event_loop()
        self.complaints: list[str] = []
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future] = {}
        self._loop_run(self._connect())

    def _loop_run(self, work: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 2 * PATIENCE))

    async def _connect(self) -> None:
        import aiohttp

        port_file = Path(self.profile) / "DevToolsActivePort"
        while not (port_file.is_file() and port_file.read_text().count("\n")):
            assert self.process.poll() is None, "the browser ended at once"
            await asyncio.sleep(0.05)
        self.address = f"http://127.0.0.1:{port_file.read_text().splitlines()[0]}/json"
        self.session = aiohttp.ClientSession()
        self.tab: str | None = None

    async def _new_tab(self) -> None:
        """A tab of its own for every page: nothing of the last one goes on, and what it complained of is forgotten."""
        last = self.tab
        async with self.session.put(f"{self.address}/new?about:blank") as answer:
            target = await answer.json()
        if last is not None:
            self.listener.cancel()
            await self.socket.close()
            await self.session.get(f"{self.address}/close/{last}")
        self.tab = target["id"]
        self.complaints.clear()
        self.socket = await self.session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0)
        self.listener = self.loop.create_task(self._listen())
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self._send(f"{domain}.enable")

    async def _listen(self) -> None:
        async for message in self.socket:
            event = json.loads(message.data)
            if "id" in event:
                self._answers.pop(event["id"]).set_result(event)
            else:
                self._note(event["method"], event["params"])

    def _note(self, method: str, params: dict) -> None:
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(str([argument.get("value", argument) for argument in params["args"]]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            # Reading a picture back is slow; it is the tests that do it.
            if "ReadPixels" not in params["entry"]["text"]:
                self.complaints.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent" and params["request"]["url"].startswith(("http", "ws", "ftp")):
            self.complaints.append(f"request to {params['request']['url']}")

    async def _send(self, method: str, **params: Any) -> dict:
        number = next(self._ids)
        self._answers[number] = self.loop.create_future()
        await self.socket.send_json({"id": number, "method": method, "params": params})
        answer = await self._answers[number]
        assert "error" not in answer, answer
        return answer["result"]

    def send(self, method: str, **params: Any) -> dict:
        """One command of the DevTools protocol."""
        return self._loop_run(self._send(method, **params))

    def open(self, path: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Open a file as a screen of this size and scheme shows it."""
        self._loop_run(self._new_tab())
        phone = width < 700
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        # Without motion: a page still gliding to the last field would move away under the next click.
        wishes = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        self.send("Emulation.setEmulatedMedia", features=features)
        self.send("Page.navigate", url=path.resolve().as_uri())
        self.wait(lambda: self.value("document.readyState") == "complete")

    def value(self, expression: str) -> Any:
        """Value of a JavaScript expression on the page."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: Callable[[], Any]) -> Any:
        """Wait until something is so."""
        end = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert time.monotonic() < end, "the page did not do it in time"
            self._loop_run(asyncio.sleep(0.05))
        return found

    def click(self, selector: str) -> None:
        """Click the middle of an element with the mouse, as a person would: what covers it gets the click."""
        box = self.value(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center', behavior: 'instant'}); const r = e.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def type(self, selector: str, text: str) -> None:
        """Replace the text of a field by typing."""
        self.value(f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.focus(); e.select(); }})()")
        self.send("Input.dispatchKeyEvent", type="keyDown", key="Delete", code="Delete", windowsVirtualKeyCode=46)
        self.send("Input.dispatchKeyEvent", type="keyUp", key="Delete", code="Delete", windowsVirtualKeyCode=46)
        if text:
            self.send("Input.insertText", text=text)

    def key(self, name: str, code: int) -> None:
        """Press a key that makes no text, e.g. Escape (27)."""
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of what is seen, or of the whole page."""
        answer = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def close(self) -> None:
        """End the browser."""
        if self.tab is not None:
            self.listener.cancel()
        self._loop_run(self.session.close())
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)
        self.loop.close()
        shutil.rmtree(self.profile, ignore_errors=True)
