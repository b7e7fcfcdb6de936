"""Who has the token sees the screen, steps in it and downloads from it; who hasn't sees nothing."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.cli.running import Here
from tests.recording.made import small_trace
from tracetui.recording.npz import read_trace, write_trace
from tracetui.served import SERVED
from tracetui.web.server import ScreenServer

SECONDS, TRIES = 80, 8


@pytest.fixture
def tracetui(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


@asynccontextmanager
async def client_of(command: str) -> AsyncIterator[tuple[TestClient[web.Request, web.Application], str]]:
    server = ScreenServer(command, "127.0.0.1", 8000, "a <model>", lambda address: None)
    async with TestClient(TestServer(await server._make_app())) as client:
        yield client, server.token


async def test_without_the_token_there_is_nothing() -> None:
    async with client_of("false") as (client, token):
        for path in (
            "/",
            "/?token=",
            f"/?token={token[:-1]}",
            "/?token=\u20ac",
            "/ws",
            "/static/js/textual.js",
            "/download/x",
        ):
            assert (await client.get(path)).status == 403
        answer = await client.get(f"/?token={token}")
        page = await answer.text()
        assert answer.status == 200
        assert str(answer.url).endswith("/")  # the address that is shown has no token
        assert "a &lt;model&gt; · tracetui" in page
        assert "https:" not in page
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        cookie = next(iter(client.session.cookie_jar))
        assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
        assert (await client.get("/static/js/textual.js")).status == 200
        # Another site's page, in the same browser.
        assert (await client.get("/ws", headers={"Origin": "http://elsewhere.example"})).status == 403


async def _shown(page: aiohttp.ClientWebSocketResponse, text: str) -> str:
    """Wait for a text on the page or in a message; the last message, which has its end."""
    seen = last = ""
    while text not in seen:
        message = await page.receive(timeout=SECONDS)
        assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), seen[-2000:]
        last = message.data.decode() if isinstance(message.data, bytes) else message.data
        seen += last
    return last


async def test_a_recording_is_stepped_through_and_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SERVED, "1")
    monkeypatch.setenv("TRACETUI_NO_SESSION", "1")
    write_trace(small_trace(), tmp_path / "a.npz")
    command = shlex.join([sys.executable, "-m", "tracetui", "open", str(tmp_path / "a.npz")])
    async with client_of(command) as (client, token):
        await client.get(f"/?token={token}")
        async with client.ws_connect("/ws?width=100&height=30") as page:

            async def press_until(key: str, text: str) -> str:
                """Again where it came before there was anything to hear it."""
                for _ in range(TRIES):
                    await page.send_json(["stdin", key])
                    with suppress(TimeoutError):
                        return await asyncio.wait_for(_shown(page, text), SECONDS / TRIES)
                raise AssertionError(text)

            await press_until("o", "no other file is opened")
            await press_until("e", "Export the trace")
            for char in "../my.npz":  # what stands there is selected
                await page.send_json(["stdin", char])
            key = json.loads(await press_until("\r", "deliver_file_start"))[1]
            answer = await client.get(f"/download/{key}")
            assert answer.headers["Content-Disposition"] == "attachment; filename=my.npz"
            (tmp_path / "mine.npz").write_bytes(await answer.read())
    assert read_trace(tmp_path / "mine.npz").records == small_trace().records
    assert {path.name for path in tmp_path.iterdir()} == {"a.npz", "mine.npz"}
    assert not (tmp_path.parent / "my.npz").exists()


def test_what_can_t_be_served_is_told_at_once(tracetui: Here, tmp_path: Path) -> None:
    assert "nothing.npz" in tracetui.refused("serve", str(tmp_path / "nothing.npz"))
    assert "nothing-of-mine" in tracetui.refused("serve", "nothing-of-mine")
    assert "--layers" in tracetui.refused("serve", "llama-tiny", "--layers", "x")


def test_a_port_in_use_is_named(tracetui: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SERVED, os.environ.get(SERVED, ""))  # the command sets it for good
    write_trace(small_trace(), tmp_path / "a.npz")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        said = tracetui.refused("serve", "--port", port, str(tmp_path / "a.npz"))
    assert said == f"serve: 127.0.0.1:{port} is in use; --port and --host name another"
