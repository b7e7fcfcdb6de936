"""Stops, watches and health on the screen, and the driver's rules about them."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ui.driving import Driven, driven
from tests.ui.fake import OFFER, FakeSession
from tests.ui.tiny_llama import PROMPT, Recorder, outline
from tests.ui.tiny_llama import forward as healthy
from tracetui.debugger.driver import Driver
from tracetui.debugger.session import Opened
from tracetui.debugger.state import Phase
from tracetui.debugger.stop_book import Entry, StopBook, book_of
from tracetui.expr.stop import parse_stop
from tracetui.expr.watch import parse_watch
from tracetui.expr.watcher import look_up
from tracetui.recipe import texts
from tracetui.recording.record import Record
from tracetui.recording.stepping import Step, ahead
from tracetui.recording.trace import Trace
from tracetui.recording.value import ArrayValue
from tracetui.ui.dialogs.ask import AskScreen
from tracetui.ui.dialogs.forms import FormsScreen
from tracetui.ui.dialogs.health import HealthScreen
from tracetui.ui.dialogs.stops import StopsScreen, _line
from tracetui.ui.panes.modules.pane import ModuleList
from tracetui.ui.panes.modules.watch_list import WatchList
from tracetui.ui.panes.tensor.value_grid import ValueGrid


def driver(*stops: str) -> Driver:
    """A driver whose session's events reach it at once."""
    found = Driver(tuple(map(parse_stop, stops)))
    found.opened(FakeSession(found.heard))
    found.run(texts(PROMPT))
    return found


def look_all_up(found: Driver) -> None:
    """What the screen's worker does."""
    trace = found.state.trace
    for entry in found.state.stops.to_look_up:
        records = trace.records[: found.recorded]
        found.looked_up(entry.stop.text, found.recorded, look_up(trace, entry.stop, records)[0])


def sites(found: Driver, step: Step) -> list[str]:
    """Where steps lead until there is no further."""
    seen: list[str] = []
    while not found.step(step) and found.state.phase is not Phase.FINISHED and len(seen) < 60:
        seen.append(found.state.record.site)
    return seen


def test_running_on_goes_from_stop_to_stop_at_the_frontier_and_behind_it() -> None:
    live = driver("*.mlp", "layers.1.self_attn if norm > 0")
    expected = ["model.layers.0.mlp", "model.layers.1.self_attn", "model.layers.1.mlp"]
    assert sites(live, Step.END) == expected
    live.first()
    again = []
    while live.state.cursor < live.state.frontier - 1:
        live.step(Step.END)
        again.append(live.state.record.site)
    assert again == [*expected, "logits"]


def test_a_step_over_a_module_ends_at_a_stop_inside_it() -> None:
    for behind in (False, True):
        found = driver("*.mlp.up_proj")
        if behind:
            while not found.step(Step.END) and found.state.phase is not Phase.FINISHED:
                pass
            found.first()
        while found.state.record.site != "model.layers.0:attn_residual":
            found.step(Step.INTO)
        found.step(Step.LAYER)
        assert found.state.record.site == "model.layers.0.mlp.up_proj"


def test_a_stop_given_later_is_looked_up_in_what_is_recorded() -> None:
    found = driver()
    found.step(Step.END)
    found.first()
    found.set_stops(found.state.stops.with_stop(parse_stop("layers.0.mlp")))
    assert "being looked for" in found.step(Step.END)
    assert found.state.cursor == 0
    look_all_up(found)
    assert found.state.record.site == "model.layers.0.mlp", "the step that waited was taken"
    assert [hit.index for hit in found.state.hits] == [found.state.cursor]


def test_a_stop_that_is_off_is_passed_and_hears_what_it_missed_when_it_is_on_again() -> None:
    found = driver("*.mlp")
    found.set_stops(found.state.stops.switched("*.mlp", False))
    found.step(Step.END)
    assert found.state.phase is Phase.FINISHED
    found.set_stops(found.state.stops.switched("*.mlp", True))
    look_all_up(found)
    found.first()
    found.step(Step.END)
    assert found.state.record.site == "model.layers.0.mlp"


def test_a_new_run_counts_anew() -> None:
    found = driver("*.mlp")
    found.step(Step.END)
    assert len(found.state.stops.entries[0].hits) == 1
    found.run(texts("two words"))
    assert found.state.stops.after(0) is None


@pytest.mark.parametrize("behind", [False, True])
def test_a_step_is_repeated_until_a_stop(behind: bool) -> None:
    found = driver("*.k_proj")
    if behind:
        found.step(Step.END)
        found.step(Step.END)
        found.first()
    assert found.repeat(Step.INTO, 2) == ""
    assert found.state.cursor == 2
    found.repeat(Step.INTO, 30)
    assert found.state.record.site == "model.layers.0.self_attn.k_proj"


