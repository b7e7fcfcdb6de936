"""What the search for the residual stream asks of tensors' values, and what it has learnt of layers by the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

Answer = TypeVar("Answer", bound="bool | None")


@dataclass(frozen=True, eq=False, slots=True)
class ValueQuestion:
    """A question, the tensors that it was asked about, and the answer."""

    question: Callable[..., bool | None]
    about: Sequence[Any]
    answer: bool | None


class Ask(Protocol):
    """Has a function look at the values of tensors."""

    def __call__(self, question: Callable[..., Answer], *about: Any) -> Answer: ...


class ValueQuestions:
    """Asks, and keeps what was asked as long as somebody listens. Used by the model's thread alone."""

    def __init__(self) -> None:
        self.heard: list[ValueQuestion] | None = None
        self.at_hand: Callable[[Sequence[Any]], Sequence[Any]] | None = None
        """Has tensors of a device where they can be looked at, if somebody knows them there."""

    def ask(self, question: Callable[..., Answer], *about: Any) -> Answer:
        """The answer of a function that looks at the values of tensors."""
        answer = question(*(about if self.at_hand is None else self.at_hand(about)))
        if self.heard is not None:
            self.heard.append(ValueQuestion(question, about, answer))
        return answer


@dataclass
class Learnt:
    """What was learnt of layers, by their kinds: later ones of the same kind are asked less."""

    places: dict[object, set[str]] = field(default_factory=dict)
    """In which of its modules the stream was found to go: elsewhere the likeliest sum alone is asked for at once, and
    all others if the layer ends without one."""
    sure: dict[object, set[str]] = field(default_factory=dict)
    """Those of them where several tokens had it."""
    without_sum: set[object] = field(default_factory=set)
    """Kinds of layers in which several tokens had no such sum; of one token a mixture looks like one."""

    def copy(self) -> Learnt:
        """The same, apart."""
        return Learnt(_copied(self.places), _copied(self.sure), set(self.without_sum))


def _copied(sets: Mapping[object, set[str]]) -> dict[object, set[str]]:
    return {kind: set(each) for kind, each in sets.items()}
