"""What comes back in the real program, and how the command line says otherwise."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.cli.running import Here
from tests.cli.terminal import Terminal
from tests.ui.recording import written
from tracetui import headless, paths
from tracetui.commands.read_options import read_recipe, read_stops
from tracetui.commands.restore_session import last_of, name_of, recalled, recalled_recording
from tracetui.debugger.memory.note import NO_NOTE, SessionNote
from tracetui.debugger.memory.store import NoteStore
from tracetui.debugger.start_page import StartPage
from tracetui.expr.stop import DEFAULT_STOPS, parse_stop
from tracetui.headless import Stops
from tracetui.options.parser import parser
from tracetui.recipe import Generation, Prompts, Recipe, load_recipe, texts

NAME = name_of("llama-tiny")
OWN = load_recipe("llama-tiny").prompts


def start(*options: str) -> tuple[Recipe, StartPage]:
    """What `tracetui run llama-tiny` would show."""
    from tracetui.commands.start_page import page_of_recipe

    said = parser().parse_args(["run", "llama-tiny", *options])
    said.offline = True
    last = last_of(NAME, said.fresh)
    stops = read_stops(said, last.note.stops)
    recipe = read_recipe(said, last.note)
    return recipe, page_of_recipe(recipe, stops, recalled(said, last, recipe, stops))


def files() -> list[Path]:
    return sorted((paths.state_dir() / "sessions").glob("*"))


@pytest.mark.parametrize(
    ("options", "prompts"),
    [
        ((), Prompts(("hi",), chat=True, system="be brief")),
        (("--system", "be long"), Prompts(("hi",), chat=True, system="be long")),
        (("--no-special",), Prompts(("hi",), chat=True, system="be brief", specials=False)),
        (("-p", "no"), texts("no")),
        (("--tokens", "1,2"), Prompts(ids=((1, 2),))),
        (("--fresh",), OWN),
    ],
)
def test_the_prompt_comes_back_unless_another_is_said(options: tuple[str, ...], prompts: Prompts) -> None:
    NoteStore(NAME).write(SessionNote(prompts=Prompts(("hi",), chat=True, system="be brief")))
    recipe, offer = start(*options)
    assert recipe.prompts == offer.prompts == prompts
    assert ("the chat's prompt" in offer.recalled.told) == (prompts.texts == ("hi",))


def test_ids_don_t_come_back_into_a_chat() -> None:
    NoteStore(NAME).write(SessionNote(prompts=Prompts(ids=((1, 2),))))
    assert start()[0].prompts.ids == ((1, 2),)
    assert start("--chat")[0].prompts == Prompts(OWN.texts, chat=True)


def test_how_the_model_went_on_comes_back_as_a_whole_or_not_at_all() -> None:
    NoteStore(NAME).write(SessionNote(generation=Generation(3, temperature=0.5)))
    assert start()[0].generation == Generation(3, temperature=0.5)
    recipe, offer = start("--generate", "2")
    assert recipe.generation == offer.recalled.note.generation == Generation(2)
    assert offer.recalled.told == ""


def test_stops_that_are_said_are_the_only_ones_that_are_on() -> None:
    NoteStore(NAME).write(SessionNote(stops=(*DEFAULT_STOPS, parse_stop("*.mlp"))))
    assert [stop.text for stop in start()[1].stops if stop.on] == ["nan", "inf", "*.mlp"]
    stops, told = (offer := start("--break", "*.norm")[1]).stops, offer.recalled.told
    assert [(stop.text, stop.on) for stop in stops[2:]] == [("*.norm", True), ("*.mlp", False)]
    assert told == "from last time: 1 stop (off); --fresh forgets"


@pytest.mark.parametrize("options", [(), ("--chat",), ("--no-special",)])
def test_the_recipe_s_own_prompt_need_not_be_remembered_unless_it_is_taken_otherwise(options: tuple[str, ...]) -> None:
    assert start(*options)[1].recalled.own == (None if options else OWN)


def test_a_fresh_start_reads_nothing_and_takes_the_file_s_place(capsys: pytest.CaptureFixture[str]) -> None:
    store = NoteStore(NAME)
    store.path.parent.mkdir(parents=True)
    store.path.write_bytes(b"broken")
    offer = start("--fresh")[1]
    assert store.path.read_bytes() == b"broken"
    assert (offer.recalled.remarks, offer.recalled.told) == ((), "")
    assert offer.recalled.keeper is not None
    offer.recalled.keeper.want(NO_NOTE)
    offer.recalled.keeper.write()
    assert store.read().note == NO_NOTE


def test_whoever_wants_nothing_remembered_leaves_nothing_and_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    NoteStore(NAME).write(SessionNote(prompts=texts("hi")))
    monkeypatch.setenv("TRACETUI_NO_SESSION", "1")
    recipe, offer = start()
    assert recipe.prompts == OWN
    assert offer.recalled.keeper is None
    assert recalled_recording(last_of("recording x", False)).keeper is None


def test_a_model_is_the_same_from_wherever_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "b")
    names = {name_of(said) for said in ("../a", str(tmp_path / "a"), f"{tmp_path}/b/../a/")}
    assert names == {f"path {tmp_path}/a"}
    assert len({name_of("owner/name"), name_of("owner/name@v1"), name_of("llama-tiny"), name_of("./llama-tiny")}) == 4


def test_a_trace_without_a_screen_knows_nothing_of_sessions(tracetui: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    NoteStore(NAME).write(SessionNote(prompts=texts("hi"), stops=(parse_stop("*.mlp"),)))
    asked: list[tuple[Recipe, Stops]] = []

    def run_nothing(recipe: Recipe, output: object, as_json: bool, compress: bool, stops: Stops) -> list[str]:
        asked.append((recipe, stops))
        return []

    monkeypatch.setattr(headless, "run_and_write", run_nothing)
    assert tracetui("trace", "llama-tiny").status == 0
    ((recipe, stops),) = asked
    assert recipe.prompts == OWN
    assert stops.stops == DEFAULT_STOPS
    assert "--fresh" in tracetui.refused("trace", "llama-tiny", "--fresh")


def test_what_was_typed_and_never_run_outlives_a_session_that_is_told_to_end(tmp_path: Path) -> None:
    with Terminal("run", "llama-tiny", cwd=tmp_path, warm=True) as terminal:
        terminal.until("the answer to the ultimate question")
        terminal.send("\x1b[F typed in vain")
        terminal.until("typed in vain")
        terminal.kill(signal.SIGTERM)
        assert terminal.ended() == 128 + signal.SIGTERM
        terminal.assert_restored()
    (kept,) = files()
    assert kept.stat().st_mode & 0o777 == 0o600
    with Terminal("run", "llama-tiny", cwd=tmp_path, columns=120, warm=True) as terminal:
        terminal.until("from last time: the prompt; --fresh forgets", "typed in vain")
        terminal.send("\x1b[F")  # what stands there is selected
        terminal.send(", and more")
        terminal.until("typed in vain, and more")
        assert terminal.hang_up() == 128 + signal.SIGHUP
    assert json.loads(kept.read_text())["prompts"]["texts"][0].endswith("typed in vain, and more")


def test_an_opened_recording_comes_back_as_it_was_left(tmp_path: Path) -> None:
    trace = written(tmp_path / "t.npz")
    with Terminal("open", "t.npz", cwd=tmp_path, columns=120, warm=True) as terminal:
        terminal.until("recording · 43 records")
        terminal.send("6q")
        assert terminal.ended() == 0
    with Terminal("open", str(trace), cwd=tmp_path, columns=120, warm=True) as terminal:
        terminal.until("from last time: the layout")
        terminal.send("q")
        assert terminal.ended() == 0
    with Terminal("open", str(trace), "--fresh", cwd=tmp_path, columns=120, warm=True) as terminal:
        terminal.until("recording · 43 records")
        terminal.send("q")
        assert terminal.ended() == 0
    (kept,) = files()
    assert json.loads(kept.read_text())["layout"] == {}