def test_until_runs_on_and_finds_what_is_recorded() -> None:
    found = driver()
    for _ in range(2):
        assert found.until(lambda record: record.site.endswith("0.mlp"), "none") == ""
        assert found.state.record.site == "model.layers.0.mlp"
        found.first()
    found.step(Step.END)
    found.last()
    assert found.until(lambda record: record.site.endswith("0.mlp"), "none") == "none"


def test_the_book_finds_hits_by_place() -> None:
    trace = driver().state.trace
    stop = parse_stop("*")
    book = book_of([stop]).heard(look_up(trace, stop, trace.records)[0])
    assert book.after(-1) == 0
    assert book.after(len(trace.records)) is None
    assert book.at(0)[0].stop == stop
    assert StopBook().after(0) is None


async def test_a_key_sets_a_stop_and_the_screen_says_which_one_was_hit() -> None:
    async with driven() as it:
        await it.press("enter", "s", "s", "b")
        site = it.site
        assert "stop at" in it.text()
        await it.press("1")
        tree = it.screen.query_one(ModuleList)
        tree.line = next(at for at, row in enumerate(tree._rows) if row.path == "model.layers.1")
        await it.press("b")
        assert [stop.text for stop in it.session.stops[2:]] == [site, "model.layers.1"]
        assert any("●" in line and "1  LlamaDecoderLayer" in line for line in it.text().splitlines())
        await it.press("c")
        assert it.site == "model.layers.1"
        assert "● model.layers.1" in it.text()
        await it.press("1", "b")
        assert [stop.text for stop in it.session.stops[2:]] == [site]


async def test_a_typed_stop_is_refused_while_it_is_typed_and_taken_when_it_is_right() -> None:
    async with driven() as it:
        await it.press("enter", "B")
        assert isinstance(it.app.screen, AskScreen)
        await it.press("end", "n", "r", "o", "m")
        assert "did you mean norm?" in it.text()
        assert "▲" in it.text()
        await it.press("enter")
        assert isinstance(it.app.screen, AskScreen), "a wrong one is not taken"
        await it.press(*(["backspace"] * 3), "o", "r", "m", "enter")
        assert it.session.stops[-1].text == "model.embed_tokens if norm"


async def test_a_site_is_checked_completed_and_counted_while_it_is_typed() -> None:
    async with driven() as it:
        await it.press("enter", "c", "B", *_keys("layers.1.mpl"), "enter")
        assert isinstance(it.app.screen, AskScreen), "what was offered is replaced, and no such module is taken"
        assert "no module layers.1.mpl; layers.1.mlp is meant?" in it.text()
        await it.press("backspace", "backspace", "tab", *_keys(" if norm > 0"))
        await it.pilot.pause(0.2)
        await it.settle()
        assert "fits 1 of the 43 records so far; would have stopped once in this run" in it.text()
        await it.press("f1")
        assert isinstance(it.app.screen, FormsScreen)
        assert "square root of the sum of squares" in it.text()
        await it.press("escape", "enter")
        assert it.session.stops[-1].text == "layers.1.mlp if norm > 0"


async def test_each_message_is_a_notice_of_its_own_and_the_tab_counts_what_is_unread() -> None:
    page = replace(OFFER, stops=tuple(map(parse_stop, ("layers.9.mlp", "layers.1.mpl", "layers.1.mlp"))))
    async with driven(offer=page) as it:
        assert it.notices == [
            "layers.9.mlp: no layers.9; layers has 0 to 1",
            "layers.1.mpl: no module layers.1.mpl; layers.1.mlp is meant?",
        ]
        assert {notice.severity for notice in it.app._notifications} == {"warning"}
        await it.press("enter")
        assert "6 Log 2 new" in it.text()
        await it.press("6")
        assert "new" not in it.line(2)
        assert re.search(r" \d\d:\d\d:\d\d ! layers\.9\.mlp: no layers\.9", it.text())


async def test_the_list_of_stops_switches_deletes_and_jumps() -> None:
    async with driven() as it:
        it.screen.parts.stops.add(parse_stop("*.mlp"))
        await it.press("enter", "c", "c", "S")
        assert isinstance(it.app.screen, StopsScreen)
        assert "2 hits" in it.text()
        await it.press("end", "down", "down", "enter")
        assert it.site == "model.layers.0.mlp", "round to the first"
        await it.press("S", "down", "down", "space")
        assert not it.session.stops[-1].on
        assert "○ *.mlp" in it.text()
        await it.press("d")
        assert [stop.text for stop in it.session.stops] == ["nan", "inf"]


