"""How much a JSON header may hold is told before any of it is made: what isn't in its longest field may hold less."""

from __future__ import annotations

import json

import pytest

from tracetui.errors import InputError
from tracetui.formats import limits
from tracetui.formats.limits import too_large
from tracetui.recording.npz.decode import decode_timing


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_OTHER_VALUES", 20)
    monkeypatch.setattr(limits, "MAX_OTHER_CONTAINERS", 12)
    monkeypatch.setattr(limits, "MAX_VALUES", 300)


def header(records: int = 0, **others: object) -> bytes:
    return json.dumps({"records": [{"shape": [1, 2]} for _ in range(records)], **others}).encode()


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (header(60), ""),
        (header(60, versions=dict.fromkeys("abcdefgh", "1")), ""),
        (header(2, versions={str(n): "1" for n in range(30)}), "holds more than 20 values beside its records"),
        (header(60, unknown=list(range(30))), "holds more than 20 values beside its records"),
        (header(60, tokens=[[]] * 15), "holds more than 12 lists and objects beside its records, got 17"),
        (header(200), "holds more than 300 values"),
        (
            b'{"records": [' + b"[]," * 20 + b"[]]} and more",
            "holds more than 12 lists and objects beside its records, got 23",
        ),
        (b'{"other": {"records": [' + b"1," * 30 + b"1]}}", "holds more than 20 values beside its records"),
        (b"[" + b"1," * 30 + b"1]", "holds more than 20 values beside its records"),
    ],
)
def test_what_is_beside_the_longest_field_is_counted_apart(document: bytes, problem: str) -> None:
    assert too_large(document, "records") == problem


def test_without_a_longest_field_any_may_hold_most() -> None:
    assert too_large(header(2, versions={str(n): "1" for n in range(30)})) == ""


def test_a_timing_of_other_fields_than_seconds_is_refused_for_its_size() -> None:
    assert len(decode_timing(json.dumps({"seconds": [0.5] * 100}).encode(), "t").seconds) == 100
    with pytest.raises(InputError, match=r"^t: holds more than 20 values beside its seconds$"):
        decode_timing(json.dumps({"seconds": [], "other": [1] * 100}).encode(), "t")
