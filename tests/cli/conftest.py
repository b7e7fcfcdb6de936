"""The command line, run in this process."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.cli.running import Here

_CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@pytest.fixture
def tracetui(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Here]:
    """`tracetui("trace", …)` as at a shell; signals are the test runner's again afterwards."""
    handlers = {number: signal.getsignal(number) for number in _CAUGHT}
    yield Here(monkeypatch, capsys)
    for number, handler in handlers.items():
        signal.signal(number, handler)
