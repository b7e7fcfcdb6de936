"""The debugger as a person has it: a real model in a real terminal."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.cli.running import Here
from tests.cli.terminal import Terminal
from tracetui.analysis.prediction import next_tokens
from tracetui.recording.npz import read_trace
from tracetui.recording.stepping import Step, ahead, back
from tracetui.recording.trace import Trace
from tracetui.startup_line import FRAMES
from tracetui.text import token_text

HOLD_TORCH = """
import os, sys

def hold(event, arguments):
    if event == "import" and arguments[0] == "torch":
        open(os.environ["LET_GO"]).read()

sys.addaudithook(hold)
"""
HANG_UP_WHILE_IMPORTING = """
import os, signal, sys

def hang_up(event, arguments):
    if event == "import" and arguments[0] == "textual.app":
        try:
            os.kill(os.getpid(), signal.SIGHUP)
        except SystemExit:
            pass

sys.addaudithook(hang_up)
"""
"""As a compiled module that comes to life at the wrong moment: it swallows what a signal raises."""
NEVER_LEAVE = """
import sys, threading, time

def patch():
    while not hasattr(sys.modules.get("tracetui.ui.app"), "TracetuiApp"):
        time.sleep(0.01)
    sys.modules["tracetui.ui.app"].TracetuiApp.exit = lambda *arguments, **options: None

threading.Thread(target=patch, daemon=True).start()
"""
"""An application that can be told to end as often as one likes."""
SHELL = """
import os, signal, subprocess, sys

signal.signal(signal.SIGTTOU, signal.SIG_IGN)
child = subprocess.Popen(sys.argv[1:], process_group=0)
os.tcsetpgrp(0, child.pid)
while os.WIFSTOPPED(ended := os.waitpid(child.pid, os.WUNTRACED)[1]):
    os.tcsetpgrp(0, os.getpgrp())
    input("stopped> ")
    os.tcsetpgrp(0, child.pid)
    child.send_signal(signal.SIGCONT)
os.tcsetpgrp(0, os.getpgrp())
sys.exit(os.waitstatus_to_exitcode(ended))
"""
"""As much of a shell's job control as Ctrl-Z and `fg` need."""
STEPS = (("n", Step.OVER), ("s", Step.INTO), ("s", Step.INTO), ("s", Step.INTO), ("u", Step.OUT), ("n", Step.OVER))
SOON = 10
"""Seconds in which a program that was told to end must have ended, on a machine with other work to do."""


@pytest.fixture
def reference(tracetui: Here, tmp_path: Path) -> Path:
    """`tracetui trace llama-tiny` on as many threads as the debugger gives the model."""
    path = tmp_path / "reference.npz"
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) - 1))
    try:
        assert tracetui("trace", "llama-tiny", "-o", str(path)).status == 0
    finally:
        torch.set_num_threads(threads)
    return path


def held_at_torch(folder: Path) -> dict[str, str]:
    """An environment in which a process that imports torch waits until somebody writes into a pipe."""
    os.mkfifo(folder / "let_go")
    return {"LET_GO": str(folder / "let_go"), **begun_with(folder, HOLD_TORCH)}


