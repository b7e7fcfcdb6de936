"""What goes wrong, and what the screen makes of it."""

from __future__ import annotations

import signal

import pytest

from tests.ui.driving import driven
from tests.ui.fake import OFFER, FakeSession
from tracetui import paths
from tracetui.debugger.session import Listener, Progress, Session, Stopped
from tracetui.debugger.state import Phase
from tracetui.ui.app import TracetuiApp
from tracetui.ui.dialogs.command_search import CommandSearch
from tracetui.ui.keys.commands import COMMANDS


async def test_cancelling_keeps_what_is_recorded() -> None:
    async with driven(hold=True) as it:
        await it.press("enter")
        it.session.let_go()
        await it.press("c", "escape")
        assert it.state.phase is Phase.CANCELLED
        assert it.state.frontier == 1
        assert "model.embed_tokens" in it.text()


async def test_progress_says_what_how_far_and_how_to_stop() -> None:
    async with driven(hold=True) as it:
        await it.press("enter")
        it.session.send(Progress("weights of model.layers.0", 3 * 2**28, 2**30))
        await it.settle()
        text = it.text()
        for shown in (
            "weights of model.layers.0",
            "768.00 MiB of 1.00 GiB",
            "75%",
            "peak about 2.27 GiB",
            "Esc cancels",
        ):
            assert shown in text


async def test_the_screen_stays_usable_while_the_model_runs() -> None:
    """Behind the frontier the user moves freely, and the model's stop does not take the cursor away."""
    async with driven(hold=True) as it:
        await it.press("enter")
        it.session.let_go()
        await it.press("u")
        it.session.let_go(5)
        await it.settle()
        assert it.state.cursor == 5
        await it.press("c", "p")
        behind = it.state.cursor
        it.session.let_go(3)
        await it.settle()
        assert (it.state.cursor, it.state.frontier) == (behind, 9)


async def test_a_failed_run_keeps_its_records_and_names_the_log() -> None:
    async with driven(hold=True) as it:
        await it.press("enter")
        it.session.let_go()
        await it.settle()
        it.session.fail("size mismatch in [/INST] model.layers.0.mlp\x1b[31m")
        await it.press("6")
        assert it.state.phase is Phase.FAILED
        assert it.state.frontier == 1
        assert "size mismatch in [/INST] model.layers.0.mlp␛[31m" in it.text()
        assert "/tmp/tracetui.log" in it.log


async def test_a_session_that_does_not_open_is_reported_and_the_screen_stays() -> None:
    def open_session(listener: Listener) -> Session:
        raise RuntimeError("no [model] here\x1b]0;pwned\x07")

    app = TracetuiApp(open_session, OFFER)
    async with app.run_test(size=(80, 24)) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert app.debugger.state.phase is Phase.FAILED
        await pilot.press("enter", "escape", "n", "q")
    assert app.return_value == 0


async def test_ctrl_c_cancels_first_and_quits_second() -> None:
    async with driven(hold=True) as it:
        await it.press("enter", "ctrl+c")
        assert it.session.calls == ["start", "cancel"]
        assert it.app.is_running
        await it.pilot.press("ctrl+c")
    assert it.app.return_code == 130
    assert it.session.calls[-1] == "close"


async def test_ctrl_c_quits_at_once_when_nothing_runs() -> None:
    async with driven() as it:
        await it.pilot.press("ctrl+c")
    assert it.app.return_code == 130


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)])
async def test_signals_end_in_order(sent: signal.Signals, code: int) -> None:
    async with driven() as it:
        signal.raise_signal(sent)
        await it.pilot.pause()
    assert it.app.return_code == code
    assert it.session.calls == ["close"]


async def test_q_quits_with_zero() -> None:
    async with driven() as it:
        await it.pilot.press("escape", "q")
    assert it.app.return_code == 0


async def test_no_key_does_harm_before_anything_is_recorded() -> None:
    """Every command but those that leave, on the empty screen."""
    leaving = {"quit", "palette", "help", "theme", "prompt", "find", "screenshot", "config"}
    keys = [command.keys.split(",")[0] for command in COMMANDS if command.id not in leaving]
    async with driven(size=(80, 24)) as it:
        await it.press("escape", *keys, "Q", "ctrl+x", "é", "tab", "shift+tab")
        assert it.state.phase is Phase.READY
        assert it.session.calls == []


async def test_a_stop_that_comes_late_is_no_reason_to_fall_over() -> None:
    """Cancelled and stopped cross each other on the way: the end of the run holds the screen together."""
    async with driven(hold=True) as it:
        await it.press("enter", "escape")
        it.session.send(Stopped(0))
        await it.press("n", "p")
        assert it.state.cursor == -1


async def test_an_error_in_a_handler_leaves_a_log_and_one_line() -> None:
    app = TracetuiApp(FakeSession, OFFER)

    async def fail() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            app.debugger.call_later(lambda: 1 / 0)
            await pilot.pause()

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert app.return_code == 1
    assert "ZeroDivisionError" in next((paths.state_dir() / "logs").glob("crash-*.log")).read_text()


async def test_a_palette_whose_widgets_have_gone_ends_its_search_and_nothing_else() -> None:
    async with driven() as it:
        await it.press("escape", "ctrl+p")
        palette = it.app.screen
        assert isinstance(palette, CommandSearch)
        await palette.query("*").remove()
        palette._gather_commands("quit")
        await it.pilot.pause()
        assert it.app.is_running
        await it.press("escape", "n")
        assert it.app.return_code is None
