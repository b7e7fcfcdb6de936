"""Error texts name place, field, problem and what was found, at any size of it."""

from __future__ import annotations

import pytest

from tracetui.errors import bad_field


def nested(depth: int) -> list[object]:
    found: list[object] = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (None, ""),
        (3, ", got 3"),
        ("a\x1b", ", got 'a\\x1b'"),
        ([1, 2], ", got [1, 2]"),
        ({"a": None}, ", got {'a': None}"),
    ],
)
def test_what_was_found_is_shown(found: object, shown: str) -> None:
    assert str(bad_field("config.json", "hidden_size", "must be a size", found)) == (
        f"config.json: hidden_size: must be a size{shown}"
    )


def test_a_number_that_python_will_not_print_is_described() -> None:
    assert str(bad_field("f", "g", "is wrong", 16**5000)) == "f: g: is wrong, got a number of thousands of digits"


@pytest.mark.parametrize("found", ["x" * 10**6, list(range(10**6)), nested(5000), b"x" * 10**6], ids=type)
def test_what_was_found_is_shown_in_short(found: object) -> None:
    assert len(str(bad_field("f", "g", "is wrong", found))) < 110
