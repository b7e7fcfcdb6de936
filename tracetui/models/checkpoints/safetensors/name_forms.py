"""The names of a long file by their form: names that differ in their numbers alone are looked at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from tracetui.models.checkpoints.safetensors.order import NUMBER

_ZEROS = str.maketrans("123456789", "000000000")
_MOST_FORMS = 4096
"""More have only files whose names have nothing in common."""


_MOST_NUMBERS = 9
"""In one name, which stand for each other."""


@dataclass(eq=False, slots=True)
class NameForm:
    """Names with the same text between parts that are numbers, and as many digits in each of these."""

    sample: str
    """The first name of the form."""
    numbers: tuple[slice, ...]
    """Where its numbers stand."""
    key: str = field(init=False)
    """With 0 for each number: a name with numbers of other lengths has the same."""

    def __post_init__(self) -> None:
        self.key = form_key(self.sample)

    def numbers_of(self, name: str) -> list[str]:
        return [name[place] for place in self.numbers]

    def distinct_numbers(self, name: str) -> list[str]:
        """A name's numbers; none if two are the same: a rule may look for one number in two places."""
        numbers = [name[place] for place in self.numbers]
        if len(numbers) == 2:
            return numbers if numbers[0] != numbers[1] else []
        return numbers if len(numbers) < 2 or len(set(numbers)) == len(numbers) else []

    def has_leading_zero(self, name: str) -> bool:
        """Whether one of its numbers is like 07."""
        return any(name[place.start] == "0" and place.stop > place.start + 1 for place in self.numbers)

    def stood_in(self) -> tuple[str, Mapping[str, str]] | None:
        """A name of the form whose numbers are told apart in what becomes of it, and the fields of a format string that
        stand for them; None for too many numbers, or none."""
        if not 0 < len(self.numbers) <= _MOST_NUMBERS:
            return None
        numbers = [str(_MOST_NUMBERS - place) * len(each) for place, each in enumerate(self.numbers_of(self.sample))]
        texts = NUMBER.split(self.sample)[::2]
        name = "".join(text + number for text, number in zip(texts, [*numbers, ""], strict=True))
        return name, {number: f"{{{place}}}" for place, number in enumerate(numbers)}


def with_fields(name: str, fields: Mapping[str, str]) -> str | None:
    """A format string of a name; None where a number in it is none of those that it was given."""
    pieces = NUMBER.split(name.replace("{", "{{").replace("}", "}}"))
    if not all(number in fields for number in pieces[1::2]):
        return None
    return "".join(fields[piece] if place % 2 else piece for place, piece in enumerate(pieces))


def form_key(name: str) -> str:
    """A name with 0 for each part that is a number."""
    return NUMBER.sub("0", name)


def forms_of(names: Sequence[str]) -> Sequence[NameForm | None]:
    """The form of each name; None of all where they have so many that it is no use to know them."""
    layouts: dict[str, _Layout] = {}
    forms: list[NameForm] = []
    count = 0
    for name, text in zip(names, _without_digits(names), strict=True):
        if (layout := layouts.get(text)) is None:
            layout = layouts[text] = _Layout(text)
        digits = layout.digits(name)
        if (form := layout.forms.get(digits)) is None:
            if (count := count + 1) > _MOST_FORMS:
                return [None] * len(names)
            form = layout.forms[digits] = NameForm(name, layout.numbers)
        forms.append(form)
    return forms


def by_form(names: Sequence[str], rename: Callable[[str], str | None]) -> dict[str, str | None]:
    """What becomes of each name, asked once for a form: `rename` does the same with all numbers but those like 07."""
    templates: dict[NameForm, str | None] = {}
    renamed = {}
    for name, form in zip(names, forms_of(names), strict=True):
        template: str | None = None
        numbers: Sequence[str] = ()
        if form is not None:
            if form not in templates:
                templates[form] = _template(form, rename)
            template, numbers = templates[form], form.distinct_numbers(name)
        if template is None or not numbers or form is None or form.has_leading_zero(name):
            renamed[name] = rename(name)
        else:
            renamed[name] = template.format(*numbers) or None
    return renamed


def _template(form: NameForm, rename: Callable[[str], str | None]) -> str | None:
    """Empty where the names have no other; None where that isn't known."""
    if (stood_in := form.stood_in()) is None:
        return None
    name, fields = stood_in
    return "" if (new := rename(name)) is None else with_fields(new, fields)


class _Layout:
    """Names with digits in the same places."""

    def __init__(self, text: str) -> None:
        """text: such a name with 0 for each digit."""
        self.numbers = tuple(slice(*number.span()) for number in NUMBER.finditer(text))
        apart = {place for number in self.numbers for place in range(number.start, number.stop)}
        within = [place for place, letter in enumerate(text) if letter == "0" and place not in apart]
        self.digits: Any = itemgetter(*within) if within else _nothing
        """Of a name: those that stand in words, as in `w1`."""
        self.forms: dict[object, NameForm] = {}


def _nothing(name: str) -> None:
    return None


def _without_digits(names: Sequence[str]) -> list[str]:
    """The names with 0 for each digit; all at once where none has a line's end."""
    texts = "\n".join(names).translate(_ZEROS).split("\n")
    return texts if len(texts) == len(names) else [name.translate(_ZEROS) for name in names]
