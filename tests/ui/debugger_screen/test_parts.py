"""What the commands do, part by part and without a screen."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ui.debugger_screen.parts import Parts
from tests.ui.fake import OFFER, PLAN, preview_of
from tracetui.debugger.memory.keeper import Keeper
from tracetui.debugger.memory.note import NO_NOTE, ScreenLayout, SessionNote
from tracetui.debugger.memory.restored import Restored
from tracetui.debugger.memory.store import NoteStore
from tracetui.debugger.session import Explained, Failed, Finished, Opened, Prepared, Started, Tallied
from tracetui.debugger.state import Phase
from tracetui.expr.edit import EditTally
from tracetui.expr.edit_parse import parse_edit
from tracetui.expr.stop import parse_stop
from tracetui.expr.watch import parse_watch
from tracetui.recipe import texts
from tracetui.recording.stepping import Step
from tracetui.ui.debugger_screen.memory import SessionMemory
from tracetui.ui.debugger_screen.parts import ScreenParts
from tracetui.ui.debugger_screen.screen import DebuggerScreen
from tracetui.ui.dialogs.ask import AskScreen
from tracetui.ui.dialogs.config import ConfigScreen
from tracetui.ui.dialogs.edits import EditsScreen
from tracetui.ui.dialogs.files.export import ExportScreen
from tracetui.ui.dialogs.generate import GenerateScreen
from tracetui.ui.dialogs.jump import JumpScreen
from tracetui.ui.dialogs.stops import NewStop, StopsScreen, ToHit
from tracetui.ui.diff_screen.commands import DIFF_COMMANDS
from tracetui.ui.diff_screen.screen import DiffScreen
from tracetui.ui.diff_screen.work import Comparing
from tracetui.ui.keys.commands import COMMANDS
from tracetui.ui.messages import Said, Trouble

RECORDING = replace(OFFER, recording="x.npz; nothing to run")


def test_every_command_has_one_handler_in_one_part() -> None:
    screen = DebuggerScreen(OFFER, {})
    whole = ScreenParts(screen)
    parts = (
        whole.steps, whole.stops, whole.health, whole.edits, whole.runs, whole.looks, whole.files,
        whole.search, screen.arrangement,
    )  # fmt: skip
    counts = Counter(id_ for part in parts for id_ in part.handlers)
    assert counts.most_common(1)[0][1] == 1
    assert set(whole.handlers) == {command.id for command in COMMANDS if not command.app}
    trace = Parts().driver.state.trace
    diff = DiffScreen(Comparing(trace, trace, ("A", "B")), {})
    assert set(diff.handlers) == {command.id for command in DIFF_COMMANDS if not command.app}


def test_steps_and_jumps_move_the_cursor_and_say_where_they_lead_nowhere() -> None:
    parts = Parts()
    assert (parts.site, parts.driver.state.cursor) == ("model.embed_tokens", 0)
    parts.steps.handlers["into"]()
    assert parts.driver.state.cursor == 1
    parts.steps.handlers["back"]()
    parts.steps.handlers["back"]()
    assert parts.remark == "this is the first record"
    parts.steps.step(Step.END)
    parts.steps.to_module("model.layers.1")
    assert parts.site == "model.layers.1"
    parts.steps.to_module("model.layers.9")
    assert parts.remark == "model.layers.9 has no record of its own"
    parts.steps.jump()
    assert isinstance(parts.host.dialogs[-1], JumpScreen)
    parts.host.answer(0)
    assert parts.driver.state.cursor == 0
    parts.host.answer(None)
    assert parts.driver.state.cursor == 0


def test_a_step_by_layer_goes_to_the_next_choice_of_experts_where_these_are_in_front() -> None:
    parts = Parts()
    parts.steps.step(Step.END)
    parts.block = 5
    parts.steps.next_layer()
    assert parts.driver.state.cursor == 5
    parts.block = None
    parts.steps.next_layer()
    assert parts.driver.state.cursor != 5


def test_a_site_that_never_comes_is_said_once_the_run_is_over() -> None:
    parts = Parts()
    parts.steps.until()
    assert isinstance(parts.host.dialogs[-1], AskScreen)
    parts.session.hold = True
    parts.host.answer("layers.9")
    assert parts.driver.state.phase is Phase.RUNNING
    missing = parts.steps.hear(Finished(parts.driver.state.trace))
    assert missing == ["no record after this one is at layers.9"]
    assert parts.steps.hear(Finished(parts.driver.state.trace)) == []
    parts.line.stop_pattern = ""
    parts.steps.run_to_line()
    assert parts.remark == "this line has no record to run to"


def test_a_step_is_repeated_as_often_as_it_is_typed() -> None:
    parts = Parts()
    parts.steps.repeat()
    parts.host.answer("3 into")
    assert parts.driver.state.cursor == 3
    parts.host.answer("2 back")
    assert parts.driver.state.cursor == 1


def test_a_stop_goes_on_at_the_record_or_the_tree_s_line_and_off_again() -> None:
    parts = Parts()
    parts.stops.toggle()
    assert parts.remark == "stop at model.embed_tokens"
    parts.stops.toggle()
    assert parts.remark == "no stop at model.embed_tokens any more"
    parts.line.has_focus, parts.line.stop_pattern = True, "model.layers.1.mlp"
    parts.stops.toggle()
    assert parts.driver.state.stops.find("model.layers.1.mlp") is not None
    parts.line.stop_pattern = ""
    parts.stops.toggle()
    assert parts.remark == "these layers are not run"


def test_stops_are_listed_changed_gone_to_and_looked_for_in_what_is_recorded() -> None:
    parts = Parts()
    parts.steps.step(Step.END)
    parts.stops.add(parse_stop("*.mlp"))
    parts.stops.follow(parts.driver.state, parts.driver.state)
    entry = parts.driver.state.stops.find("*.mlp")
    assert entry is not None
    assert len(entry.places) == 2
    parts.stops.open_list()
    assert isinstance(parts.host.dialogs[-1], StopsScreen)
    parts.host.answer(ToHit(entry.places[1]))
    assert parts.driver.state.cursor == entry.places[1]
    parts.stops.open_list()
    parts.host.answer(NewStop())
    assert isinstance(parts.host.dialogs[-1], AskScreen)
    parts.host.answer("* if norm > 1e9")
    assert [stop.text for stop in parts.driver.state.stops.stops] == ["*.mlp", "if norm > 1e9"]


def test_a_stop_that_never_held_is_said_at_the_end() -> None:
    parts = Parts()
    parts.stops.add(parse_stop("layers.9.mlp"))
    parts.stops.follow(parts.driver.state, parts.driver.state)
    parts.session._watcher.stops = parts.session.stops
    for event in (Tallied(parts.session._watcher.tallies), Finished(parts.driver.state.trace)):
        parts.stops.hear(event)
    assert len(parts.host.texts) == 1
    assert "layers.9.mlp" in parts.host.texts[0]


def test_a_watch_typed_again_goes() -> None:
    parts = Parts()
    parts.stops.watch()
    parts.host.answer("layers.*.norm")
    assert [watch.text for watch in parts.watches.watches] == ["layers.*.norm"]
    parts.host.answer("layers.*.norm")
    assert not parts.watches.watches
    assert parts.remark == "layers.*.norm is watched no more"


def test_an_edit_is_typed_listed_and_said_when_it_changed_nothing() -> None:
    parts = Parts()
    parts.edits.open_list()
    assert parts.remark == "there are no edits; E makes one"
    parts.edits.edit()
    assert isinstance(parts.host.dialogs[-1], AskScreen)
    parts.host.answer("layers.1.mlp: zero")
    assert [edit.text for edit in parts.driver.state.edits] == ["layers.1.mlp: zero"]
    parts.edits.open_list()
    assert isinstance(parts.host.dialogs[-1], EditsScreen)
    for event in (Tallied((), (EditTally(parse_edit("layers.9: zero")),)), Finished(parts.driver.state.trace)):
        parts.edits.hear(event)
    assert "layers.9: zero changed nothing" in parts.host.texts[0]


def test_a_recording_is_neither_edited_nor_run_again_nor_goes_on() -> None:
    parts = Parts(RECORDING)
    edits, runs = parts.edits, parts.runs
    for action in (edits.edit, edits.open_list, edits.rerun, edits.effects, runs.generate, runs.prompt):
        action()
        assert parts.remark == "this is a recording: x.npz; nothing to run"
    assert parts.host.dialogs == []


def test_without_a_run_to_compare_with_the_effects_say_why() -> None:
    parts = Parts()
    parts.edits.effects()
    assert parts.remark == parts.edits.baseline.why


def test_a_prompt_is_run_and_remembered_and_an_empty_one_is_not() -> None:
    parts = Parts(start=False)
    parts.runs.give(" ")
    assert parts.remark == "the prompt is empty; type one and press Enter"
    assert not parts.prompt.earlier
    parts.runs.give("hello there")
    assert parts.session.prompts == ["hello there"]
    assert (parts.prompt.earlier, parts.panes.calls) == (("hello there",), ["to front"])


def test_what_was_said_to_a_prompt_stays_when_the_session_opens() -> None:
    parts = Parts(start=False)
    parts.runs.opened(parts.session)
    assert parts.remark is None


def test_what_is_typed_is_worked_out_and_an_older_preview_is_not_heard() -> None:
    parts = Parts(start=False)
    parts.prompt.text = "new"
    parts.runs.look_ahead()
    assert parts.session.previews == [OFFER.prompts.typed("new")]
    assert parts.driver.state.preview.prompts == OFFER.prompts.typed("new")
    parts.events.hear(preview_of(texts("old")))
    assert parts.driver.state.preview.prompts == OFFER.prompts.typed("new")


def test_esc_gives_room_back_before_it_cancels() -> None:
    parts = Parts()
    parts.panes.maximised = "pane"
    parts.runs.cancel()
    assert parts.panes.maximised == ""
    assert parts.driver.state.under_way
    parts.runs.cancel()
    assert parts.driver.state.phase is Phase.STOPPED, "who waits is left waiting"


def test_more_tokens_are_asked_for_once_the_prompt_s_run_has_ended() -> None:
    parts = Parts()
    parts.runs.generate()
    assert parts.remark == "the prompt's run has to end first; c runs it on"
    parts.steps.step(Step.END)
    parts.runs.generate()
    assert isinstance(parts.host.dialogs[-1], GenerateScreen)
    parts.host.answer(3)
    assert parts.runs.more == 3
    assert parts.session.calls[-1] == "generate 3"


def test_heads_rows_and_tokens_are_chosen_within_what_there_is() -> None:
    parts = Parts()
    parts.looks.head(1)
    assert parts.driver.state.head == 1
    assert parts.remark == "head 1 of 0–3; this tensor has no heads"
    parts.panes.front = "experts"
    parts.looks.head(1)
    assert parts.remark == "expert 1 further"
    parts.looks.row(1)
    assert parts.remark is not None
    assert parts.remark.startswith("there is one prompt")
    parts.looks.token(2, "values")
    assert parts.driver.state.token_origin == "values"
    parts.looks.scores("masked")
    kinds = [str(parts.attention.kind)]
    parts.looks.scores()
    assert [*kinds, parts.attention.kind] == ["masked", "scores"]
    parts.attention.heads = 0
    parts.looks.check_heads()
    assert parts.remark == "there is no attention to check here"


def test_the_lens_says_why_there_is_none() -> None:
    parts = Parts()
    parts.looks.lens()
    assert "no lens here" in parts.host.texts[0]


def test_an_explanation_that_has_come_is_not_asked_for_again() -> None:
    parts = Parts()
    parts.looks.config()
    assert isinstance(parts.host.dialogs[-1], ConfigScreen)
    assert parts.session.calls.count("explain") == 1
    parts.looks.hear(Explained(None, "not now"))
    parts.looks.config()
    assert parts.session.calls.count("explain") == 2, "one that failed is asked for again"


def test_files_wait_for_a_record_and_say_what_came_of_them() -> None:
    parts = Parts(start=False)
    for action in (parts.files.export, parts.files.diff):
        action()
        assert parts.remark == "nothing is recorded yet; Enter in the prompt runs it"
    parts.words = "model.embed_tokens [1]\x1b"
    parts.files.copy()
    assert parts.remark == "there is nothing to copy yet"
    parts.driver.run(texts("hello"))
    parts.files.copy()
    assert parts.host.copied == ["model.embed_tokens [1]␛"]
    parts.files.export()
    assert isinstance(parts.host.dialogs[-1], ExportScreen)
    parts.host.answer(Said("exported"))
    parts.host.answer(Trouble("no room"))
    assert (parts.host.texts, parts.host.problems) == (["exported"], ["no room"])


def test_an_event_goes_to_the_driver_then_to_the_log_and_the_parts() -> None:
    parts = Parts()
    trace = parts.driver.state.trace
    parts.events.hear(Finished(trace))
    assert parts.driver.state.phase is Phase.FINISHED
    assert parts.log == [f"finished with {len(trace)} records"]
    assert parts.remark == ""
    parts.events.hear(Failed("it broke"))
    assert parts.host.problems == ["it broke"]
    parts.events.hear(Opened(trace, parts.driver.state.outline))
    assert parts.panes.calls == ["to front"]


class FakeLayout:
    """The layout of no widgets."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.layout = ScreenLayout(front="logits", opened=("model",))

    def look_as(self, layout: ScreenLayout) -> None:
        self.calls.append("look")

    def unfold_as(self, layout: ScreenLayout) -> None:
        self.calls.append("unfold")

    def bring_as(self, layout: ScreenLayout) -> None:
        self.calls.append("bring")

    def now(self) -> ScreenLayout:
        return self.layout


