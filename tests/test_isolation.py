"""The promises of conftest.py, on which every other test relies."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request

import pytest

from tracetui import paths

# From the block that RFC 5737 sets aside for examples: nobody answers there.
STRANGER = "192.0.2.1"


def test_a_connection_to_a_stranger_fails_the_test() -> None:
    with pytest.raises(pytest.fail.Exception, match=STRANGER):
        socket.create_connection((STRANGER, 80), timeout=0.01)


def test_a_datagram_to_a_stranger_fails_the_test() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
        pytest.raises(pytest.fail.Exception, match=STRANGER),
    ):
        stranger.sendto(b"hello", (STRANGER, 80))


def test_a_library_cannot_swallow_the_refusal() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"model\.invalid"):
        urllib.request.urlopen("http://model.invalid/config.json", timeout=0.01)


def test_loopback_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()


@pytest.mark.parametrize("turn", [1, 2])
def test_every_test_is_a_new_user(turn: int) -> None:
    assert not paths.config_dir().exists()
    paths.config_dir().mkdir(parents=True)
    assert not paths.state_dir().exists()


def test_the_hub_is_offline_and_workers_share_the_cores() -> None:
    snippet = "import torch, huggingface_hub.constants as hub; print(hub.HF_HUB_OFFLINE, torch.get_num_threads())"
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=True)
    offline, threads = done.stdout.split()
    assert offline == "True"
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert threads == "1"
