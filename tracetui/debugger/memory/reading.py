"""A note from the bytes of a file that anybody may have written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import NoReturn, TypeVar

from tracetui.debugger.memory.note import THOUSAND, MapLook, PaneSizes, ScreenLayout, SessionNote
from tracetui.debugger.memory.writing import FORMAT, FORMAT_KEY, MAX_BYTES, MOST_EARLIER, MOST_OPENED, MOST_WATCHES
from tracetui.errors import InputError, bad_field
from tracetui.expr.edit import MOST_EDITS
from tracetui.expr.edit_parse import parse_edit
from tracetui.expr.stop import MOST_STOPS, Stop, parse_stop
from tracetui.expr.watch import parse_watch
from tracetui.formats.json_text import parse_json_object
from tracetui.formats.table import Fields
from tracetui.recipe.generation import MAX_SAMPLE_SEED, PROMPT_ALONE, Generation, check_count, check_generation
from tracetui.recipe.prompts import MAX_ROW_TOKENS, MAX_ROWS, MAX_TOKEN_ID, Prompts, check_random, check_rows
from tracetui.text import visible

_GENERATION_KEYS = {"generate": "count", "sample_seed": "seed"}
"""What a session's file calls options that have another name elsewhere."""
_MAX_NAME = 1000
_MOST_MAPS = 20
_MOST_OBJECTS = 1000
_DIGITS = 19
"""Of a sampling seed."""

_T = TypeVar("_T")


class NewerError(InputError):
    """The file was written by a newer tracetui: it is whole, but not for this one."""


@dataclass(frozen=True, slots=True)
class NoteRead:
    """A note, and in words what of the file could not come back."""

    note: SessionNote
    dropped: tuple[str, ...] = ()


def read(content: bytes, path: Path, model: str) -> NoteRead:
    """The note of a model. Raises InputError naming the field, NewerError for a later format.

    A stop, watch or edit that can't be parsed is dropped, and told; whatever else is wrong makes the whole file so.
    """
    if len(content) > MAX_BYTES:
        raise InputError(f"{path}: larger than the {MAX_BYTES:,} bytes that such a file may have")
    document = parse_json_object(content, path, _MOST_OBJECTS, _DIGITS)
    fields = _Said(document, path)
    if fields.integer(FORMAT_KEY) > FORMAT:
        raise NewerError(f"{path}: is of format {document[FORMAT_KEY]}, this tracetui knows {FORMAT}")
    if fields.text("model") != model:
        raise bad_field(path, "model", f"must be {visible(model, 200)}", document["model"])
    dropped: list[str] = []
    note = SessionNote(
        stops=_stops(fields, dropped),
        watches=_parsed(fields.texts("watches", MOST_WATCHES), parse_watch, "watch", dropped),
        edits=_parsed(fields.texts("edits", MOST_EDITS), parse_edit, "edit", dropped),
        prompts=None if document.get("prompts") is None else _prompts(fields.part("prompts")),
        earlier=fields.texts("earlier", MOST_EARLIER),
        generation=PROMPT_ALONE if document.get("generation") is None else _generation(fields.part("generation")),
        more=check_count(fields.integer("more", 0, least=0), f"{path}: more"),
        layout=_layout_or_none(fields, dropped),
        finding=fields.name("finding"),
    )
    return NoteRead(note, tuple(dropped))


def model_of(content: bytes, path: Path) -> str:
    """Which model or recording a note is of. Raises InputError."""
    return _Said(parse_json_object(content, path, _MOST_OBJECTS, _DIGITS), path).encodable("model")


class _Said(Fields):
    """Fields of a note, or of a part of one."""

    def part(self, field: str) -> _Said:
        value = self.found.get(field, {})
        if not isinstance(value, dict):
            self.fail(field, "must be an object")
        return _Said(value, self.where, f"{self.prefix}{field}.")

    def items(self, field: str, most: int) -> list[object]:
        value = self.found.get(field, [])
        if not isinstance(value, list) or len(value) > most:
            self.fail(field, f"must be a list of at most {most:,}")
        return value

    def texts(self, field: str, most: int) -> tuple[str, ...]:
        return tuple(self._encodable(field, item) for item in self.items(field, most))

    def encodable(self, field: str) -> str:
        return self._encodable(field, self.found.get(field, ""))

    def _encodable(self, field: str, value: object) -> str:
        if not isinstance(value, str) or any(0xD800 <= ord(char) < 0xE000 for char in value):
            self.fail(field, "must be text")
        return value

    def name(self, field: str) -> str:
        """A short text, which may be missing."""
        value = self.encodable(field)
        if len(value) > _MAX_NAME:
            self.fail(field, f"is longer than {_MAX_NAME} characters")
        return value

    def fail(self, field: str, problem: str) -> NoReturn:
        raise bad_field(self.where, self.prefix + field, problem)


