"""What is set in one session is there in the next, through the real file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from tests.ui.driving import Driven, driven
from tests.ui.fake import OFFER, FakeSession
from tests.ui.tiny_llama import PROMPT, outline
from tracetui import paths
from tracetui.debugger.memory.keeper import Keeper
from tracetui.debugger.memory.note import NO_NOTE, ScreenLayout, SessionNote
from tracetui.debugger.memory.restored import Restored, edits_beside, in_words
from tracetui.debugger.memory.store import NoteStore, StoredNote
from tracetui.debugger.session import Opened
from tracetui.debugger.start_page import StartPage
from tracetui.expr.stop import parse_stop
from tracetui.recipe import Prompts, texts
from tracetui.ui.dialogs.stops import StopsScreen
from tracetui.ui.panes.attention.pane import AttentionPane
from tracetui.ui.panes.modules.pane import ModuleList
from tracetui.ui.panes.modules.watch_list import WatchList
from tracetui.ui.panes.tensor.welcome import Welcome
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.ui.widgets.prompt_bar import PromptInput
from tracetui.views.heatmap.scale import ScaleKind

MODEL = "recipe m"


def offer_from(found: StoredNote, base: StartPage = OFFER) -> StartPage:
    """The offer of a model whose file was found so, with nothing said on the command line."""
    note = found.note
    keeper = Keeper(NoteStore(MODEL), note if found.there else NO_NOTE)
    own = base.prompts if note.prompts is None else None
    recalled = Restored(note, found.remarks, keeper, own, in_words(note) if found.there else "")
    return replace(
        base,
        prompts=note.prompts or base.prompts,
        stops=note.stops,
        edits=edits_beside((), note.edits),
        recalled=recalled,
    )


@asynccontextmanager
async def session(base: StartPage = OFFER, end: str = "ctrl+q") -> AsyncIterator[Driven]:
    """One session of the model, ended by a key."""
    async with driven(offer=offer_from(NoteStore(MODEL).read(), base)) as app:
        yield app
        await app.press(end)


def kept() -> SessionNote:
    found = NoteStore(MODEL).read()
    assert found.there
    return found.note


async def test_stops_watches_edits_prompt_and_layout_come_back() -> None:
    async with session() as app:
        await app.press("enter", "c")
        app.screen.parts.stops.add(parse_stop("*.mlp if norm > 3"))
        app.screen.parts.stops.watch_typed("layers.*.norm")
        app.screen.parts.edits.typed("layers.1.mlp: zero")
        await app.press("3")
        await app.press("m", "x", "x", "a", "z")
        app.screen.query_one(PromptInput).value = "never run"
        tree = app.screen.query_one(ModuleList)
        tree.unfold({*tree._opened, "model.layers.0.mlp"})
        look = app.screen.query_one("#heatmap", Heatmap)
        chosen, kind = look.chosen, app.screen.query_one(AttentionPane).kind
    async with session() as app:
        assert app.screen.query_one(PromptInput).value == "never run"
        assert [stop.text for stop in app.session.stops] == ["nan", "inf", "*.mlp if norm > 3"]
        assert [(edit.text, edit.on) for edit in app.state.edits] == [("layers.1.mlp: zero", False)]
        assert [watch.text for watch in app.screen.query_one(WatchList).watches] == ["layers.*.norm"]
        assert "model.layers.0.mlp" in app.screen.query_one(ModuleList)._opened
        told = "from last time: 1 stop, 1 watch, 1 edit (off), the prompt, the layout; --fresh forgets"
        assert told in str(app.screen.query_one(Welcome).render()).splitlines()
        assert app.screen.front == "tensor"
        await app.press("up")
        assert app.screen.query_one(PromptInput).value == PROMPT
        await app.press("enter")
        assert (app.screen.front, app.screen.has_class("-maximised")) == ("attention", True)
        look = app.screen.query_one("#heatmap", Heatmap)
        assert app.screen.focused is look
        assert (look.chosen, look.kind) == (chosen, ScaleKind.LOG)
        assert chosen[0]
        assert app.screen.query_one(AttentionPane).kind == kind != "probs"
    assert kept().layout.front == "attention"


async def test_a_session_in_which_nothing_is_set_leaves_no_file() -> None:
    async with session():
        pass
    assert not paths.state_dir().exists()


async def test_what_is_typed_is_on_disk_without_an_orderly_end() -> None:
    async with driven(offer=offer_from(NoteStore(MODEL).read())) as app:
        await app.press(*"xyz")
        app.screen.parts.memory.keep()
        await app.settle()
        assert kept().prompts == OFFER.prompts.typed("xyz")
        assert kept().earlier == ()


async def test_a_session_told_to_end_leaves_what_was_set_the_moment_before() -> None:
    async with session(end="ctrl+c") as app:
        app.screen.parts.stops.watch_typed("layers.*.norm")
    assert [watch.text for watch in kept().watches] == ["layers.*.norm"]


async def test_a_screen_that_is_told_to_end_again_while_it_is_taken_down_notes_the_same() -> None:
    async with session() as app:
        app.screen.parts.stops.watch_typed("layers.*.norm")
    assert not app.screen.note_down()
    assert [watch.text for watch in kept().watches] == ["layers.*.norm"]


async def test_an_early_end_keeps_the_layout_that_had_no_time_to_come_back() -> None:
    layout = ScreenLayout(front="logits", maximised="pane", opened=("", "model"), names="meta", scores="scores")
    NoteStore(MODEL).write(replace(NO_NOTE, layout=layout))
    async with driven(offer=offer_from(NoteStore(MODEL).read())) as app:
        app.screen.query_one(PromptInput).value = "x"
        await app.press("ctrl+q")
    assert (kept().layout.front, kept().layout.maximised, kept().layout.scores) == ("logits", "pane", "scores")


async def test_a_pane_that_the_user_chose_stays_in_front() -> None:
    NoteStore(MODEL).write(replace(NO_NOTE, layout=ScreenLayout(front="logits")))
    async with session() as app:
        app.screen.arrangement.go_to("attention")
        await app.settle()
        app.screen.parts.runs.prompt()
        await app.press("enter")
        assert app.screen.front == "attention"


async def test_names_from_a_strange_file_are_left_out() -> None:
    strange = ScreenLayout("\x1b[31m", "sideways", ("../..", "[red]"), "klingon", "\x00", ())
    NoteStore(MODEL).write(replace(NO_NOTE, layout=strange, stops=()))
    async with session() as app:
        await app.press("enter")
        assert app.screen.front == "tensor"
        assert app.screen.query_one(AttentionPane).kind == "probs"
        assert app.screen.query_one(ModuleList)._opened <= {"", *(app.screen.query_one(ModuleList)._known)}
        assert app.screen.query_one(ModuleList).layout_shown == ""


async def test_a_stop_switched_off_and_one_taken_away_stay_so() -> None:
    async with session() as app:
        await app.press("escape", "S")
        assert isinstance(app.app.screen, StopsScreen)
        book = app.screen.host.driver.state.stops.switched("nan", False).without("inf")
        app.screen.parts.stops.change(book)
    async with session() as app:
        assert [(stop.text, stop.on, stop.once) for stop in app.session.stops] == [("nan", False, True)]


async def test_a_batch_comes_back_as_a_batch_and_what_was_emptied_as_what_was_run() -> None:
    batch = replace(OFFER, prompts=Prompts(texts=("one two", "three"), chat=True, system="be brief"))
    async with session(batch) as app:
        await app.press("enter")
    found = offer_from(NoteStore(MODEL).read(), batch)
    assert found.prompts == batch.prompts
    async with session() as app:
        app.screen.query_one(PromptInput).value = "alone"
        await app.press("enter")
        app.screen.query_one(PromptInput).value = " "
    assert kept().prompts == texts("alone")


async def test_how_many_tokens_were_asked_for_is_offered_again() -> None:
    async with session() as app:
        app.screen.parts.runs.more = 3
    async with session() as app:
        assert app.screen.parts.runs.more == kept().more == 3


async def test_a_folder_that_takes_no_file_is_told_once_and_nothing_else_happens() -> None:
    paths.state_dir().parent.mkdir(parents=True, exist_ok=True)
    paths.state_dir().write_text("a file where the folder should be")
    async with session() as app:
        for text in ("layers.*.norm", "layers.*.max"):
            app.screen.parts.stops.watch_typed(text)
            app.screen.parts.memory.keep()
            await app.settle()
        told = [line for line in app.log.splitlines() if "can't be remembered" in line]
        assert len(told) == 1
        assert len(app.notices) == 1


async def test_a_broken_file_is_put_aside_and_told() -> None:
    store = NoteStore(MODEL)
    store.write(NO_NOTE)
    store.path.write_bytes(b"{ torn")
    async with session() as app:
        assert "nothing comes back from last time" in " ".join(app.log.split())
        app.screen.parts.stops.watch_typed("layers.*.norm")
    assert store.path.with_name(f"{store.path.name}.bad").read_bytes() == b"{ torn"
    assert [watch.text for watch in kept().watches] == ["layers.*.norm"]


async def test_a_recording_s_stops_and_panes_come_back_and_its_prompt_line_asks_for_nothing() -> None:
    recording = replace(OFFER, recording="a file", prompts=Prompts())

    def record(session: FakeSession) -> None:
        session.start(texts(PROMPT), lambda record: False)
        session.send(Opened(session._recorder.trace, outline()))

    for turn in range(2):
        async with driven(offer=offer_from(NoteStore(MODEL).read(), recording), prepare=record) as app:
            if turn:
                assert app.screen.front == "logits"
                assert [stop.text for stop in app.state.stops.stops] == ["nan", "inf", "*.mlp"]
            app.screen.parts.stops.add(parse_stop("*.mlp"))
            await app.press("5", "q")
    assert kept().prompts is None
