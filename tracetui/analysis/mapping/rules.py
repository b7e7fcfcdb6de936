"""A user's own names: which site of A is which of B, and how B's values lie (docs/diff.md has an example)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tracetui.analysis.mapping.layouts import SAME, Layout, halves_from_pairs, pairs_from_halves, transposed
from tracetui.errors import InputError, bad_field
from tracetui.formats.toml import TomlError, parse_toml
from tracetui.paths import read_bounded
from tracetui.text import visible

MAX_MAP_BYTES = 2**20
MAX_RULES = 2000
_BLANKS = {"{n}": r"(?P<n>\d{1,6})", "{e}": r"(?P<e>\d{1,6})"}
_MAX_STEPS = 16
_NUMBER = re.compile(r"[0-9]{1,5}")
_KEYS = ("site", "strip_a", "strip_b", "drop")
_SITE_KEYS = ("a", "b", "layout")
_WHAT_IT_IS = "a map holds tables [[site]], each with a and b, as in docs/diff.md"


@dataclass(frozen=True, slots=True)
class Rule:
    """B's names of one form, what they are in A, and what is done to B's values first."""

    b: re.Pattern[str]
    a: tuple[str, ...]
    """More than one: B's last axis holds them one after the other."""
    layout: Layout = SAME
    name: str = ""
    """B's form as it was written, with `{n}` and `{e}`."""


@dataclass(frozen=True, slots=True)
class Translation:
    """What a rule makes of a name of B's."""

    names: tuple[str, ...]
    layout: Layout
    by_rule: bool = False
    """Whether a table says so, not a prefix alone."""


@dataclass(frozen=True, slots=True)
class Rules:
    """A map file's content."""

    rules: tuple[Rule, ...] = ()
    strip_a: tuple[str, ...] = ()
    strip_b: tuple[str, ...] = ()
    drop: tuple[re.Pattern[str], ...] = ()
    """Names of B's that are compared with nothing, though A may have the same."""

    def of_a(self, name: str) -> str:
        return _stripped(name, self.strip_a)

    def drops(self, name: str) -> bool:
        return any(pattern.fullmatch(name) for pattern in self.drop)

    def of_b(self, name: str) -> Translation | None:
        """The first rule that fits; None where none does. What only loses its prefix is no rule's own."""
        for rule in self.rules:
            if found := rule.b.fullmatch(name):
                return Translation(tuple(_filled(pattern, found) for pattern in rule.a), rule.layout, by_rule=True)
        plain = _stripped(name, self.strip_b)
        return Translation((plain,), SAME) if plain != name else None


def _stripped(name: str, prefixes: tuple[str, ...]) -> str:
    if not prefixes:
        return name
    prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), "")
    return name[len(prefix) :]


def _filled(pattern: str, found: re.Match[str]) -> str:
    for blank, number in found.groupdict().items():
        pattern = pattern.replace(f"{{{blank}}}", number)
    return pattern


def read_rules(path: Path) -> Rules:
    """The rules in a TOML file. Raises InputError reading `file: key: problem, got …`."""
    try:
        found = parse_toml(read_bounded(path, MAX_MAP_BYTES))
    except TomlError as error:
        raise InputError(f"{path}: {error}; {_WHAT_IT_IS}") from error
    if not found:
        raise InputError(f"{path}: has no names in it; {_WHAT_IT_IS}")
    _refuse_unknown(path, "", found, _KEYS)
    sites = found.get("site", [])
    if not isinstance(sites, list) or len(sites) > MAX_RULES:
        raise bad_field(path, "site", f"must be at most {MAX_RULES:,} tables [[site]]", type(sites).__name__)
    rules = tuple(_rule(path, f"site {place}", site) for place, site in enumerate(sites, start=1))
    drop = tuple(_pattern(_once_each(path, name)) for name in _texts(path, "drop", found))
    return Rules(rules, _texts(path, "strip_a", found), _texts(path, "strip_b", found), drop)


def _once_each(path: Path, name: str) -> str:
    if any(name.count(blank) > 1 for blank in _BLANKS):
        raise bad_field(path, "drop", "must have {n} and {e} once each", name)
    return name


def _rule(path: Path, where: str, site: object) -> Rule:
    if not isinstance(site, dict):
        raise bad_field(path, where, "must be a table with a and b", site)
    _refuse_unknown(path, f"{where}.", site, _SITE_KEYS)
    b = site.get("b")
    if not isinstance(b, str) or not b:
        raise bad_field(path, f"{where}.b", "must be a name of B's, such as blk.{n}.attn_q", b)
    a = (site["a"],) if isinstance(site.get("a"), str) else _texts(path, "a", site)
    if not a:
        raise bad_field(path, f"{where}.a", "must be a name of A's, or a list of those that B keeps in one", None)
    for blank in _BLANKS:
        if b.count(blank) > 1 or any(blank in name and blank not in b for name in a):
            raise bad_field(path, f"{where}.b", f"must have {blank} once if a has it", b)
    said = site.get("layout", "")
    if not isinstance(said, str):
        raise bad_field(path, f"{where}.layout", "must be a text", said)
    return Rule(_pattern(b), a, _layout(path, f"{where}.layout", said), b)


def _pattern(name: str) -> re.Pattern[str]:
    pieces = re.split(r"(\{[ne]\})", name)
    return re.compile("".join(_BLANKS.get(piece, re.escape(piece)) for piece in pieces))


def _texts(path: Path, key: str, found: dict[str, object]) -> tuple[str, ...]:
    said = found.get(key, [])
    if not isinstance(said, list) or not all(isinstance(text, str) and text for text in said):
        raise bad_field(path, key, "must be a list of texts", said)
    return tuple(str(text) for text in said)


def _refuse_unknown(path: Path, where: str, found: dict[str, object], known: tuple[str, ...]) -> None:
    for key in found:
        if key not in known:
            raise InputError(f"{path}: {where}{visible(key, 80)}: is not a key of a map; there are {', '.join(known)}")


def _layout(path: Path, where: str, said: str) -> Layout:
    """`transposed`, `axes 0 2 1 3`, `pairs K`, `halves K`, several of them separated by commas."""
    layout = SAME
    steps = [step for step in (step.strip() for step in said.split(",")) if step]
    if len(steps) > _MAX_STEPS:
        raise bad_field(path, where, f"must be at most {_MAX_STEPS} steps", len(steps))
    for step in steps:
        layout = layout.then(_step(path, where, step))
    return layout


def _step(path: Path, where: str, said: str) -> Layout:
    word, *numbers = said.split()
    places = [int(number) for number in numbers if _NUMBER.fullmatch(number)]
    if len(places) == len(numbers):
        if word == "transposed" and not places:
            return transposed()
        if word == "axes" and sorted(places) == list(range(len(places))):
            return Layout(said, lambda array: array.transpose(places) if array.ndim == len(places) else array)
        if word in ("pairs", "halves") and len(places) == 1 and places[0] and places[0] % 2 == 0:
            return halves_from_pairs(places[0]) if word == "pairs" else pairs_from_halves(places[0])
    problem = "must be `transposed`, `axes 0 2 1 3`, `pairs 128` or `halves 128` (a head's size)"
    raise bad_field(path, where, problem, said)
