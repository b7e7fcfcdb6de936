"""What can stand at a place of an expression that is being typed: sites, names, actions and places."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from tracetui.expr.actions import ACTIONS, PLACES
from tracetui.expr.edit import separator
from tracetui.expr.known_sites import ROLES, KnownSites
from tracetui.expr.names import NAMES

MOST = 60
"""Completions of one place."""
_SITE = re.compile(r"[\w.*?:#-]*$")
_WORD = re.compile(r"[A-Za-z_]*$")
_IF = re.compile(r"(?:^|\s)if(?=\s)")
_NAME_FOLLOWS = re.compile(r"(?:^|[-+*/%<>=(,]|\b(?:if|and|or|not))\s*$")
"""Before a name there is a beginning, an operator, or a word that joins."""
_AT = re.compile(r"\sat\s+[\w.*?:#-]*$")


@dataclass(frozen=True, slots=True)
class Completion:
    """One way to go on."""

    text: str
    """What is offered, as it is listed."""
    line: str
    """The line with it."""
    meaning: str = ""


Completing = Callable[[str, KnownSites], list[Completion]]
"""Completions of a line up to the place where somebody types."""


def complete_stop(line: str, sites: KnownSites) -> list[Completion]:
    """`SITE if CONDITION`."""
    if _IF.search(line):
        return _names(line)
    if "if".startswith(line.rpartition(" ")[2]) and line.rpartition(" ")[1] and line.split():
        return [Completion("if", f"{line.rpartition(' ')[0]} if ", "then a condition: if norm > 100")]
    return _sites(line, sites)


def complete_edit(line: str, sites: KnownSites) -> list[Completion]:
    """`SITE [head N | …]: ACTION`."""
    colon = separator(line)
    if colon is not None and (line[colon + 1 :].startswith(" ") or (":" in line[:colon])):
        return _forms(line, line[colon + 1 :].lstrip(), ((form.name, form.form, form.meaning) for form in ACTIONS))
    if line.strip() and " " in line.lstrip():
        places = ((form.name, form.form, form.meaning) for form in PLACES if form.name != "slice")
        return _forms(line, line.rpartition(" ")[2], places)
    # An action alone is of the site that is offered.
    actions = _forms(line, line, ((form.name, form.form, form.meaning) for form in ACTIONS)) if line.strip() else []
    return [*_sites(line, sites), *actions]


def complete_watch(line: str, sites: KnownSites) -> list[Completion]:
    """`SITE.NAME`, or `EXPRESSION at SITE`."""
    if _AT.search(line):
        return _sites(line, sites)
    if " " in line.strip() or line.endswith(" "):
        return _names(line)
    offered = _sites(line, sites)
    before, dot, word = line.rpartition(".")
    if dot and not sites.problem(before.strip()):
        offered += [
            Completion(name.form, f"{before}.{name.name}", f"{name.meaning} [{name.unit}]")
            for name in NAMES
            if name.arguments is None and name.name not in ("value", "prev") and name.name.startswith(word)
        ]
    return offered[:MOST]


def complete_site(line: str, sites: KnownSites) -> list[Completion]:
    """A site alone."""
    return _sites(line, sites)


def _sites(line: str, sites: KnownSites) -> list[Completion]:
    match = _SITE.search(line)
    typed = match[0] if match else ""
    start = line[: len(line) - len(typed)]
    module, colon, role = typed.partition(":")
    if colon:
        offered: Iterable[str] = (f"{module}:{name}" for name in ROLES if name.startswith(role))
    else:
        offered = _modules(module, sites)
    return [Completion(text, f"{start}{text}") for text in islice(offered, MOST) if text != typed]


def _modules(typed: str, sites: KnownSites) -> Iterator[str]:
    """The paths that go on from one that is begun, a name further."""
    before, dot, word = typed.rpartition(".")
    names = sites.names_after(before.split(".") if dot else [])
    fitting = [name for name in names if name.startswith(word)]
    if not word and any(name.isdecimal() for name in names):
        fitting.insert(0, "*")
    yield from (f"{before}{dot}{name}" for name in fitting)


def _names(line: str) -> list[Completion]:
    """The names of conditions."""
    match = _WORD.search(line)
    word = match[0] if match else ""
    start = line[: len(line) - len(word)]
    if not _NAME_FOLLOWS.search(start):
        return []
    return [
        Completion(name.form, f"{start}{_begun(name.name, name.arguments)}", f"{name.meaning} [{name.unit}]")
        for name in NAMES
        if name.name.startswith(word) and name.name != word
    ]


def _begun(name: str, arguments: tuple[str, ...] | None) -> str:
    """A name as far as it is the same for everybody: `entropy(`, `value[`."""
    if name in ("value", "prev"):
        return f"{name}{'[' if name == 'value' else '.'}"
    return name if arguments is None else f"{name}("


def _forms(line: str, typed: str, forms: Iterable[tuple[str, str, str]]) -> list[Completion]:
    """Actions or places that begin with what is typed; none once there is more than a word of it."""
    if " " in typed:
        return []
    start = line[: len(line) - len(typed)]
    gap = "" if start.endswith(" ") or not start else " "
    return [
        Completion(form, f"{start}{gap}{name}{' ' if form != name else ''}", meaning)
        for name, form, meaning in forms
        if name.startswith(typed) and form != typed
    ]
