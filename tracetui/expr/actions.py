"""What an edit can be and where: the tables that parsing, help and documentation read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from tracetui.text import visible


@dataclass(frozen=True, slots=True)
class Form:
    """One part of an edit expression."""

    name: str
    form: str
    """As it is typed."""
    meaning: str


ACTIONS = (
    Form("zero", "zero", "every element becomes 0"),
    Form("scale", "scale X", "every element times X"),
    Form(
        "noise", "noise STD [seed N]", "adds normal noise of standard deviation STD; the same for the same seed, or 0"
    ),
    Form("set", "set X", "every element becomes X; `nan`, `inf` and `-inf` are numbers too"),
    Form("clamp", "clamp LO HI", "no element is less than LO or more than HI; `-inf` or `inf` leaves an end open"),
    Form(
        "replace",
        "replace @F.npz [SITE]",
        "the elements of another trace: of its record of the same site and pass, or of the SITE named; "
        'a path with spaces stands in quotes: `@"my run.npz"`',
    ),
    Form("skip", "skip", "a module gives back what came in, if that has the same shape: a layer does nothing"),
    Form(
        "experts",
        "experts A,B,…",
        "tokens of a block with experts go to these, with the weights that the router's scores give them",
    ),
)
PLACES = (
    Form(
        "head",
        "head N",
        "head N of an attention module's output before o_proj, or of `:q`, `:k`, `:v`, `:scores`, `:masked`, `:probs`",
    ),
    Form("expert", "expert N", "expert N's output in a block with experts, before its routing weight"),
    Form("token", "token N", "of `experts` alone: token N's choice, a row of `:experts`; -1 is the last"),
    Form("pass", "pass N", "in pass N only; without it in every pass, of which the prompt's is 0"),
    Form("from", "from N", "from the run's record N on, as a run keeps an edit that was made while it waited"),
    Form("until", "until N", "up to the run's record N, as one that was taken away then"),
    Form("slice", "[…]", "a part of the tensor: `[0,-1]`, `[:,3:5]`; without it all of it"),
)
ROLES = ("q", "k", "v", "scores", "masked", "probs", "heads", "routing_weights")
"""What a module computes inside that can be edited; of a module its output can."""
HEAD_ROLES = ("q", "k", "v", "scores", "masked", "probs", "heads")
"""Those with an axis of heads, the second."""


def help_lines() -> Iterator[str]:
    """The tables for a terminal."""
    for form in (*PLACES, *ACTIONS):
        yield f"  {form.form:<20} {form.meaning}"


def markdown_lines() -> Iterator[str]:
    """The tables for the documentation, as one."""
    yield "| part | what it does |"
    yield "|---|---|"
    for form in (*PLACES, *ACTIONS):
        yield f"| `{form.form}` | {form.meaning} |"


def forms_of(forms: Sequence[Form]) -> str:
    """All of them as they are typed."""
    return ", ".join(form.form for form in forms)


def form_of(name: str) -> str:
    """How an action is typed."""
    return next(form.form for form in ACTIONS if form.name == name)


def unknown_word(word: str, forms: Sequence[Form], what: str) -> str:
    """In words that there is no such action or place, with the nearest one."""
    near = get_close_matches(word, [form.name for form in forms], 1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{visible(word, 40)} is no {what}; {meant}there are {forms_of(forms)}"
