"""What holds for every test: no network, no hub, the user's folders left alone, one torch thread a worker."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import hypothesis
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
# Many processes are started: where Python is told to write no bytecode, each would compile all of it for itself.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
if "PYTEST_XDIST_WORKER" in os.environ:
    # Read by torch when it is imported: the workers share the cores, and a test without torch must not load it.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

# Which tenth of the families is tried. Said once, so that workers which start around midnight agree.
os.environ.setdefault("TRACETUI_FAMILIES", str(date.today().toordinal() % 10))

# What is ignored here stays ignored in each program that a test starts and sends signals to; what is caught doesn't.
for _number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    # So they are under nohup, and behind a shell's `&`.
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)

_plots = tempfile.TemporaryDirectory(prefix="plots-")
# Read by matplotlib when it is imported: its list of fonts stays out of the user's folders.
os.environ["MPLCONFIGDIR"] = _plots.name

# How long an example takes says something of the machine, and nothing of the code. The same examples each time, so that
# a change is not held up by what was there before it: `make torture` looks for new ones.
_examples = int(os.environ.get("TRACETUI_TORTURE", "0"))
hypothesis.settings.register_profile("daily", deadline=None, derandomize=True)
hypothesis.settings.register_profile("torture", deadline=None, max_examples=max(_examples, 100))
hypothesis.settings.load_profile("torture" if _examples else "daily")

_HOST_ASKED = {"socket.getaddrinfo", "socket.gethostbyname"}
_ADDRESS_USED = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_user_numbers = itertools.count()


# Until all is imported, which stays.
gc.disable()


def pytest_collection_finish() -> None:
    """Make full rounds of the garbage collector rare: a quarter of what a screen's tests took was spent on them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Fork what forks the children of tests, while there is nothing but what was imported."""
    if (warm := sys.modules.get("tests.warm")) is not None and not session.config.option.collectonly:
        warm.begin()


def _refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: it sees every socket of the process, whichever library opened it."""
    if event in _HOST_ASKED:
        host = arguments[0]
    elif event in _ADDRESS_USED and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    name = host.decode() if isinstance(host, bytes) else host
    if name and name not in ("localhost", "::1") and not str(name).startswith("127."):
        # No Exception, so that no library can take it for a network that happens to be down.
        pytest.fail(f"a test reached for the network: {event} to {name}")


sys.addaudithook(_refuse_network)


@pytest.fixture(scope="session")
def _users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("users")


@pytest.fixture(autouse=True)
def _fresh_user(_users: Path) -> Iterator[None]:
    """Every test is a user who has never started tracetui: no folder of theirs exists yet."""
    home = _users / str(next(_user_numbers))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACETUI_CONFIG_DIR", str(home / "config"))
        patch.setenv("TRACETUI_STATE_DIR", str(home / "state"))
        patch.setenv("TRACETUI_CACHE_DIR", str(home / "cache"))
        patch.setenv("HF_HUB_CACHE", str(home / "hub"))
        yield
