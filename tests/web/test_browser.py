"""`make browser`: the page in a real browser, which asks nobody else for anything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.tiny_moe import whole_trace
from tests.web.chromium import browser, page_at
from tracetui.recording.npz import write_trace

pytestmark = pytest.mark.skipif(not os.environ.get("TRACETUI_BROWSER"), reason="`make browser` runs it")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    write_trace(whole_trace().trace, tmp_path / "a.npz")
    child = subprocess.Popen(
        [sys.executable, "-m", "tracetui", "serve", "--port", "0", str(tmp_path / "a.npz")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    yield child.stdout.readline().split()[-1]
    child.send_signal(signal.SIGINT)
    assert child.wait(20) == 0


async def test_it_is_shown_and_hears_keys(address: str, tmp_path: Path) -> None:
    assert browser() is not None, "no Chromium: on Debian, apt install chromium"
    async with page_at(address) as page:
        await page.until("document.body.classList.contains('-first-byte')")
        await page.until("document.activeElement.classList.contains('xterm-helper-textarea')")
        pictures: list[bytes] = []
        for key in ("2", "n", "n", "3"):
            await page.press(key)
            await page.call("Runtime.evaluate", expression="new Promise(go => setTimeout(go, 1500))", awaitPromise=True)
            await page.picture(tmp_path / f"{len(pictures)}.png")
            pictures.append((tmp_path / f"{len(pictures)}.png").read_bytes())
        assert len(set(pictures)) == len(pictures)
        assert {urlsplit(asked).hostname for asked in page.asked_for} == {"127.0.0.1"}
        assert max(map(len, pictures)) > 20_000  # a page without cells is a few thousand bytes
