"""Signals become exceptions, and those that were swallowed come again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracetui.signals import catch_signals, check_signals, told_to_end

ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]


@pytest.fixture(autouse=True)
def _own_handlers() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in ENDING}
    yield
    # What has come belongs to the process, which runs other tests after these.
    catch_signals()
    for number, handler in handlers.items():
        signal.signal(number, handler)


def raised(number: int) -> BaseException | None:
    """What a signal raises in whatever code runs."""
    try:
        os.kill(os.getpid(), number)
    except BaseException as error:
        return error
    return None


def test_each_signal_has_its_exit_status() -> None:
    catch_signals()
    assert isinstance(raised(signal.SIGINT), KeyboardInterrupt)
    ends = [raised(number) for number in ENDING[1:]]
    assert [end.code for end in ends if isinstance(end, SystemExit)] == [143, 129, 131]


@pytest.mark.parametrize("number", ENDING)
def test_a_swallowed_signal_comes_again_until_it_is_heard(number: int) -> None:
    catch_signals()
    check_signals()
    first = raised(number)
    for _ in range(2):
        with pytest.raises((KeyboardInterrupt, SystemExit)) as again:
            check_signals()
        assert repr(again.value) == repr(first)


def test_an_earlier_command_s_signals_are_forgotten() -> None:
    catch_signals()
    raised(signal.SIGTERM)
    catch_signals()
    check_signals()


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_that_the_parent_had_ignored_stays_so(number: int) -> None:
    signal.signal(number, signal.SIG_IGN)
    catch_signals()
    assert raised(number) is None


@pytest.mark.parametrize("number", ENDING)
def test_a_swallowed_signal_can_be_asked_for(number: int) -> None:
    catch_signals()
    assert told_to_end() is None
    raised(number)
    assert told_to_end() == number


def test_an_interrupt_that_was_caught_is_no_end_by_a_signal(tmp_path: Path) -> None:
    """One that came within text which Python executed, as it does to make a dataclass."""
    (tmp_path / "program.py").write_text(
        "import signal, sys\n"
        "from tracetui.signals import catch_signals, leave_signals\n"
        "catch_signals()\n"
        "try:\n"
        "    exec('signal.raise_signal(signal.SIGINT)')\n"
        "except KeyboardInterrupt:\n"
        "    leave_signals()\n"
        "sys.exit(130)\n"
    )
    # The interpreter adds the folder that it is started in to the places of modules.
    ended = subprocess.run([sys.executable, "-m", "program"], cwd=tmp_path, timeout=60, check=False)
    assert ended.returncode == 130
