"""Running again from a recorded layer: the driver's rules, and what the screen says of it."""

from __future__ import annotations

import pytest

from tests.ui.driving import driven
from tests.ui.fake import FakeSession
from tests.ui.tiny_llama import PROMPT
from tracetui.debugger.driver import Driver
from tracetui.debugger.rerun import changed_at
from tracetui.debugger.session import Failed, Finished, until_first
from tracetui.debugger.state import Phase
from tracetui.expr.edit_parse import parse_edit, parse_edits
from tracetui.expr.stop import parse_stops
from tracetui.recipe import texts
from tracetui.recording.cut import Cut, cut_before
from tracetui.recording.stepping import Step
from tracetui.ui.dialogs.ask import AskScreen
from tracetui.ui.widgets.line_input import LineInput
from tracetui.views.run.cut import cut_line, taken_line


def ended(*edits: str, stops: tuple[str, ...] = ()) -> tuple[Driver, FakeSession]:
    found = Driver(parse_stops(stops, ""), edits=parse_edits(edits, ""))
    session = FakeSession(found.heard)
    found.opened(session)
    found.run(texts(PROMPT))
    found.step(Step.END)
    return found, session


def place(found: Driver, key: str) -> int:
    record = found.state.trace.find(key)
    assert record is not None, key
    return record.index


def test_from_a_record_on_the_model_stops_there_again() -> None:
    found, session = ended()
    at = place(found, "model.layers.1.self_attn.q_proj")
    found.jump(at)
    assert found.rerun(at) == ""
    assert session.calls[-1] == f"rerun {at}"
    assert found.state.phase.value == "stopped"
    assert found.state.record.key == "model.layers.1.self_attn.q_proj"
    found.step(Step.END)
    assert found.state.phase.value == "finished"


def test_a_waiting_model_is_left_and_its_last_word_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Driver()
    session = FakeSession(found.heard)
    found.opened(session)
    found.run(texts(PROMPT))
    found.until(lambda record: record.site == "model.layers.1.mlp", "")
    left = found.state.trace
    at = place(found, "model.layers.1.self_attn")
    found.jump(at)
    monkeypatch.setattr(session, "rerun", lambda at, edits, until: session.send(Finished(left, cancelled=True)))
    edit = parse_edit("layers.1.self_attn: zero")
    assert found.edit(edit) == ""
    assert found.state.phase.value == "starting"
    assert found.rerun(0) == "the model runs; Space stops it, Esc cancels"
    monkeypatch.undo()
    session.rerun(at, (edit,), until_first)
    assert found.state.record.index == cut_before(left, at).record


def test_where_nothing_can_be_run_again_it_says_why() -> None:
    found = Driver()
    assert "prepared" in found.rerun(0)
    session = FakeSession(found.heard)
    found.opened(session)
    assert found.rerun(0).startswith("nothing is recorded yet")
    found, session = ended()
    session.send(Failed("the model failed"))
    assert found.rerun(5) == ""


@pytest.mark.parametrize(
    ("edit", "cursor", "at"),
    [
        ("layers.1.mlp: zero", "model.layers.1.mlp", "model.layers.1.mlp"),
        ("layers.*.mlp: zero", "model.layers.1.self_attn", "model.layers.1.mlp"),
        ("layers.0.mlp: zero", "model.layers.1.mlp", "model.layers.0.mlp"),
        ("layers.1.self_attn head 1: zero", "model.layers.1", "model.layers.1.self_attn:heads"),
        ("layers.0.self_attn:probs: zero", "model.layers.1", "model.layers.0.self_attn:heads"),
        ("*:scores head 1: zero", "model.layers.1.mlp", "model.layers.1.self_attn:heads"),
        ("layers.9: zero", "model.layers.1", "model.layers.1"),
        ("layers.1.mlp pass 4: zero", "model.layers.1", "model.layers.1"),
    ],
)
def test_an_edit_is_seen_where_it_names_something(edit: str, cursor: str, at: str) -> None:
    found, _ = ended()
    assert changed_at(parse_edit(edit), found.state.trace, place(found, cursor)) == place(found, at)


def test_stops_are_looked_up_in_what_was_taken_over() -> None:
    found, session = ended(stops=("*.mlp",))
    while found.state.phase is not Phase.FINISHED:
        found.step(Step.END)
    found.rerun(place(found, "model.layers.1.mlp"))
    entry = found.state.stops.entries[0]
    assert entry.unknown == place(found, "model.layers.0") + 1
    assert [found.state.trace.records[at].key for at in entry.places] == ["model.layers.1.mlp"]
    assert session.calls[-1].startswith("rerun")


def test_where_it_goes_on_is_told_in_words() -> None:
    found, _ = ended()
    trace = found.state.trace
    assert cut_line(
        cut_before(trace, place(found, "model.layers.1.mlp")), trace, place(found, "model.layers.1.mlp")
    ) == ("again from layer 1, layer 0 from the record")
    last = len(trace) - 1
    assert cut_line(cut_before(trace, last), trace, last) == ("again after the layers, layers 0–1 from the record")
    assert "no layer lies before it" in cut_line(cut_before(trace, 0), trace, 0)
    later = Cut(90, 2, ("model.layers.0", "model.layers.1", "model.layers.2"), 1.5)
    assert taken_line(later) == "the passes before and layers 0–2 from the record: 90 records, 1.50 s not run again"
    assert taken_line(Cut(whole="why")) == "all of it was run again: why"


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_edit_of_a_recorded_record_says_what_will_run_and_then_what_did(size: tuple[int, int]) -> None:
    async with driven(size) as screen:
        await screen.press("enter", "c")
        screen.screen.parts.steps.to(place(screen.screen.host.driver, "model.layers.1.mlp"))
        await screen.press("E")
        assert isinstance(screen.app.screen, AskScreen)
        assert "from layer 1, layer 0 from the record" in " ".join(screen.text().split())
        for key in "zero":
            await screen.pilot.press(key)
        await screen.press("enter")
        assert screen.site == "model.layers.1.mlp"
        assert screen.state.phase is Phase.STOPPED
        assert "layer 0 from the record" in screen.text()
        assert [edit.text for edit in screen.state.edits] == ["model.layers.1.mlp: zero"]
        await screen.press("p", "A")
        assert screen.session.calls[-1].startswith("rerun")


async def test_the_title_of_an_edit_tells_of_the_layer_that_is_typed() -> None:
    async with driven() as screen:
        await screen.press("enter", "c", "E")
        asked = screen.app.screen
        assert isinstance(asked, AskScreen)
        asked.query_one(LineInput).value = "layers.1.mlp: zero"
        await screen.pilot.pause()
        assert "again from layer 1, layer 0 from the record" in " ".join(screen.text().split())
        await screen.press("escape")


def test_a_waiting_model_is_told_that_what_an_edit_names_has_run() -> None:
    found = Driver()
    session = FakeSession(found.heard)
    found.opened(session)
    found.run(texts(PROMPT))
    found.until(lambda record: record.site == "model.layers.1.mlp", "")
    assert "model.layers.0.mlp has run: go back to it" in found.edit(parse_edit("layers.0.mlp: zero"))
    assert found.edit(parse_edit("lm_head: zero")) == "from the next record on"


async def test_steps_back_are_repeated_too() -> None:
    async with driven() as screen:
        await screen.press("enter", "c", "number_sign")
        at = screen.state.cursor
        for key in "3 back":
            await screen.pilot.press("space" if key == " " else key)
        await screen.press("enter")
        assert screen.state.cursor == at - 3