async def test_the_list_of_stops_counts_while_the_model_runs() -> None:
    async with driven(hold=True) as it:
        it.screen.parts.stops.add(parse_stop("*.mlp"))
        await it.press("enter")
        it.session.let_go()
        await it.press("c", "S")
        assert "0 hits" in it.text().split("*.mlp")[1].splitlines()[0]
        it.session.let_go()
        await it.settle()
        assert isinstance(it.app.screen, StopsScreen)
        assert "1 hit" in it.text().split("*.mlp")[1].splitlines()[0]


async def test_stops_that_never_fired_are_reported_at_the_end() -> None:
    async with driven() as it:
        it.screen.parts.stops.add(parse_stop("layers.9.mlp"))
        it.screen.parts.stops.add(parse_stop("layers.1.mlp if norm > 1e9"))
        await it.press("enter", "c")
        assert it.state.phase is Phase.FINISHED
        assert "stop layers.9.mlp never fired: no record has such a site" in it.log
        assert "stop layers.1.mlp if norm > 1e9 never fired: looked at 1 record" in it.log
        assert "stop nan" not in it.log
        assert any("never fired" in notice for notice in it.notices)


def with_nan(recorder: Recorder) -> object:
    """The forward pass, whose first layer's up_proj has a NaN that goes on from there."""
    for record in healthy(recorder):
        if record.index >= 16:
            array = recorder.values[-1].read()
            array[(0,) * array.ndim] = np.nan
            recorder.values[-1] = ArrayValue(array)
        yield record


def plant(session: FakeSession) -> None:
    session.forward = with_nan  # type: ignore[assignment]


async def test_a_nan_stops_the_run_and_shows_who_made_it() -> None:
    async with driven(prepare=plant) as it:
        await it.press("enter", "c")
        assert isinstance(it.app.screen, HealthScreen)
        assert "It is made here" in it.text()
        await it.press("escape")
        assert it.site == "model.layers.0.mlp.up_proj"
        assert "● nan = 1" in it.text()
        await it.press("c")
        assert it.state.phase is Phase.FINISHED, "one NaN stops a run once"
        await it.press("exclamation_mark")
        assert "It comes from" in it.text()
        await it.press("tab")
        it.screen.query_one(ValueGrid).go_to(3, 2)
        await it.press("enter")
        await it.pilot.pause()
        assert it.site == "model.layers.0.mlp.up_proj"
        assert it.screen.query_one(ValueGrid).cell == (0, 0), "the first element that is NaN"
        assert _marked(it, "up_proj") == "!"
        assert _marked(it, "down_proj") == "~"
        assert _marked(it, "gate_proj") == " "
        await it.press("home", "exclamation_mark")
        assert isinstance(it.app.screen, HealthScreen)
        assert "model.embed_tokens: every value is finite" in it.text()
        assert "The last records up to it" in it.text()
        assert "Enter to the record" not in it.text()


async def test_a_watch_shows_its_value_and_a_line_over_the_layers() -> None:
    async with driven(size=(180, 50)) as it:
        await it.press("enter", "c", "w")
        await it.press("ctrl+u", *_keys("layers.*.norm"), "enter")
        watches = it.screen.query_one(WatchList)
        assert [watch.text for watch in watches.watches] == ["layers.*.norm"]
        last = it.state.trace.find("model.layers.1")
        assert isinstance(last, Record)
        shown = f"{it.state.trace.statistics(last).l2:.4g}"
        assert any("layers.*.norm" in line and shown in line for line in it.text().splitlines())
        await it.press("w", "ctrl+u", *_keys("layers.*.norm"), "enter")
        assert not watches.watches


def _keys(text: str) -> list[str]:
    return [{"*": "asterisk", ".": "full_stop"}.get(char, char) for char in text]


async def test_run_until_a_typed_site_and_to_the_trees_line() -> None:
    async with driven() as it:
        await it.press("enter", "U", *_keys("*.v_proj"), "enter")
        assert it.site == "model.layers.0.self_attn.v_proj"
        tree = it.screen.query_one(ModuleList)
        await it.press("1")
        tree.line = next(at for at, row in enumerate(tree._rows) if row.path == "model.layers.1")
        await it.press("T")
        assert it.site == "model.layers.1"
        await it.press("T")
        assert "has run already" in it.text()
        await it.press("U", *_keys("layers.0.mlp"), "enter")
        await it.settle()
        assert it.state.phase is Phase.FINISHED
        assert "no record after this one is at layers.0.mlp" in it.log
        await it.press("home", "number_sign", "3", "space", "i", "n", "t", "o", "enter")
        assert it.state.cursor == 3


