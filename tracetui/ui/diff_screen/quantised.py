"""From a comparison of a quantised with an original model to what quantising did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from textual.screen import Screen

from tracetui.analysis.diff.weights import WeightDifferences
from tracetui.ui.diff_screen.sites import DiffHost, SiteReader
from tracetui.ui.diff_screen.work import Comparing
from tracetui.ui.quantised_screen.measuring import Quantised
from tracetui.ui.quantised_screen.screen import QuantisedScreen
from tracetui.views.diff.weights import weight_lines


class QuantisedHost(DiffHost, Protocol):
    """What is asked of the diff's screen."""

    def open(self, screen: Screen[None]) -> None:
        """Show a screen above this one."""


class QuantisedSides:
    """Opens the view by itself where one side's weights alone are dequantised."""

    def __init__(self, host: QuantisedHost, comparing: Comparing, sites: SiteReader, keymap: Mapping[str, str]) -> None:
        self._host = host
        self._comparing = comparing
        self._sites = sites
        self._keymap = keymap

    @property
    def handlers(self) -> Mapping[str, Callable[[], None]]:
        return {"diff_quantised": self.open}

    @property
    def _weights(self) -> WeightDifferences | None:
        return self._sites.surveyed.survey.report.comparison.weights if self._sites.surveyed else None

    def open_if_alone(self) -> None:
        """Where a quantised model stands beside its original there is no fault to look for."""
        weights = self._weights
        if weights is not None and weights.original and self._comparing.measure is not None:
            self.open()

    def open(self) -> None:
        """The view, which waits for the user before it runs anything."""
        weights, measure = self._weights, self._comparing.measure
        if weights is None:
            return
        if not weights.pairs:
            self._host.tell("no weight that both traces remember differs")
        elif measure is None:
            self._host.tell("this needs both models: `tracetui diff A B --tui` measures them, where torch is installed")
        else:
            # B is the reference where nothing tells which is the original.
            original = weights.original or "B"
            a, b = self._comparing.names
            names = (a, b) if original == "A" else (b, a)
            before = tuple(weight_lines(weights))
            self._host.open(QuantisedScreen(Quantised(names, partial(measure, original), before), self._keymap))