@pytest.fixture
def store(tmp_path: Path) -> NoteStore:
    return NoteStore("a model")


def remembering(store: NoteStore, note: SessionNote) -> tuple[Parts, FakeLayout, SessionMemory]:
    page = replace(OFFER, recalled=Restored(note, ("a watch is gone",), Keeper(store, note), told="from last time: 1"))
    parts, layout = Parts(page, start=False), FakeLayout()
    return parts, layout, SessionMemory(parts.host, page, parts.watches, parts.prompt, parts.runs, layout)


def test_what_was_left_comes_back_in_its_time(store: NoteStore) -> None:
    parts, layout, memory = remembering(store, replace(NO_NOTE, watches=(parse_watch("layers.*.norm"),)))
    memory.begin(parts.add)
    assert [watch.text for watch in parts.watches.watches] == ["layers.*.norm"]
    assert (parts.host.texts, parts.log, layout.calls) == (["a watch is gone"], ["from last time: 1"], ["look"])
    memory.hear(Prepared(parts.driver.state.outline, "words", (), PLAN), lambda call: call())
    assert layout.calls == ["look", "unfold"]
    for _ in range(2):
        memory.hear(Started(parts.driver.state.trace, parts.driver.state.plan), lambda call: call())
    assert layout.calls == ["look", "unfold", "bring"]


