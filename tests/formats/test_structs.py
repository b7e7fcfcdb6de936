"""JSON into structs: what msgspec lets pass is refused, and a refusal names the field."""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, Struct, UnsetType

from tracetui.errors import InputError
from tracetui.formats import misfit
from tracetui.formats.json_keys import key_count
from tracetui.formats.json_text import DuplicateKeyError, parse_json
from tracetui.formats.structs import Count, Number, read_json


class Part(Struct):
    size: Count
    name: str | UnsetType = UNSET


class Document(Struct):
    parts: list[Part]
    by_name: dict[str, Part] | UnsetType = UNSET
    scale: Number | UnsetType = UNSET
    pair: Annotated[tuple[str, Count], Meta(extra={"must": "be a name and a size"})] | UnsetType = UNSET
    rest: dict[str, Any] | UnsetType = UNSET


def read(text: str) -> Document:
    return read_json(text.encode("utf-8", "surrogateescape"), Document, "f")


def refusal(text: str) -> str:
    with pytest.raises(InputError) as caught:
        read(text)
    return str(caught.value)


def test_a_document_comes_back_as_structs() -> None:
    by_name = '{"a": {"size": 0, "name": ":b\\""}}'
    found = read(f'{{"parts": [{{"size": 3}}], "by_name": {by_name}, "scale": "Infinity", "pair": ["x", 1]}}')
    assert found.parts == [Part(3)]
    assert found.by_name == {"a": Part(0, ':b"')}
    assert (found.scale, found.pair) == ("Infinity", ("x", 1))


@pytest.mark.parametrize(
    "text",
    [
        '{"parts": [{"size": 1, "size": 1}]}',
        '{"parts": [], "parts": []}',
        '{"parts": [{"size" :1, "size": 1}]}',
        '{"parts": [{"size": 1, "si\\u007ae": 1}]}',
        '{"parts": [], "by_name": {"a": {"size": 1}, "a": {"size": 1}}}',
        '{"parts": [], "rest": {"a": [{"b": 1, "b": 2}]}}',
        '{"parts": [{"size": 1, "name": "\\":", "size": 1}]}',
        '{"parts": [{"size": 1, "name": ":\\\\", "size": 1}]}',
        '{"parts": [], "new": {"a": 1, "a": 1}}',
        '{"parts": [], "new": 1, "new": 1}',
    ],
)
def test_a_key_that_stands_twice_is_refused_wherever_it_hides(text: str) -> None:
    assert "stands twice in one object" in refusal(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "f: document: must be an object, got []"),
        ("{}", "f: parts: is missing"),
        ('{"parts": 3}', "f: parts: must be a list, got 3"),
        ('{"parts": [{"size": 1}, {}]}', "f: parts[1].size: is missing"),
        (
            '{"parts": [{"size": null}]}',
            "f: parts[0].size: must be a whole number from 0 to 9223372036854775807",
        ),
        ('{"parts": [{"size": 2.0}]}', "f: parts[0].size: must be a whole number from 0"),
        ('{"parts": [{"size": true}]}', "f: parts[0].size: must be a whole number from 0"),
        ('{"parts": [], "by_name": {"a.b": {"size": -1}}}', "f: by_name.a.b.size: must be a whole number from 0"),
        ('{"parts": [], "by_name": null}', "f: by_name: must be an object"),
        ('{"parts": [], "scale": "big"}', 'f: scale: must be a number, "NaN", "Infinity" or "-Infinity", got'),
        ('{"parts": [], "scale": 1e999}', "f: scale: must be a number"),
        ('{"parts": [], "scale": 9223372036854775808}', "f: scale: must be a number"),
        ('{"parts": [], "pair": ["x"]}', "f: pair: must be a name and a size"),
        ('{"parts": [], "pair": ["x", -1]}', "f: pair[1]: must be a whole number"),
        ('{"parts": [], "new": "\udcff"}', "f: is not JSON: is not UTF-8 text, at byte 22"),
        ('{"parts": [], "new": NaN}', "f: is not JSON: NaN is no JSON number"),
        ('{"parts": [], "new": ' + "[" * 10**5 + "]" * 10**5 + "}", "f: is nested too deep"),
        ('{"parts": [], "rest": {"a": ' + "[" * 10**5 + "]" * 10**5 + "}}", "f: is nested too deep"),
        ("{", "f: is not JSON: line 1"),
    ],
)
def test_what_is_of_another_form_is_named(text: str, said: str) -> None:
    assert refusal(text).startswith(said)


def test_what_msgspec_does_not_read_but_json_allows_is_read() -> None:
    assert read('{"parts": [{"size": 1, "name": "\\ud800"}]}').parts[0].name == "\ud800"
    assert read('{"new": {"parts": 1}, "parts": [{"size" : 1, "newer": []}]}').parts == [Part(1)]


_letters = st.text(st.sampled_from('":\\,{}[] ab\n'), max_size=4)


def _object(pairs: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in pairs) + "}"


_values = st.recursive(
    (st.none() | st.booleans() | st.integers() | _letters).map(json.dumps),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(_letters, inner), max_size=3).map(_object)
    ),
    max_leaves=12,
)
"""Texts of JSON, with keys that may stand twice."""


@given(_values)
def test_keys_are_counted_as_they_stand(text: str) -> None:
    """Repeated ones too: a decoder that forgets one is found out."""
    counted = 0

    def note(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal counted
        counted += len(pairs)
        return dict(pairs)

    json.loads(text, object_pairs_hook=note)
    assert key_count(text.encode()) == counted


@given(_values)
def test_any_document_is_read_as_the_plain_reader_reads_it(text: str) -> None:
    document = f'{{"parts":[],"rest":{{"a":{text}}}}}'
    try:
        plain = parse_json(document.encode())
    except DuplicateKeyError:
        assert "stands twice" in refusal(document)
        return
    assert msgspec.to_builtins(read(document))["rest"] == plain["rest"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('{"size": 2.0}', "f: parts[1].size: must be a whole number from 0"),
        ('{"size": true}', "f: parts[1].size: must be a whole number from 0"),
        ('{"size": 1, "name": null}', "f: parts[1].name: must be a text"),
        ("3", "f: parts[1]: must be an object"),
    ],
)
def test_one_that_is_wrong_among_many_is_found_without_a_look_at_each_field(
    monkeypatch: pytest.MonkeyPatch, wrong: str, said: str
) -> None:
    looked_at: list[object] = []
    plain = misfit._must_be

    def counted(value: Any, form: Any) -> str | None:
        looked_at.append(value)
        return plain(value, form)

    monkeypatch.setattr(misfit, "_must_be", counted)
    sound = '{"size": 1, "name": "inf, \'inf"},'
    assert refusal('{"parts": [{"size": 1},' + wrong + "," + sound * 50 + '{"size": 2}]}').startswith(said)
    assert len(looked_at) < 9


class Scales(Struct):
    rows: list[Document]


@pytest.mark.parametrize("scale", ["1e999", "-1e999"])
def test_a_number_that_is_too_large_is_refused_within_lists_too(scale: str) -> None:
    with pytest.raises(InputError, match=r"f: rows\[0\].scale: must be a number"):
        read_json(f'{{"rows": [{{"parts": [], "scale": {scale}}}]}}'.encode(), Scales, "f")