async def test_tensors_near_their_limit_are_named_when_the_run_has_ended() -> None:
    def near(recorder: Recorder) -> object:
        for record in healthy(recorder):
            values = recorder.values[-1].read().astype(np.float16)
            if record.site == "model.norm":
                values[:] = 60000
            recorder.values[-1] = ArrayValue(values)
            yield record

    def narrow(session: FakeSession) -> None:
        session.forward = near  # type: ignore[assignment]
        session.rename = lambda record: replace(record, dtype="float16")

    async with driven(prepare=narrow) as it:
        await it.press("enter", "c")
        await it.settle()
        assert "model.norm: 100.000% of its values are within 2× of the largest float16" in it.log
        assert "near overflow" not in it.text()
        await it.press("2", *"pp")
        while it.site != "model.norm":
            await it.press("p")
        assert "100% near overflow" in it.text()


def test_a_recording_is_run_from_stop_to_stop() -> None:
    found = driver()
    found.step(Step.END)
    trace = found.state.trace
    events = Driver((parse_stop("*.mlp"),))
    events.heard(Opened(trace, outline()))
    assert [entry.unknown for entry in events.state.stops.entries] == [len(trace)]
    assert "being looked for" in events.step(Step.END)
    look_all_up(events)
    assert events.state.record.site == "model.layers.0.mlp"
    events.step(Step.END)
    assert events.state.record.site == "model.layers.1.mlp"
    events.step(Step.END)
    assert events.state.record.site == "logits"


STOPS = ("*.mlp", "layers.0.self_attn", "*.k_proj if norm > 0", "layers.1 if norm > 0.5 * prev.norm", "* if layer == 1")
DONE = st.sampled_from(
    [
        *(("step", step) for step in Step),
        *(("stop", text) for text in STOPS),
        *(("off", text) for text in STOPS),
        *(("back", place) for place in (0, 7, 30)),
    ]
)


@settings(max_examples=60)
@given(st.lists(DONE, max_size=14))
def test_whatever_is_done_every_step_ends_where_the_trace_says(done: list[tuple[str, object]]) -> None:
    """Against a reference that knows the whole trace: at the frontier, behind it, with stops that come and go."""
    reference = driver()
    reference.step(Step.END)
    trace = reference.state.trace
    found = driver()
    for what, argument in done:
        cursor = found.state.cursor
        if what == "back":
            found.jump(int(str(argument)))
        elif isinstance(argument, Step):
            hits = places(trace, found)
            found.step(argument)
            look_all_up(found)
            leads = ahead(trace.records, cursor, argument)
            expected = min([index for index in (leads, *hits) if index is not None and index > cursor], default=None)
            remark_only = argument in (Step.LAYER, Step.LATER) and found.state.cursor == cursor
            assert remark_only or found.state.cursor == (len(trace) - 1 if expected is None else expected)
        else:
            toggled(found, str(argument), what == "stop")
            look_all_up(found)
        assert known(found) == [index for index in places(trace, found) if index < found.state.frontier]


def toggled(found: Driver, text: str, on: bool) -> None:
    book = found.state.stops
    stop = parse_stop(text)
    found.set_stops(book.switched(stop.text, on) if book.find(stop.text) else book.with_stop(stop))


def places(trace: Trace, found: Driver) -> list[int]:
    """Where a stop that is on holds in the whole trace."""
    stops = [entry.stop for entry in found.state.stops.active]
    return sorted({hit.index for stop in stops for hit in look_up(trace, stop, trace.records)[0]})


def known(found: Driver) -> list[int]:
    """Where the driver knows that one does."""
    return sorted({index for entry in found.state.stops.active for index in entry.places})


async def test_a_watch_has_its_line_over_the_layers_in_a_narrow_tree_too() -> None:
    async with driven((80, 24)) as it:
        await it.press("enter", "c")
        watches = it.screen.query_one(WatchList)
        watches.toggle(parse_watch("layers.*.norm"))
        await it.settle()
        shown = "".join(segment.text for segment in watches.render_line(watches.size.height - 1))
        assert " layers.*.norm " in shown
        assert set(shown) & set("▁▂▃▄▅▆▇█"), shown


def test_nothing_is_looked_up_for_a_stop_that_is_off() -> None:
    book = StopBook((Entry(parse_stop("nan"), unknown=5), Entry(parse_stop("inf"), unknown=5))).switched("nan", False)
    lines = [_line(entry, 20) for entry in book.entries]
    assert ["looking…" in line for line in lines] == [False, True]


def _marked(it: Driven, name: str) -> str:
    """What the tree has beside a module of layer 0's FFN."""
    tree = it.screen.query_one(ModuleList)
    row = next(row for row in tree._rows if row.path == f"model.layers.0.mlp.{name}")
    mark: str = tree._strips._mark(row, False)[1]
    return mark
