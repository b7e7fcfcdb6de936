"""A recording on the screen: every pane, stepping over all of it, and what it says of what it lacks."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest
from textual import events
from textual.screen import Screen
from textual.widgets import Input

from tests import tiny_moe
from tests.ui.driving import Driven, driven
from tests.ui.recording import opened, recorded, without_values, written
from tracetui.debugger import recorded_session
from tracetui.debugger.recorded_session import RecordedSession, open_recording
from tracetui.debugger.start_page import page_of_recording
from tracetui.debugger.state import Phase
from tracetui.recording.outline import NO_MODULE, Module
from tracetui.recording.spill import SpilledValue
from tracetui.recording.spill_file import SpillFile
from tracetui.recording.trace import Trace
from tracetui.recording.value import StatisticsValue
from tracetui.ui.app import TracetuiApp
from tracetui.ui.debugger_screen.screen import DebuggerScreen
from tracetui.ui.dialogs.files.open import Recording, completed
from tracetui.ui.panes.pane import REST
from tracetui.ui.panes.tensor.value_grid import ValueGrid


async def test_a_recording_is_stepped_through_from_its_first_record(tmp_path: Path) -> None:
    trace = recorded()
    async with opened(written(tmp_path / "t.npz", trace)) as it:
        assert it.state.phase is Phase.RECORDED
        assert (it.state.cursor, it.state.frontier) == (len(trace) - 1, len(trace))
        head = it.line(0)
        assert "llama3-2layer" in head
        assert "recorded 2026-03-01 12:00 UTC" in head
        assert f"recording · {len(trace)} records" in head
        await it.press("s", "s", "s")
        assert it.state.cursor == 2
        assert isinstance(it.app.focused, ValueGrid)
        await it.press("p", "c")
        assert it.state.cursor == len(trace) - 1
        await it.press("n")
        assert "this is the last record of the recording" in it.text()


async def test_it_opens_on_the_run_as_a_whole_with_every_pane_filled(tmp_path: Path) -> None:
    async with opened(written(tmp_path / "t.npz"), (180, 50)) as it:
        shown = it.text()
        assert "steps from the first record" in shown
        assert "43 records, 2 layers" in shown
        assert re.search(r"next token +#\d+ ", shown), "an id, where the tokenizer has no text for it"
        assert "No attention" not in shown
        assert "4  experts" not in shown
        await it.press("home")
        shown = it.text()
        assert "steps from the first record" not in shown
        assert "Enter goes to the next" in shown
        await it.press("3", "enter")
        assert it.state.record.role == "q"
        assert "No attention" not in it.text()


async def test_the_whole_says_where_a_nan_begins(tmp_path: Path) -> None:
    trace = recorded()
    broken = [
        replace(value.statistics(), nan=1) if at == 20 else value.statistics() for at, value in enumerate(trace.values)
    ]
    values = tuple(
        StatisticsValue(value.shape, value.dtype, known) for value, known in zip(trace.values, broken, strict=True)
    )
    async with opened(written(tmp_path / "t.npz", replace(trace, values=values))) as it:
        assert f"NaN in layer {trace.records[20].layer}" in it.text()


@pytest.mark.parametrize("key", ["r", ":"])
async def test_where_a_prompt_would_be_typed_it_says_that_this_is_a_recording(tmp_path: Path, key: str) -> None:
    async with opened(written(tmp_path / "t.npz")) as it:
        assert not it.screen.query(Input).filter("#prompt")
        assert "tracetui run llama3-2layer` runs the model" in it.text()
        await it.press(key)
        assert "this is a recording: t.npz" in it.text()


@pytest.mark.parametrize(
    ("model", "recipe", "command"),
    [
        ("tiny.Q4_1", {"layout": "gguf", "weights": "tiny.Q4_1.gguf"}, "tiny.Q4_1.gguf"),
        ("smollm2", {"layout": "gguf", "weights": "SmolLM2.gguf"}, "smollm2"),
        ("folder", {"layout": "huggingface", "weights": "folder"}, "folder"),
        ("owner/name", {"weights": "random", "hub": "owner/name"}, "owner/name"),
        ("mine.py:build", {"weights": "random"}, "mine.py:build"),
        ("llama-tiny", {"weights": "random"}, "llama-tiny"),
        ("mine", {"weights": "random"}, ""),
        ("LlamaForCausalLM", {}, ""),
    ],
)
def test_the_command_that_runs_its_model_is_what_tracetui_takes(
    model: str, recipe: dict[str, object], command: str
) -> None:
    trace = recorded()
    trace = replace(trace, run=replace(trace.run, model=model, recipe=recipe))
    told = page_of_recording(trace, Path("t.npz")).recording
    assert told == f"t.npz; {f'`tracetui run {command}` runs the model' if command else f'a run of {model}'}"


async def test_every_pane_shows_what_was_recorded(tmp_path: Path) -> None:
    async with opened(written(tmp_path / "t.npz")) as it:
        await it.press("c", "3")
        assert "✓ softmax·V = heads: max |Δ|" in it.text()
        await it.press("5")
        assert "probability" in it.text() or "logit" in it.text()
        await it.press("6")
        assert "a recording with" in it.text()
        await it.press("slash", "m", "l", "p", "enter", "enter")
        assert "mlp" in it.site


async def test_what_was_not_kept_is_said_in_every_pane(tmp_path: Path) -> None:
    path = written(tmp_path / "t.npz", without_values(recorded()))
    async with opened(path) as it:
        await it.press("home")
        assert "The values of this tensor were not kept" in it.text()
        assert "L2" in it.text(), "statistics are there all the same"
        await it.press("c", "3")
        assert "Queries and keys were not kept" in " ".join(it.text().split())
        await it.press("5")
        assert "The logits were not kept, only their statistics (--keep, --values)." in " ".join(it.text().split())
        await it.press("R")
        assert it.notices == [] or all("not kept" in notice for notice in it.notices)
        assert "Error" not in it.log


async def test_a_value_on_disk_says_so(tmp_path: Path) -> None:
    trace = recorded()
    file, array = SpillFile(tmp_path, None), trace.values[0].read()
    at = file.add(array.nbytes, [array.reshape(-1).view(np.uint8).data])
    assert at is not None
    spilled = SpilledValue(file, at, array.dtype, array.shape, "float32", trace.values[0].statistics())
    app = TracetuiApp(
        lambda listener: RecordedSession(replace(trace, values=(spilled, *trace.values[1:])), listener),
        page_of_recording(trace, tmp_path / "t.npz"),
    )
    async with app.run_test(size=(120, 40)) as pilot:
        it = Driven(app, pilot, [])
        await it.settle()
        await it.press("home")
        assert "float32 · spilled to disk" in it.text()
        await it.press("s")
        assert "spilled" not in it.text()


@pytest.mark.parametrize("kept", [(), ("experts",), ("experts", "routing_weights"), ("experts", "router_scores")])
async def test_routing_says_what_of_it_was_not_kept(tmp_path: Path, kept: tuple[str, ...]) -> None:
    trace = tiny_moe.whole_trace(tiny_moe.DEEPSEEK).trace.closed()
    bare = without_values(trace)
    pairs = zip(trace.records, trace.values, bare.values, strict=True)
    some = tuple(value if record.role in kept else empty for record, value, empty in pairs)
    async with opened(written(tmp_path / "t.npz", replace(trace, values=some))) as it:
        await it.press("c", "4")
        words = " ".join(it.text().split())
        assert "not kept" in words or "only statistics" in words
        assert it.notices == []


async def test_the_footer_offers_nothing_to_run(tmp_path: Path) -> None:
    async with opened(written(tmp_path / "t.npz"), (180, 50)) as it:
        footer = it.text().splitlines()[-1]
        assert "c end" in footer
        assert "prompt" not in footer


async def test_a_file_without_a_tree_shows_the_sites(tmp_path: Path) -> None:
    async with opened(written(tmp_path / "t.npz", replace(recorded(), outline=NO_MODULE))) as it:
        text = it.text()
        assert "embed_tokens" in text
        assert "layers" in text
        await it.press("1", "slash", "q", "_", "p", "enter", "enter")
        assert it.site.endswith("q_proj")


async def test_named_tensors_of_somebody_s_own_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "dump.npz"
    arrays: dict[str, Any] = {"blocks.0.attn": np.ones((2, 3), np.float32), "blocks.1.attn": np.eye(3)}
    np.savez(path, **arrays)
    async with opened(path) as it:
        assert it.site == "blocks.0.attn"
        assert "a file of named tensors" in it.text()
        await it.press("n", "3", "5")
        assert it.site == "blocks.1.attn"
        assert it.notices == []


async def test_a_recording_is_exported_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "t.npz")
    async with opened(path) as it:
        await it.press("e", "enter")
        assert any("exported" in notice for notice in it.notices)
    assert Path("llama3-2layer.npz").read_bytes() == path.read_bytes()


async def test_another_recording_is_opened_over_a_run_and_left_again(tmp_path: Path) -> None:
    path = written(tmp_path / "other.npz")
    async with driven() as it:
        await it.press("enter", "s", "o")
        assert it.app.screen_stack[-1].query("#open")
        it.app.screen.query_one(Input).value = str(tmp_path / "none.npz")
        await it.press("enter")
        assert "can't be opened" in " ".join(it.text().split())
        it.app.screen.query_one(Input).value = str(path)
        await it.press("enter")
        await it.settle()
        assert it.top.state.phase is Phase.RECORDED
        assert "recording" in it.text()
        await it.press("n", "backspace")
        assert it.app.screen is it.screen
        assert it.state.phase is Phase.STOPPED
        assert it.state.cursor == 1
        await it.press("backspace")
        assert "nothing was open before" in it.notices


async def test_the_tree_of_another_recording_is_made_off_the_screens_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take all records to make: the screen goes on meanwhile."""
    path = written(tmp_path / "other.npz")
    threads: list[threading.Thread] = []

    def watched(trace: Trace) -> Module:
        threads.append(threading.current_thread())
        return trace.outline

    async with driven() as it:
        monkeypatch.setattr(recorded_session, "outline_of", watched)
        await it.press("enter", "s", "o")
        it.app.screen.query_one(Input).value = str(path)
        await it.press("enter")
        await it.settle()
        assert it.top.state.phase is Phase.RECORDED
        await it.press("v")
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


