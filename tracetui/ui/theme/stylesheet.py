"""A stylesheet that parses each of its sources once for each theme, however many widgets come after it."""

from __future__ import annotations

from collections.abc import Mapping

from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from textual.css.types import CSSLocation

RulesOfSources = dict[tuple[object, ...], list[RuleSet]]


class KeptStylesheet(Stylesheet):
    """Keeps all rules that were parsed with the variables in use.

    Textual keeps those of the last 64 sources, which is none where more are taken in turn, and none for a new screen.
    """

    def __init__(self, *, variables: dict[str, str] | None = None) -> None:
        super().__init__(variables=variables)
        self._kept = rules_parsed_with(self._variables)

    def set_variables(self, variables: dict[str, str]) -> None:
        super().set_variables(variables)
        self._kept = rules_parsed_with(variables)

    def reparse(self) -> None:
        """If a source is wrong the rules stay as they were."""
        self.parse()

    def _parse_rules(
        self, css: str, read_from: CSSLocation, is_default_rules: bool = False, tie_breaker: int = 0, scope: str = ""
    ) -> list[RuleSet]:
        source = (css, read_from, is_default_rules, tie_breaker, scope)
        if source not in self._kept:
            self._kept[source] = [StyleRules(**vars(rules)) for rules in super()._parse_rules(*source)]
        return self._kept[source]


class StyleRules(RuleSet):
    """One set of rules, which is itself and no other: each widget that is styled looks up hundreds."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


def rules_parsed_with(variables: Mapping[str, str]) -> RulesOfSources:
    """Where the rules are kept that are parsed with some variables, by source."""
    return {}
