"""The lines that the debugger asks for: what each takes, how it is completed, and which records it is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from tracetui.debugger.edits import with_site
from tracetui.debugger.known_places import (
    KnownPlaces,
    edit_counted,
    site_counted,
    stop_counted,
    watch_counted,
)
from tracetui.debugger.state import ScreenState
from tracetui.expr.actions import ACTIONS, PLACES, Form
from tracetui.expr.completion import (
    Completing,
    Completion,
    complete_edit,
    complete_site,
    complete_stop,
    complete_watch,
)
from tracetui.expr.names import NAMES
from tracetui.recording.trace import Trace
from tracetui.ui.dialogs.ask import Question
from tracetui.ui.dialogs.forms import FormTable

Parsed = TypeVar("Parsed")
Parse = Callable[[ScreenState, str], Parsed]
_SITES = FormTable(
    "Sites",
    (
        ("layers.3.mlp", "a module: the end of its name, from a dot on, is enough; its output is meant"),
        ("*.mlp", "in stops, edits and runs `*` stands for anything, dots too; `?` for one character"),
        ("layers.3.self_attn:q", "what a module computes inside, by its role: :q :k :v :scores :masked :probs :heads"),
        ("layers.3.mlp:experts", "of a router: :router_logits :router_scores :experts :routing_weights"),
    ),
)
_NAMES = FormTable("Names", tuple((name.form, f"{name.meaning} [{name.unit}]") for name in NAMES))
_STOP_FORMS = FormTable(
    "A stop",
    (
        ("SITE", "stops at every record of the site"),
        ("SITE if CONDITION", "where the condition holds, too: *.mlp if norm > 3 * prev.norm"),
        ("if CONDITION", "at every record where it holds; nan and inf stand alone, too"),
        ("and or not", "join conditions; < <= > >= == != compare, + - * / // % ** compute"),
    ),
)
_WATCH_FORMS = FormTable(
    "A watch",
    (
        ("SITE.NAME", "layers.*.norm: a line over the layers; `*` stands for one part of a path"),
        ("SITE[…]", "an element or a part: layers.3.mlp:routing_weights[5]"),
        ("SITE[…].NAME", "a statistic of a part: layers.*[0,-1].absmax"),
        ("EXPRESSION at SITE", "norm / prev.norm at layers.*"),
    ),
)
_EDIT_FORMS = FormTable(
    "An edit",
    (
        ("SITE [PLACE]: ACTION", "layers.3.self_attn head 5: zero"),
        ("[PLACE:] ACTION", "the same of the site that is offered: zero, or head 5: zero"),
    ),
)


class LineQuestions:
    """Makes the dialogs' questions for the state as it is when they are asked."""

    def __init__(self, places: KnownPlaces, state: Callable[[], ScreenState]) -> None:
        self.places = places
        self._state = state

    def stop(self, typed: str) -> Question:
        hint = "SITE if CONDITION, such as *.mlp if norm > 3 * prev.norm"
        forms = (_STOP_FORMS, _SITES, _NAMES)
        return self._question("Stop where", hint, self.places.stop, typed, complete_stop, stop_counted, forms)

    def watch(self, typed: str) -> Question:
        hint = "layers.*.norm, layers.3.mlp:routing_weights[5], or EXPRESSION at SITE"
        title = "Watch (typed again: no more)"
        forms = (_WATCH_FORMS, _SITES, _NAMES)
        return self._question(title, hint, self.places.watch, typed, complete_watch, watch_counted, forms)

    def edit(self, title: str, typed: str, titled: Callable[[str], str]) -> Question:
        hint = (
            "SITE [head N | expert N | […]]: ACTION, such as layers.3.self_attn head 5: zero; of the site offered, zero"
        )
        forms = (_EDIT_FORMS, _form_table("Places", PLACES), _form_table("Actions", ACTIONS), _SITES)
        question = self._question(title, hint, self.places.edit, typed, complete_edit, edit_counted, forms)
        return replace(question, titled=titled, meant=partial(with_site, typed))

    def until(self) -> Question:
        hint = "a site, such as layers.7.mlp or *.gate; runs on to its next record"
        return self._question("Run until", hint, self.places.site, "", complete_site, site_counted, (_SITES,))

    def _question(
        self,
        title: str,
        hint: str,
        parse: Parse[Parsed],
        typed: str,
        complete: Completing,
        count: Callable[[Trace, int, Parsed], str],
        forms: Sequence[FormTable],
    ) -> Question:
        state = self._state()
        completed = partial(_completed, complete, self.places, state)
        counting = partial(_counting, parse, count, state) if state.frontier else None
        return Question(title, hint, partial(parse, state), typed, complete=completed, count=counting, forms=forms)


def _completed(complete: Completing, places: KnownPlaces, state: ScreenState, line: str) -> Sequence[Completion]:
    return complete(line, places.sites(state))


def _counting(
    parse: Parse[Parsed], count: Callable[[Trace, int, Parsed], str], state: ScreenState, typed: str
) -> Callable[[], str]:
    return partial(count, state.trace, state.frontier, parse(state, typed))


def _form_table(title: str, forms: Sequence[Form]) -> FormTable:
    return FormTable(title, tuple((form.form, form.meaning) for form in forms))
