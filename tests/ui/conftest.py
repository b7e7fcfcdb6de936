"""What holds for every test of the screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.ui.settling import settled_at_once
from tracetui import paths
from tracetui.ui.theme import stylesheet, themes
from tracetui.ui.theme.file import ThemeFile, read_theme
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


@pytest.fixture(autouse=True, scope="session")
def _themes_read_once() -> Iterator[None]:
    """Those that ship, which every application reads before it begins."""
    shipped = cache(read_theme)

    def read(path: Path) -> tuple[ThemeFile, list[str]]:
        return shipped(path) if path.parent == paths.themes() else read_theme(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(themes, "read_theme", read)
        yield


@pytest.fixture(autouse=True, scope="session")
def _settled_at_once() -> Iterator[None]:
    """Half of what a key took was textual's waiting, and the painting of frames that no test looks at."""
    with settled_at_once():
        yield
