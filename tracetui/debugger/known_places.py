"""What the debugger knows of a model's sites, heads and experts, by which it checks and completes what is typed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from tracetui.debugger.rerun import changes
from tracetui.debugger.state import ScreenState
from tracetui.errors import InputError
from tracetui.expr.edit import Edit
from tracetui.expr.edit_parse import parse_edit
from tracetui.expr.known_sites import NOTHING_KNOWN, KnownSites, sites_of
from tracetui.expr.model_facts import NO_FACTS, ModelFacts, check_edit, check_site, check_stop, check_watch
from tracetui.expr.stop import Stop, parse_stop
from tracetui.expr.watch import Watch, parse_watch
from tracetui.expr.watcher import look_up
from tracetui.recipe.model_facts import head_count
from tracetui.recording.outline import NO_MODULE
from tracetui.recording.sites import SitePattern, parse_pattern
from tracetui.recording.trace import Trace
from tracetui.text import visible


class KnownPlaces:
    """Reads the module tree once for each model."""

    def __init__(self, at_first: ModelFacts = NO_FACTS) -> None:
        """at_first: what is known before the model is built."""
        self._at_first = at_first
        self._outline = NO_MODULE
        self._sites = NOTHING_KNOWN

    def sites(self, state: ScreenState) -> KnownSites:
        """Those of the model's tree; none before there is one."""
        if state.outline is not self._outline:
            self._outline, self._sites = state.outline, sites_of(state.outline)
        return self._sites

    def facts(self, state: ScreenState) -> ModelFacts:
        """What is known by now."""
        sites, config = self.sites(state), state.trace.run.config
        return replace(
            self._at_first,
            sites=sites if sites.known else self._at_first.sites,
            heads=head_count(config) or self._at_first.heads,
            tokens=max(map(len, state.trace.tokens), default=0),
        )

    def stop(self, state: ScreenState, typed: str) -> Stop:
        """A stop that is typed. Raises BadExpressionError."""
        stop = parse_stop(typed)
        check_stop(typed, stop, self.facts(state))
        return stop

    def edit(self, state: ScreenState, typed: str) -> Edit:
        """An edit that is typed. Raises BadExpressionError."""
        edit = parse_edit(typed)
        check_edit(typed, edit, self.facts(state))
        return edit

    def watch(self, state: ScreenState, typed: str) -> Watch:
        """A watch that is typed. Raises BadExpressionError."""
        watch = parse_watch(typed)
        check_watch(typed, watch, self.facts(state))
        return watch

    def site(self, state: ScreenState, typed: str) -> SitePattern:
        """A pattern of sites to run to. Raises InputError."""
        pattern = parse_pattern(typed, "until")
        check_site(typed, pattern.text, self.facts(state))
        return pattern

    def unknown(self, state: ScreenState) -> list[str]:
        """Why stops and edits that stand already can do nothing in this model, one text each."""
        facts = self.facts(state)
        checks = [(stop.text, partial(check_stop, stop.text, stop, facts)) for stop in state.stops.stops if stop.on]
        checks += [(edit.text, partial(check_edit, edit.text, edit, facts)) for edit in state.edits if edit.on]
        return [problem for text, check in checks if (problem := _problem(text, check))]


def _problem(text: str, check: partial[None]) -> str:
    try:
        check()
    except InputError as error:
        return f"{visible(text, 200)}: {getattr(error, 'problem', error)}"
    return ""


def stop_counted(trace: Trace, count: int, stop: Stop) -> str:
    """How many of the first `count` records a stop is about, and at how many it holds."""
    hits, tally = look_up(trace, stop, (trace.records[index] for index in range(count)))
    if not tally.matched:
        return _none(count)
    held = f"; would have stopped {_times(len(hits))} in this run" if stop.condition is not None else ""
    return f"{_fits(tally.matched, count)}{held}"


def edit_counted(trace: Trace, count: int, edit: Edit) -> str:
    """How many of the first `count` records an edit would have changed."""
    changed = sum(changes(edit, trace.records[index]) for index in range(count))
    return f"would have changed {changed} of the {_records(count)} of this run" if changed else _none(count)


def watch_counted(trace: Trace, count: int, watch: Watch) -> str:
    """How many of the first `count` records a watch is about."""
    fitting = sum(watch.is_for(trace.records[index]) for index in range(count))
    return _fits(fitting, count) if fitting else _none(count)


def site_counted(trace: Trace, count: int, pattern: SitePattern) -> str:
    """How many of the first `count` records are at a site."""
    fitting = sum(pattern.matches(trace.records[index].site) for index in range(count))
    return _fits(fitting, count) if fitting else _none(count)


def _fits(fitting: int, count: int) -> str:
    return f"fits {fitting} of the {_records(count)} so far"


def _none(count: int) -> str:
    return f"fits none of the {_records(count)} so far"


def _records(count: int) -> str:
    return f"{count} record{'' if count == 1 else 's'}"


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