def _stops(fields: _Said, dropped: list[str]) -> tuple[Stop, ...]:
    stops: dict[str, Stop] = {}
    for place, item in enumerate(fields.items("stops", MOST_STOPS)):
        if not isinstance(item, dict):
            fields.fail(f"stops[{place}]", "must be an object")
        entry = _Said(item, fields.where, f"stops[{place}].")
        text, on, once = entry.encodable("stop"), entry.flag("on", True), entry.flag("once")
        for stop in _parsed([text], parse_stop, "stop", dropped):
            stops.setdefault(stop.text, replace(stop, on=on, once=once))
    return tuple(stops.values())


def _parsed(texts: Sequence[str], parse: Callable[[str], _T], what: str, dropped: list[str]) -> tuple[_T, ...]:
    """The parsed entries, each once; for one that can't be parsed, the reason is added to `dropped`."""
    parsed: dict[_T, None] = {}
    for text in texts:
        try:
            parsed[parse(text)] = None
        except InputError as error:
            dropped.append(f"the {what} {visible(text, 60)!r} doesn't come back: {visible(str(error), 200)}")
    return tuple(parsed)


def _prompts(fields: _Said) -> Prompts:
    prompts = Prompts(
        chat=fields.flag("chat"), system=fields.encodable("system"), specials=fields.flag("specials", True)
    )
    if "random" in fields.found:
        rows, length = (_whole(fields, "random", size) for size in _pair(fields))
        return replace(prompts, random=check_random(rows, length, f"{fields.where}: prompts.random"))
    which = "ids" if "ids" in fields.found else "texts"
    check_rows(len(fields.items(which, MAX_ROWS)), f"{fields.where}: prompts.{which}")
    if which == "texts":
        return replace(prompts, texts=fields.texts("texts", MAX_ROWS))
    return replace(prompts, ids=tuple(_ids(fields, row) for row in fields.items("ids", MAX_ROWS)))


def _pair(fields: _Said) -> list[object]:
    sizes = fields.items("random", 2)
    return sizes if len(sizes) == 2 else fields.fail("random", "must be rows and tokens like [4, 64]")


def _ids(fields: _Said, row: object) -> tuple[int, ...]:
    if not isinstance(row, list) or not row:
        fields.fail("ids", "must be lists of ids")
    return tuple(_whole(fields, "ids", token, MAX_TOKEN_ID) for token in row)


def _whole(fields: _Said, field: str, value: object, most: int = MAX_ROW_TOKENS) -> int:
    if type(value) is not int or not 0 <= value <= most:
        fields.fail(field, f"must be whole numbers from 0 to {most:,}")
    return value


def _generation(fields: _Said) -> Generation:
    entries = fields.found
    number = {name: fields.number(name, 0.0) for name in ("temperature", "top_p") if name in entries}
    integers = {
        name: fields.integer(name, least=0, most=MAX_SAMPLE_SEED) for name in ("top_k", "seed") if name in entries
    }
    stop = tuple(_whole(fields, "stop", item, MAX_TOKEN_ID) for item in fields.items("stop", 1000))
    generation = Generation(
        count=fields.integer("count", 0, least=0),
        temperature=number.get("temperature"),
        top_k=integers.get("top_k"),
        top_p=number.get("top_p"),
        seed=integers.get("seed"),
        stop=stop if "stop" in entries else None,
    )
    try:
        return check_generation(generation, lambda name: _GENERATION_KEYS.get(name, name))
    except InputError as error:
        raise InputError(f"{fields.where}: generation: {error}") from error


def _layout_or_none(fields: _Said, dropped: list[str]) -> ScreenLayout:
    """A wrong layout costs no stops: the screen is arranged as it is at first, and that is told."""
    try:
        return _layout(fields.part("layout"))
    except InputError as error:
        dropped.append(f"the layout doesn't come back: {visible(str(error), 200)}")
        return ScreenLayout()


def _layout(fields: _Said) -> ScreenLayout:
    maps = []
    for place, item in enumerate(fields.items("maps", _MOST_MAPS)):
        if not isinstance(item, dict):
            fields.fail(f"maps[{place}]", "must be an object")
        entry = _Said(item, fields.where, f"layout.maps[{place}].")
        maps.append(MapLook(*(entry.name(name) for name in ("map", "scale", "colours", "diverging"))))
    return ScreenLayout(
        front=fields.name("front"),
        maximised=fields.name("maximised"),
        opened=fields.texts("opened", MOST_OPENED) if "opened" in fields.found else None,
        names=fields.name("names"),
        scores=fields.name("scores"),
        maps=tuple(maps),
        numbers=fields.flag("numbers"),
        sizes=_sizes(fields.part("sizes")),
    )


def _sizes(fields: _Said) -> PaneSizes:
    names = [field.name for field in dataclass_fields(PaneSizes) if field.name in fields.found]
    return PaneSizes(**{name: fields.integer(name, least=0, most=THOUSAND) for name in names})
