"""A whole session, from the first screen to the last, asks no name and reaches no address."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal

REFUSING = """
import os, runpy, sys

def refuse(event, arguments):
    reached = event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
    used = event in ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind")
    if reached or (used and isinstance(arguments[1], tuple)):
        os.write(2, f"reached for the network: {event} {arguments[1:]}".encode())
        os._exit(99)

sys.addaudithook(refuse)
sys.argv = ["tracetui", *sys.argv[4:]]
runpy.run_module(os.environ.get("INSTEAD", "tracetui"), run_name="__main__", alter_sys=True)
"""
"""Given what would have been run: Python, -m, the module and its arguments. Sockets within the machine may be used."""


@pytest.fixture
def under(tmp_path: Path) -> list[str]:
    (tmp_path / "refusing.py").write_text(REFUSING)
    return [sys.executable, str(tmp_path / "refusing.py")]


def test_a_session_with_a_run_reaches_for_no_network(tmp_path: Path, under: list[str]) -> None:
    environment = {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"}
    with Terminal(
        "run", "llama-tiny", "-p", "hello", cwd=tmp_path, under=under, warm=True, env=environment
    ) as terminal:
        terminal.until("recorded")
        terminal.send("c")
        terminal.until("finished")
        terminal.send("e")
        terminal.until("Export")
        terminal.send("\r")
        while not (tmp_path / "llama-tiny.npz").exists():
            terminal.look(0.1)
        while "Export" in terminal.text:
            terminal.look(0.1)
        terminal.send("q")
        assert terminal.ended() == 0
        terminal.assert_restored()


def test_what_reaches_for_it_is_noticed(tmp_path: Path, under: list[str]) -> None:
    (tmp_path / "asks.py").write_text("import socket\nsocket.getaddrinfo('localhost', 80)\n")
    environment = {"INSTEAD": "asks", "PYTHONPATH": str(tmp_path), "PATH": ""}
    done = subprocess.run([*under, "python", "-m", "tracetui"], env=environment, capture_output=True, check=False)
    assert done.returncode == 99
    assert b"socket.getaddrinfo" in done.stderr