def begun_with(folder: Path, code: str) -> dict[str, str]:
    """An environment in which a process runs some code before its own."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(code)
    path = os.pathsep.join(part for part in (str(folder / "site"), os.environ.get("PYTHONPATH", "")) if part)
    return {"PYTHONPATH": path}


def run_to_the_first_record(terminal: Terminal) -> None:
    """Enter while torch is still being kept back: the first screen is there, and takes keys."""
    terminal.until("tracetui  llama-tiny", "the answer to the ultimate question", "preparing")
    assert not terminal.maps("libtorch")
    terminal.send("\r")
    terminal.until("the prompt runs as soon as")
    assert not terminal.maps("libtorch")


def walk(terminal: Terminal, trace: Trace) -> None:
    """Each kind of step leads where the rules of stepping say, at the frontier and behind it."""
    at = frontier = 0
    terminal.until("recorded", f"step 0 · 1 recorded  ·  {trace.records[0].key}")
    for key, step in STEPS:
        terminal.send(key)
        found = ahead(trace.records, at, step)
        assert found is not None
        at, frontier = found, max(found, frontier)
        terminal.until(f"step {at} · {frontier + 1} recorded  ·  {trace.records[at].key}")
    for _ in range(2):
        terminal.send("p")
        at = back(trace.records[: frontier + 1], at)
        terminal.until(f"step {at} · {frontier + 1} recorded  ·  {trace.records[at].key}")


def assert_same_arrays(one: Path, other: Path) -> None:
    with np.load(one) as found, np.load(other) as expected:
        assert found.files == expected.files
        for name in found.files:
            if name not in ("__timing__", "__tracetui__"):
                np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def type_bytes(terminal: Terminal) -> None:
    """Bytes that are no text, and a character whose bytes come one by one, leave the keyboard alive."""
    terminal.send("r")
    terminal.until("Enter go")
    # Without End what stands there would be replaced.
    terminal.send(b"\x1b[F\xff")
    terminal.until("everything is \ufffd")
    for byte in "🙂".encode():
        terminal.send(bytes([byte]))
        terminal.look(0.2)
    terminal.send(b"\xc3(still here")
    terminal.until("everything is \ufffd🙂", "\ufffd(still here")


def test_a_walk_through_a_prompt(reference: Path, tmp_path: Path) -> None:
    """First screen without torch, every kind of step, the prediction, an export, a byte that is no text, q."""
    trace = read_trace(reference)
    folder = tmp_path / "here"
    folder.mkdir()
    with Terminal("run", "llama-tiny", cwd=folder, env=held_at_torch(tmp_path)) as terminal:
        run_to_the_first_record(terminal)
        (tmp_path / "let_go").write_bytes(b"go")
        walk(terminal, trace)
        terminal.send("c")
        terminal.until(f"finished · {len(trace)} records")
        terminal.send("5")
        # As much of each as its column has room for.
        terminal.until(*(token_text(best.token.bytes)[:8] for best in next_tokens(trace, 5)))
        type_bytes(terminal)
        terminal.send("\x1b")
        terminal.until("n over")
        terminal.send("e")
        terminal.until("Export the trace as .npz", "llama-tiny.npz")
        terminal.send("\r")
        terminal.until("exported", "MiB to")
        assert_same_arrays(folder / "llama-tiny.npz", reference)
        terminal.send("q")
        assert terminal.ended() == 0
        terminal.assert_restored()
    assert [path.name for path in folder.iterdir()] == ["llama-tiny.npz"]


def make_weights(terminal: Terminal) -> None:
    """Have it at work on the weights of the first layers: the embedding's few rows are quickly there."""
    terminal.until("ready")
    terminal.send("\r")
    terminal.until("1 recorded")
    terminal.send("c")
    terminal.until("_proj.weight", "Esc cancels")


def test_ctrl_c_cancels_then_quits_and_the_window_may_change(tmp_path: Path) -> None:
    with Terminal("run", "llama3-2layer", columns=120, rows=40, cwd=tmp_path, warm=True) as terminal:
        make_weights(terminal)
        terminal.resize(50, 12)
        terminal.until("50×12 is too small")
        terminal.resize(100, 30)
        terminal.until("tracetui  llama3-2layer", "Esc cancels")
        terminal.send("\x03")
        terminal.until("cancelled", "step ")
        terminal.send("\x03")
        assert terminal.ended(SOON) == 130
        terminal.assert_restored()


@pytest.mark.parametrize("ending", ["q", "TERM"])
def test_it_ends_while_weights_are_made(tmp_path: Path, ending: str) -> None:
    with Terminal("run", "llama3-2layer", cwd=tmp_path, warm=ending == "q") as terminal:
        make_weights(terminal)
        if ending == "q":
            terminal.send("q")
        else:
            terminal.kill(signal.SIGTERM)
        assert terminal.ended(SOON) == (0 if ending == "q" else 143)
        terminal.assert_restored()
    assert not list(tmp_path.iterdir())


