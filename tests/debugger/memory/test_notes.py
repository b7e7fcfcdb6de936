"""A note written is the note read, and a file that anybody wrote is read, dropped or refused, never believed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracetui.debugger.memory.note import NO_NOTE, MapLook, PaneSizes, ScreenLayout, SessionNote
from tracetui.debugger.memory.reading import NewerError, NoteRead, read
from tracetui.debugger.memory.writing import MAX_BYTES, written
from tracetui.errors import InputError
from tracetui.expr.edit_parse import parse_edit
from tracetui.expr.stop import DEFAULT_STOPS, parse_stop
from tracetui.expr.watch import parse_watch
from tracetui.recipe.generation import Generation
from tracetui.recipe.prompts import Prompts, texts

MODEL = "recipe m"
WHERE = Path("sessions/m.json")
STOPS = st.sampled_from(["nan", "*.mlp", "layers.7.mlp if norm > 100", "if prev.norm > 3", "*.gate if expert(17)"])
WATCHES = st.sampled_from(["layers.*.norm", "layers.3.mlp:routing_weights[5]", "model.norm", "absmax at *.mlp"])
EDITS = st.sampled_from(["layers.3.self_attn head 5: zero", "layers.1.mlp: scale 0.5", "layers.2.mlp: skip"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TAKEN = {"chat": st.booleans(), "system": TEXTS, "specials": st.booleans()}
PROMPTS = st.one_of(
    st.builds(Prompts, texts=st.lists(TEXTS, min_size=1, max_size=3).map(tuple), **TAKEN),
    st.builds(Prompts, ids=st.lists(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=4).map(tuple), min_size=1,
                                    max_size=3).map(tuple), **TAKEN),
    st.builds(Prompts, random=st.tuples(st.integers(1, 4), st.integers(1, 64))),
)  # fmt: skip
GENERATIONS = [Generation(), Generation(8), Generation(3, 0.7, 5, 0.9, 2**63 - 1, (2, 7)), Generation(1, stop=())]
NOTES = st.builds(
    SessionNote,
    stops=st.lists(st.builds(lambda text, on: replace(parse_stop(text), on=on), STOPS, st.booleans()), max_size=4,
                   unique_by=lambda stop: stop.text).map(tuple),
    watches=st.lists(WATCHES.map(parse_watch), max_size=3, unique=True).map(tuple),
    edits=st.lists(EDITS.map(parse_edit), max_size=3, unique=True).map(tuple),
    prompts=st.none() | PROMPTS,
    earlier=st.lists(TEXTS, max_size=3).map(tuple),
    generation=st.sampled_from(GENERATIONS),
    more=st.integers(0, 100),
    layout=st.builds(
        ScreenLayout, NAMES, NAMES, st.none() | st.lists(NAMES, max_size=3).map(tuple), NAMES, NAMES,
        st.lists(st.builds(MapLook, NAMES, NAMES, NAMES, NAMES), max_size=3).map(tuple), st.booleans(),
        st.builds(PaneSizes, *[st.none() | st.integers(0, 1000)] * 5),
    ),
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def plain(note: SessionNote = NO_NOTE) -> dict[str, object]:
    found: dict[str, object] = json.loads(written(note, MODEL))
    return found


def read_again(said: object) -> SessionNote:
    return read(json.dumps(said).encode(), WHERE, MODEL).note


@settings(max_examples=60)
@given(NOTES)
def test_what_is_written_is_read_again(note: SessionNote) -> None:
    assert read(written(note, MODEL), WHERE, MODEL) == NoteRead(note)


@settings(max_examples=150)
@given(st.data())
def test_a_file_with_anything_in_it_is_read_or_refused_in_words(data: st.DataObject) -> None:
    said = plain(SessionNote(prompts=texts("x"), generation=Generation(1), layout=ScreenLayout(maps=(MapLook("m"),))))
    part = data.draw(st.sampled_from([said, said["prompts"], said["generation"], said["layout"]]))
    assert isinstance(part, dict)
    part[data.draw(st.sampled_from(sorted(part)))] = data.draw(JSON)
    refused = ""
    try:
        note = read_again(said)
    except InputError as error:
        note, refused = NO_NOTE, str(error)
    assert refused == "" or str(WHERE) in refused
    assert read(written(note, MODEL), WHERE, MODEL).note == note


@settings(max_examples=100)
@given(st.binary(max_size=200) | st.integers(2, 400).map(lambda cut: written(NO_NOTE, MODEL)[:-cut]))
def test_bytes_that_are_no_note_are_refused_with_the_file_s_name(content: bytes) -> None:
    with pytest.raises(InputError, match=r"sessions/m\.json"):
        read(content, WHERE, MODEL)


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("tracetui_session", True, "must be an integer"),
        ("tracetui_session", 0, "must be between"),
        ("model", "recipe other", "model: must be recipe m"),
        ("stops", {}, "stops: must be a list"),
        ("stops", ["nan"], r"stops\[0\]: must be an object"),
        ("stops", [{"stop": 3}], r"stops\[0\]\.stop: must be text"),
        ("stops", [{"stop": "nan", "on": "yes"}], r"stops\[0\]\.on: must be true or false"),
        ("stops", [{"stop": "nan"}] * 101, "stops: must be a list of at most 100"),
        ("watches", [3], "watches: must be text"),
        ("prompts", {"texts": []}, r"prompts\.texts: a batch has 1 to"),
        ("prompts", {"texts": ["\ud800"]}, r"prompts\.texts: must be text"),
        ("prompts", {"ids": [[-1]]}, r"prompts\.ids: must be whole numbers"),
        ("prompts", {"ids": [[]]}, r"prompts\.ids: must be lists of ids"),
        ("prompts", {"ids": [[True]]}, r"prompts\.ids: must be whole numbers"),
        ("prompts", {"random": [1]}, r"prompts\.random: must be rows and tokens"),
        ("prompts", {"random": [10**9, 10**9]}, r"prompts\.random: must be whole numbers"),
        ("generation", {"temperature": 1}, "generation: temperature, .* and seed say how count N draws"),
        ("generation", {"count": 10**6}, "generation: count: must be 0 to"),
        ("more", -1, "more: must be between"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        read_again({**plain(), field: value})


@pytest.mark.parametrize(
    ("layout", "problem"),
    [
        ([], "layout: must be an object"),
        ({"front": "x" * 1001}, r"layout.front: is longer than"),
        ({"maps": [{}] * 21}, r"layout.maps: must be a list of at most"),
        ({"sizes": {"rail": 1001}}, r"layout.sizes.rail: must be between 0 and 1,000"),
        ({"sizes": {"rows": "wide"}}, r"layout.sizes.rows: must be an integer"),
        ({"sizes": [3]}, r"layout.sizes: must be an object"),
    ],
)
def test_a_wrong_layout_is_told_and_costs_nothing_else(layout: object, problem: str) -> None:
    note = SessionNote(watches=(parse_watch("layers.*.norm"),))
    again = read(json.dumps({**plain(note), "layout": layout}).encode(), WHERE, MODEL)
    assert again.note == note
    assert len(again.dropped) == 1
    assert again.dropped[0].startswith("the layout doesn't come back: ")
    assert problem in again.dropped[0]


def test_a_stop_a_watch_or_an_edit_that_means_nothing_any_more_is_dropped_and_told() -> None:
    said = {
        **plain(),
        "stops": [{"stop": "*.mlp if flavour > 3"}, {"stop": "*.mlp"}],
        "watches": ["layers.*.norm", "§"],
        "edits": ["layers.1.mlp: sweeten"],
    }
    found = read(json.dumps(said).encode(), WHERE, MODEL)
    assert [stop.text for stop in found.note.stops] == ["*.mlp"]
    assert [watch.text for watch in found.note.watches] == ["layers.*.norm"]
    assert found.note.edits == ()
    assert [line.split(" doesn't")[0] for line in found.dropped] == [
        "the stop '*.mlp if flavour > 3'",
        "the watch '§'",
        "the edit 'layers.1.mlp: sweeten'",
    ]


def test_a_newer_format_is_told_from_a_broken_file() -> None:
    with pytest.raises(NewerError, match="is of format 2, this tracetui knows 1"):
        read_again({"tracetui_session": 2, "whatever": None})


def test_a_file_that_says_little_is_a_note_without_stops() -> None:
    assert read_again({"tracetui_session": 1, "model": MODEL}) == replace(NO_NOTE, stops=())


def test_a_file_stays_small_whatever_was_typed() -> None:
    prompt = texts("x" * 2000)
    note = SessionNote(DEFAULT_STOPS, prompts=prompt, earlier=tuple("y" * 100_000 for _ in range(20)))
    content = written(note, MODEL)
    assert len(content) <= MAX_BYTES
    assert read(content, WHERE, MODEL).note == replace(note, earlier=())
    content = written(replace(note, prompts=texts("x" * MAX_BYTES)), MODEL)
    assert len(content) <= MAX_BYTES
    assert read(content, WHERE, MODEL).note == replace(note, earlier=(), prompts=None)
    with pytest.raises(InputError, match="larger than"):
        read(b" " * (MAX_BYTES + 1), WHERE, MODEL)


def test_half_a_character_from_a_terminal_is_written_as_one_that_can_be_read() -> None:
    found = read(written(SessionNote(prompts=texts("a\udce9b")), MODEL), WHERE, MODEL).note
    assert found.prompts == texts("a?b")