def test_what_is_set_is_noted_and_what_had_no_time_to_come_back_stays_as_it_was(store: NoteStore) -> None:
    last = replace(NO_NOTE, layout=ScreenLayout(front="attention", maximised="tree", opened=("",)))
    parts, _, memory = remembering(store, last)
    assert not memory.note_down(), "nothing has come back yet"
    memory.begin(parts.add)
    parts.stops.add(parse_stop("*.mlp"))
    parts.runs.more, parts.prompt.text = 5, "typed"
    memory.keep()
    note = store.read().note
    assert ("*.mlp" in [stop.text for stop in note.stops], note.more) == (True, 5)
    assert note.prompts == OFFER.prompts.typed("typed")
    assert note.layout == ScreenLayout(front="logits", maximised="tree", opened=("",))
    assert not memory.note_down(), "the same is not written twice"


def test_the_largest_element_is_gone_to_in_its_prompt_and_head_once_it_is_known() -> None:
    parts = Parts()
    largest = parts.looks.handlers["largest"]
    largest()
    assert (parts.remark, parts.tensor.cells) == ("no element is known yet", [])
    while parts.site != "model.layers.0.self_attn:q":
        parts.steps.handlers["into"]()
    parts.tensor.largest = (0, 2, 5, 3)
    largest()
    assert (parts.driver.state.head, parts.tensor.cells) == (2, [(5, 3)])
    assert (parts.remark, parts.panes.front) == ("the largest element: [0, 2, 5, 3]", "tensor")
    parts.looks.handlers["outlier_map"]()
    assert parts.tensor.maps == 1