def test_a_prompt_that_was_given_runs_and_keys_typed_before_step_through_it(tmp_path: Path) -> None:
    held = held_at_torch(tmp_path)
    with Terminal("run", "llama-tiny", "-p", "the answer", cwd=tmp_path, env=held) as terminal:
        terminal.until_written(f"\r{FRAMES[0]} tracetui llama-tiny".encode())
        terminal.send("s")
        terminal.until("The prompt below runs as soon as the model is", "prompt the answer", "1 step to go")
        before_the_screen = terminal.written.partition(b"\x1b[?1049h")[0]
        assert before_the_screen.endswith(b"\r\x1b[K")
        assert b"s" not in before_the_screen.replace(b"tracetui llama-tiny", b"")
        terminal.send("s")
        terminal.until("2 steps to go")
        (tmp_path / "let_go").write_text("")
        terminal.until("3 recorded")
        assert "prompt the answer\n" in terminal.text
        terminal.send("q")
        assert terminal.ended() == 0


def test_it_ends_when_its_terminal_goes_away(tmp_path: Path) -> None:
    """Nobody takes what it draws any more, and it has a lot to draw."""
    with Terminal("run", "llama3-2layer", columns=160, rows=50, cwd=tmp_path, warm=True) as terminal:
        make_weights(terminal)
        assert terminal.hang_up(SOON) == 129


def test_a_small_terminal_says_so_and_q_quits_while_torch_is_imported(tmp_path: Path) -> None:
    with Terminal("run", "llama-tiny", columns=50, rows=12, cwd=tmp_path, env=held_at_torch(tmp_path)) as terminal:
        terminal.until("50×12 is too small", "It needs 60×16", "q quits")
        terminal.send("q")
        assert terminal.ended(SOON) == 0
        terminal.assert_restored()


def test_ctrl_z_goes_to_the_shell_and_back(tmp_path: Path) -> None:
    shell = (sys.executable, "-c", SHELL)
    with Terminal("run", "llama-tiny", cwd=tmp_path, env=held_at_torch(tmp_path), under=shell) as terminal:
        for _ in range(2):
            terminal.until("tracetui  llama-tiny", "loading torch", "Esc leave")
            terminal.send("\x1a")
            terminal.until_written(b"stopped> ")
            terminal.assert_restored()
            terminal.written = b""
            terminal.screen.reset()
            terminal.send("fg\n")
        terminal.until("tracetui  llama-tiny", "loading torch", "Esc leave")
        terminal.send("\x11")
        assert terminal.ended(SOON) == 0
        terminal.assert_restored()


def test_ctrl_z_does_nothing_where_no_shell_waits(tmp_path: Path) -> None:
    with Terminal("run", "llama-tiny", cwd=tmp_path, env=held_at_torch(tmp_path)) as terminal:
        terminal.until("loading torch", "Esc leave")
        terminal.send("\x1a")
        terminal.send("(still here")
        terminal.until("(still here")
        terminal.send("\x11")
        assert terminal.ended(SOON) == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_before_the_first_screen_gives_the_terminal_back(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    with Terminal("run", "llama-tiny", cwd=tmp_path, env=held_at_torch(tmp_path)) as terminal:
        terminal.until_written(b"\x1b[?1049h")
        terminal.kill(number)
        assert terminal.ended(SOON) == status
        terminal.assert_restored()


def test_a_hang_up_that_an_import_swallowed_ends_it_all_the_same(tmp_path: Path) -> None:
    with Terminal("run", "llama-tiny", cwd=tmp_path, env=begun_with(tmp_path, HANG_UP_WHILE_IMPORTING)) as terminal:
        assert terminal.ended(SOON) == 129
        terminal.assert_restored()


def test_it_ends_though_the_screen_will_not(tmp_path: Path) -> None:
    with Terminal("run", "llama-tiny", cwd=tmp_path, env=begun_with(tmp_path, NEVER_LEAVE)) as terminal:
        terminal.until("ready")
        terminal.kill(signal.SIGTERM)
        assert terminal.ended() == 143
        terminal.assert_restored()
