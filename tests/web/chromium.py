"""A headless Chromium, spoken to by its own protocol: https://chromedevtools.github.io/devtools-protocol/."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60.0


def browser() -> str | None:
    """The program, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One page, at an address."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.asked_for: list[str] = []
        """Every address that the page loaded something from."""

    async def call(self, method: str, **parameters: Any) -> Any:
        """A command's result."""
        self._number += 1
        number = self._number
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = json.loads((await self._socket.receive(timeout=SECONDS)).data)
            if message.get("method") == "Network.requestWillBeSent":
                self.asked_for.append(message["params"]["request"]["url"])
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    async def evaluate(self, expression: str) -> Any:
        """What a JavaScript expression is worth."""
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait for a JavaScript expression to become true."""
        for _ in range(round(SECONDS * 10)):
            if await self.evaluate(expression):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"never: {expression}")

    async def press(self, key: str) -> None:
        """One key that writes its character."""
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else "")

    async def picture(self, path: Path) -> None:
        """Save what is seen, as PNG."""
        path.write_bytes(b64decode((await self.call("Page.captureScreenshot"))["data"]))


@asynccontextmanager
async def page_at(address: str, size: tuple[int, int] = (1280, 800)) -> AsyncIterator[Page]:
    """A browser of its own, without a user's profile."""
    program = browser()
    assert program is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        child = subprocess.Popen(
            [
                program,
                *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0"),
                *(f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}", "about:blank"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port = Path(profile, "DevToolsActivePort")
            for _ in range(round(SECONDS * 10)):
                if port.exists() and port.read_text().strip():
                    break
                await asyncio.sleep(0.1)
            root = f"http://127.0.0.1:{port.read_text().splitlines()[0]}"
            async with aiohttp.ClientSession() as http, http.get(f"{root}/json/list") as answer:
                target = next(each for each in await answer.json() if each["type"] == "page")
                async with http.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    page = Page(socket)
                    await page.call("Network.enable")
                    await page.call("Page.navigate", url=address)
                    yield page
        finally:
            child.terminate()
            child.wait(10)
