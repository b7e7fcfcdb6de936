"""Edits on the screen, and the driver's rules about them."""

from __future__ import annotations

import pytest

from tests.tracer.recipes import recipe
from tests.ui.driving import driven
from tests.ui.fake import FakeSession
from tests.ui.tiny_llama import PROMPT
from tracetui.debugger.driver import Driver
from tracetui.debugger.edits import keeps_from_changing, names_line, offered
from tracetui.debugger.session import Finished, Tallied
from tracetui.debugger.state import Phase
from tracetui.expr.edit import EditTally
from tracetui.expr.edit_parse import parse_edit, parse_edits
from tracetui.recipe import texts
from tracetui.recording.stepping import Step
from tracetui.tracer.run import trace_recipe
from tracetui.ui.dialogs.ask import AskScreen
from tracetui.ui.dialogs.edits import EditsScreen
from tracetui.ui.panes.modules.pane import ModuleList
from tracetui.ui.panes.tensor.reading import read


def driver(*edits: str) -> tuple[Driver, FakeSession]:
    found = Driver(edits=parse_edits(edits, ""))
    session = FakeSession(found.heard)
    found.opened(session)
    return found, session


def test_an_edit_of_the_record_at_which_the_model_waits_changes_it_and_the_model_goes_one_record_on() -> None:
    found, session = driver()
    found.run(texts(PROMPT))
    frontier = found.state.frontier
    edit = parse_edit("embed_tokens: zero")
    assert found.edit(edit).startswith("edited")
    assert session.edits == ((edit,), frontier - 1)
    assert found.state.frontier == frontier + 1
    assert found.edit(edit) == "this edit stands already; X lists them"


def test_an_edit_of_what_lies_ahead_or_can_be_changed_no_more_holds_from_the_next_record_on() -> None:
    found, session = driver()
    found.run(texts(PROMPT))
    ahead, late = parse_edit("layers.1.mlp: zero"), parse_edit("embed_tokens: skip")
    assert found.edit(ahead) == "from the next record on"
    assert found.edit(late) == "from the next record on: a module is skipped from before it runs"
    assert session.edits == ((ahead, late), found.state.frontier)
    found.set_edits((late,))
    assert list(session.edits[0]) == [late]


def test_after_the_end_an_edit_runs_again_from_what_it_names_and_holds_in_the_next_run() -> None:
    found, session = driver("layers.0: skip")
    assert found.run(texts(PROMPT)).startswith("run with 1 edit;")
    found.step(Step.END)
    assert found.state.phase is Phase.FINISHED
    layer = found.state.trace.find("model.layers.1")
    assert layer is not None
    assert found.edit(parse_edit("layers.1: skip")) == ""
    assert session.calls[-1] == f"rerun {layer.index}"
    assert found.state.record.key == "model.layers.1"
    assert found.run(texts(PROMPT)).startswith("run with 2 edits;")


@pytest.mark.parametrize(
    ("site", "edit", "why"),
    [
        ("model.layers.1.mlp", "layers.1.mlp: zero", ""),
        ("model.layers.1.self_attn:heads", "layers.1.self_attn head 1: zero", ""),
        ("model.layers.1.self_attn:q", "*: zero", ""),
        ("model.layers.1:input", "*: zero", "no copy"),
        ("model.layers.1.mlp", "layers.2.mlp: zero", "names other tensors"),
        ("model.layers.0.mlp", "layers.0.mlp: scale 3", "edited already"),
    ],
)
def test_which_records_can_still_be_changed(site: str, edit: str, why: str) -> None:
    trace = trace_recipe(recipe(edits=parse_edits(["layers.0.mlp: scale 2"], "")))
    record = trace.find(site)
    assert record is not None
    found = keeps_from_changing(parse_edit(edit), record)
    assert (why in found) if why else not found


def test_the_line_offered_begins_with_what_can_be_edited() -> None:
    trace = trace_recipe(recipe(edits=parse_edits(["layers.0.mlp: scale 2"], "")))
    sites = {record.site: offered(record) for record in trace.records}
    assert sites["model.layers.0.mlp:before_edit"] == "model.layers.0.mlp: "
    assert sites["model.layers.1:input"] == "model.layers.1: "
    assert sites["model.layers.1.self_attn:q"] == "model.layers.1.self_attn:q: "
    assert names_line(parse_edit("layers.1.self_attn:q: zero"), "model.layers.1.self_attn")
    assert not names_line(parse_edit("*: zero"), "model.layers.1")


def test_an_edited_tensor_is_read_with_the_original_beside() -> None:
    trace = trace_recipe(recipe(edits=parse_edits(["layers.0.mlp: scale 2"], "")))
    record = trace.find("model.layers.0.mlp")
    assert record is not None
    reading = read(trace, record)
    assert reading.before is not None
    assert reading.statistics.l2 == pytest.approx(2 * reading.before.l2)
    assert read(trace, trace.records[0]).before is None


async def test_an_edit_is_typed_marked_in_the_tree_switched_and_taken_away() -> None:
    async with driven() as it:
        await it.press("enter", "E")
        assert isinstance(it.app.screen, AskScreen)
        await it.press("end", "z", "r")
        assert "zr is no action; did you mean" in it.text()
        await it.press("ctrl+u", "z", "e", "r", "o", "enter")
        assert [edit.text for edit in it.session.edits[0]] == ["model.embed_tokens: zero"]
        tree = it.screen.query_one(ModuleList)
        assert [tree._strips._mark(row, False)[1] for row in tree._rows if row.path == "model.embed_tokens"] == ["E"]
        await it.press("X")
        assert isinstance(it.app.screen, EditsScreen)
        await it.press("space")
        assert not it.session.edits[0][0].on
        assert "e model.embed_tokens: zero  off" in it.text()
        await it.press("d", "escape", "X")
        assert it.session.edits[0] == ()
        assert "there are no edits" in it.text()


async def test_an_edit_that_changed_nothing_is_told_when_the_run_has_ended() -> None:
    async with driven() as it:
        await it.press("enter", "c")
        it.screen.parts.edits.hear(Tallied((), (EditTally(parse_edit("layers.9: zero")),)))
        it.screen.parts.edits.hear(Finished(it.state.trace))
        await it.settle()
        assert "edit layers.9: zero changed nothing" in it.log


async def test_after_an_edit_of_a_head_the_panes_show_that_head() -> None:
    async with driven() as it:
        await it.press("enter")
        it.screen.parts.edits.typed("layers.1.self_attn head 1: zero")
        assert it.state.head == 1
        it.screen.parts.edits.typed("layers.1.mlp: zero")
        assert it.state.head == 1
