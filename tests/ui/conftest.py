"""What holds for every test of the screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tracetui.ui.theme import stylesheet
from tracetui.ui.theme.stylesheet import RulesOfSources


@pytest.fixture(autouse=True, scope="session")
def _styles_parsed_once() -> Iterator[None]:
    """All applications of a test process parse their styles once for each theme; nobody changes what was parsed."""
    kept: dict[frozenset[tuple[str, str]], RulesOfSources] = {}

    def rules_parsed_with(variables: Mapping[str, str]) -> RulesOfSources:
        return kept.setdefault(frozenset(variables.items()), {})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stylesheet, "rules_parsed_with", rules_parsed_with)
        yield
