"""What transformers' rules make of a file's names, asked once for all names that differ in their numbers alone.

A file of experts has hundreds of thousands of names and a few dozen forms of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from transformers.core_model_loading import (
    PrefixChange,
    WeightConverter,
    WeightRenaming,
    WeightTransform,
    apply_converters,
    apply_renamings,
)

from tracetui.models.checkpoints.safetensors.order import NUMBER

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANY_NUMBER = re.compile(r"\\d")
_BARE_DIGIT = re.compile(r"(?<![A-Za-z_0-9])[0-9]")
"""In a rule: a digit that isn't the end of a word, as in `w1`, and may so be a number or what stands for one."""
_GROUP_BY_NAME = re.compile(r"\(\?P=")
_CAPTURED = r"\1"
_GROUP = re.compile(r"\(\?P<\w+>")
_BACK = re.compile(r"\\[1-9]|\(\?P=|\(\?\(")
"""What leads back to a group by its number or name, which another one has among other rules."""
_NOTHING = r"(?!)"
_MOST_FORMS = 4096
"""More have only files whose names have nothing in common."""
_STATELESS = (WeightRenaming, WeightConverter, PrefixChange)
"""Rules that do the same with a name whatever names they saw before."""


class Renamed(NamedTuple):
    """A name of a file under transformers' rules."""

    plain: str
    """By the rules that rename."""
    converted: str
    """Of that by the first rule that converts, whose parameter this then is."""
    pattern: str | None
    """Which of the converter's source patterns it was; None where none converts."""


class Renaming:
    """The rules of a model, applied to one name after another."""

    def __init__(self, renamings: Sequence[WeightRenaming], converters: Sequence[WeightConverter]) -> None:
        self._renamings = list(renamings)
        self._converters = list(converters)
        rules = (*renamings, *converters)
        self.is_of_each_name = all(type(rule) in _STATELESS for rule in rules)
        """Whether what becomes of a name depends on none before it."""
        self._is_of_each_form = self.is_of_each_name and all(map(_treats_numbers_alike, rules))
        self._any_rule = any_rule(rules)
        self._forms: dict[tuple[object, ...], Renamed | None] = {}
        """What becomes of each form of names, with `{0}` for its first number; None if that isn't known."""

    def __call__(self, name: str) -> Renamed:
        if not self._is_of_each_form:
            return self._asked(name)
        pieces = NUMBER.split(name)
        texts, numbers = pieces[::2], pieces[1::2]
        form = (*texts, *map(len, numbers))
        if form not in self._forms:
            if len(self._forms) == _MOST_FORMS:
                self._is_of_each_form = False
                return self._asked(name)
            self._forms[form] = self._form(name, texts, numbers)
        known = self._forms[form]
        # A rule may look for one number in two places.
        if known is None or len(set(numbers)) < len(numbers):
            return self._asked(name)
        plain = known.plain.format(*numbers)
        converted = plain if known.converted is known.plain else known.converted.format(*numbers)
        return Renamed(plain, converted, known.pattern)

    def _asked(self, name: str) -> Renamed:
        if self._any_rule is not None and not self._any_rule.search(name):
            return Renamed(name, name, None)
        plain = apply_renamings(name, self._renamings)
        return Renamed(plain, *apply_converters(plain, self._converters))

    def _form(self, name: str, texts: Sequence[str], numbers: Sequence[str]) -> Renamed | None:
        """What becomes of names of one form, found out with numbers that are told apart in what becomes of them."""
        if len(numbers) > 9:
            return None
        stand_ins = [str(9 - place) * len(number) for place, number in enumerate(numbers)]
        renamed = self._asked("".join(text + number for text, number in zip(texts, [*stand_ins, ""], strict=True)))
        fields = {number: f"{{{place}}}" for place, number in enumerate(stand_ins)}
        plain, converted = _with_fields(renamed.plain, fields), _with_fields(renamed.converted, fields)
        if plain is None or converted is None:
            return None
        known = Renamed(plain, plain if converted == plain else converted, renamed.pattern)
        as_known = Renamed(plain.format(*numbers), converted.format(*numbers), known.pattern)
        return known if self._asked(name) == as_known or len(set(numbers)) < len(numbers) else None


def any_rule(rules: Iterable[WeightTransform]) -> re.Pattern[str] | None:
    """What finds something in all names that one of these rules may change; None where that can't be told.

    Asked for each rule apart, a long file takes many times as long.
    """
    rules = list(rules)
    patterns = {_GROUP.sub("(?:", rule.compiled_sources.pattern) for rule in rules}
    if any(rule.scope_prefix is not None for rule in rules) or any(map(_BACK.search, patterns)):
        return None
    return re.compile("|".join(sorted(patterns)) or _NOTHING)


def _treats_numbers_alike(rule: WeightTransform) -> bool:
    """Whether a rule does the same with names that have other numbers of as many digits in the same places."""
    patterns = [_ANY_NUMBER.sub("", pattern) for pattern in rule.source_patterns]
    patterns += [target.replace(_CAPTURED, "") for target in rule.target_patterns]
    return not any(_BARE_DIGIT.search(pattern) or _GROUP_BY_NAME.search(pattern) for pattern in patterns)


def _with_fields(name: str, fields: Mapping[str, str]) -> str | None:
    """A format string of a name; None where a number in it is none of those that it was given."""
    pieces = NUMBER.split(name.replace("{", "{{").replace("}", "}}"))
    if not all(number in fields for number in pieces[1::2]):
        return None
    return "".join(fields[piece] if place % 2 else piece for place, piece in enumerate(pieces))
