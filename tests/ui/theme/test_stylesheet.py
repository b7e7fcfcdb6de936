"""The stylesheet that keeps what was parsed: the rules are Textual's own, and each source is parsed once a theme."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from textual.css.model import RuleSet
from textual.css.parse import parse
from textual.css.stylesheet import Stylesheet, StylesheetParseError

from tests.ui.driving import driven
from tracetui.ui.theme import stylesheet
from tracetui.ui.theme.stylesheet import KeptStylesheet

COLOURS = {"ink": "#102030"}


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """The texts of sources with what breaks their ties, as they are parsed; nothing is shared with other tests."""
    texts: list[tuple[str, object]] = []

    def noted(scope: str, css: str, *arguments: Any, **options: Any) -> Iterable[RuleSet]:
        texts.append((css, options["tie_breaker"]))
        return parse(scope, css, *arguments, **options)

    monkeypatch.setattr("textual.css.stylesheet.parse", noted)
    monkeypatch.setattr(stylesheet, "rules_parsed_with", lambda variables: {})
    return texts


def with_sources(sheet: Stylesheet, count: int) -> Stylesheet:
    for place in range(count):
        sheet.add_source(f"#a{place}, .b {{ color: $ink; &:hover {{ width: {place}; }} }}", ("", f"{place}"), True)
    sheet.parse()
    return sheet


def test_the_rules_are_textual_s_own() -> None:
    kept, own = (with_sources(sheet, 3) for sheet in (KeptStylesheet(variables=COLOURS), Stylesheet(variables=COLOURS)))
    assert kept.css == own.css
    assert [vars(rules) for rules in kept.rules] == [vars(rules) for rules in own.rules]


def test_of_many_sources_only_the_new_one_is_parsed(parsed: list[tuple[str, object]]) -> None:
    sheet = with_sources(KeptStylesheet(variables=COLOURS), 200)
    assert len(parsed) == 200
    sheet.add_source("Widget { width: 1; }")
    sheet.reparse()
    assert parsed[200:] == [("Widget { width: 1; }", 0)]


def test_other_colours_are_parsed_anew_and_a_wrong_source_leaves_the_rules_as_they_were(
    parsed: list[tuple[str, object]],
) -> None:
    sheet = with_sources(KeptStylesheet(variables=COLOURS), 2)
    sheet.set_variables({"ink": "#ffffff"})
    sheet.reparse()
    assert len(parsed) == 4
    before = sheet.css
    assert "#FFFFFF" in before
    sheet.add_source("Widget { width: nonsense; }")
    with pytest.raises(StylesheetParseError):
        sheet.reparse()
    assert sheet.css == before


async def test_an_application_parses_each_source_once_though_its_theme_is_not_textual_s(
    parsed: list[tuple[str, object]],
) -> None:
    async with driven() as it:
        await it.press("question_mark", "question_mark", "escape")
        assert len(parsed) == len(set(parsed))
        before = len(parsed)
        it.app.theme = "tracetui-light"
        await it.settle()
        assert len(parsed) > before
        ground = it.app.theme_variables["background"]
        assert it.screen.query_one("#tensor").background_colors[1].hex.lower() == ground.lower()