def test_a_name_is_made_whole(tmp_path: Path) -> None:
    (tmp_path / "run.npz").touch()
    (tmp_path / "runs").mkdir()
    (tmp_path / "run.txt").touch()
    assert completed(f"{tmp_path}/run") == f"{tmp_path}/run.npz"
    assert completed(f"{tmp_path}/runs") == f"{tmp_path}/runs/"
    assert completed(f"{tmp_path}/run.t") is None
    assert completed(f"{tmp_path}/") is None
    assert completed("\0") is None


def test_the_tree_is_in_the_file(tmp_path: Path) -> None:
    trace = recorded()
    wide = Module("", "Model", 7, (("w", (2, 3)),), (Module("a", "A", 5, skipped=True, indices=(0, 2), active=3),))
    for outline in (trace.outline, wide, replace(wide, elsewhere=(("meta", "x"),))):
        path = written(tmp_path / "t.npz", replace(trace, outline=outline))
        found = open_recording(path)
        assert found.outline == outline
        assert found.run.started == trace.run.started


async def test_keys_wait_until_an_opened_recording_has_its_panes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, complete, begun, go = written(tmp_path / "t.npz"), DebuggerScreen.complete, asyncio.Event(), asyncio.Event()

    async def complete_late(screen: DebuggerScreen) -> None:
        begun.set()
        await go.wait()
        await complete(screen)

    async with opened(path) as it:
        await it.press("o")
        monkeypatch.setattr(DebuggerScreen, "complete", complete_late)
        it.app.screen.query_one(Input).value = str(path)
        it.app.post_message(events.Key("enter", None))
        await begun.wait()
        for key in "ss5":
            it.app.post_message(events.Key(key, key))
        await asyncio.sleep(0)
        go.set()
        await it.settle()
        assert it.app.screen is not it.screen
        assert it.top.state.cursor == 1
        assert it.top.front == "logits"


async def test_recordings_that_were_closed_are_gone(tmp_path: Path) -> None:
    path, closed = written(tmp_path / "t.npz"), list[ref[Screen[Any]]]()
    async with opened(path) as it:
        for _ in range(4):
            await it.app._show_recording(Recording(path, open_recording(path)))
            await it.settle()
            closed.append(ref(it.app.screen))
            it.app.action_close_recording()
            await it.settle()
        # What waits for the keys to rest has panes still.
        await it.pilot.pause(1.5 * REST)
        gc.collect()
        # One or two may be known still to a thread that worked for them last.
        assert len([each for each in closed if each() is not None]) <= 2
