"""What transformers' rules make of a file's names, asked once for all names that differ in their numbers alone.

A file of experts has hundreds of thousands of names and a few dozen forms of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from transformers.core_model_loading import (
    PrefixChange,
    WeightConverter,
    WeightRenaming,
    WeightTransform,
    apply_converters,
    apply_renamings,
)

from tracetui.models.checkpoints.safetensors.name_forms import NameForm, forms_of, with_fields

_ANY_NUMBER = re.compile(r"\\d")
_BARE_DIGIT = re.compile(r"(?<![A-Za-z_0-9])[0-9]")
"""In a rule: a digit that isn't the end of a word, as in `w1`, and may so be a number or what stands for one."""
_GROUP_BY_NAME = re.compile(r"\(\?P=")
_CAPTURED = r"\1"
_GROUP = re.compile(r"\(\?P<\w+>")
_BACK = re.compile(r"\\[1-9]|\(\?P=|\(\?\(")
"""What leads back to a group by its number or name, which another one has among other rules."""
_NOTHING = r"(?!)"
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

    def plain_with(self, numbers: Sequence[str]) -> str:
        """Of what is known of a form that of the name with these numbers; what is known of one name without any."""
        return self.plain.format(*numbers) if numbers else self.plain

    def converted_with(self, numbers: Sequence[str]) -> str:
        """The same of `converted`."""
        return self.converted.format(*numbers) if numbers else self.converted

    def with_numbers(self, numbers: Sequence[str]) -> Renamed:
        """The same of both."""
        return Renamed(self.plain_with(numbers), self.converted_with(numbers), self.pattern)


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
        self._forms: dict[NameForm, Renamed | None] = {}
        """What becomes of each form of names, with `{0}` for its first number; None if that isn't known."""

    def forms_of(self, names: Sequence[str]) -> Sequence[NameForm | None]:
        """The form of each name, as far as it is of use."""
        return forms_of(names) if self._is_of_each_form else [None] * len(names)

    def __call__(self, name: str, form: NameForm | None = None) -> Renamed:
        known = None if form is None else self.known(form)
        if form is None or known is None or not (numbers := form.distinct_numbers(name)):
            return self._asked(name)
        return known.with_numbers(numbers)

    def known(self, form: NameForm) -> Renamed | None:
        """What becomes of all names of a form whose numbers differ; None where that isn't known."""
        if form not in self._forms:
            self._forms[form] = self._of_form(form)
        return self._forms[form]

    def _asked(self, name: str) -> Renamed:
        if self._any_rule is not None and not self._any_rule.search(name):
            return Renamed(name, name, None)
        plain = apply_renamings(name, self._renamings)
        return Renamed(plain, *apply_converters(plain, self._converters))

    def _of_form(self, form: NameForm) -> Renamed | None:
        """Found out with numbers that are told apart in what becomes of them."""
        if (stood_in := form.stood_in()) is None:
            return None
        renamed, fields = self._asked(stood_in[0]), stood_in[1]
        plain, converted = with_fields(renamed.plain, fields), with_fields(renamed.converted, fields)
        if plain is None or converted is None:
            return None
        known = Renamed(plain, plain if converted == plain else converted, renamed.pattern)
        numbers = form.numbers_of(form.sample)
        return (
            known
            if len(set(numbers)) < len(numbers) or self._asked(form.sample) == known.with_numbers(numbers)
            else None
        )


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
