"""Lists of hidden states, as transformers returns them: the embedding, then after each layer, the last normed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

from tracetui.analysis.mapping.layouts import Layout
from tracetui.recording.record import Record, is_layer, layer_of

_LIST = re.compile(
    r"(?:^|.*[._/])(?:(?:all_|decoder_|model_|hf_|ref_)*hidden_?states?|hs|hiddens?|states)[._/\-\[(]*(\d{1,5})[\])]*",
    re.IGNORECASE,
)
_STACK = re.compile(
    r"(?:^|.*[._/])(?:(?:all_|decoder_|model_|hf_|ref_)*hidden_?states|hs|hiddens|states)",
    re.IGNORECASE,
)
_LEAST = 2
_MOST_STREAMS = 32
"""Ways to put stacks one after another that are tried."""
_EMBEDDINGS = ("embed_tokens", "wte", "embed_in", "word_embeddings", "tok_embeddings")


@dataclass(frozen=True, slots=True)
class NamedState:
    """One entry of a list."""

    record: Record
    number: int
    layout: Layout | None = None
    """How it is taken out of a tensor that holds them all."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Where the residual stream of the other side is recorded."""

    entering: str
    layers: Mapping[int, str]
    """By number; of several stacks, or several calls, counted through in order of execution."""
    final: str
    """What the last norm makes of it; empty where there is none."""
    after: tuple[str, ...] = ()
    """What else there is for each token after the layers, norms first."""


def states_in(records: Sequence[Record]) -> tuple[NamedState, ...]:
    """The entries of a list of hidden states in their order; empty where the names tell of none."""
    numbered = [NamedState(record, int(found[1])) for record in records if (found := _LIST.fullmatch(record.site))]
    numbers = sorted(state.number for state in numbered)
    if len(numbered) >= _LEAST and len(set(numbers)) == len(numbers):
        return tuple(sorted(numbered, key=lambda state: state.number))
    stack = next((record for record in records if _STACK.fullmatch(record.site) and len(record.shape) > 2), None)
    if stack is None or stack.shape[0] < _LEAST:
        return ()
    return tuple(NamedState(stack, number, _taken(number)) for number in range(stack.shape[0]))


def _taken(number: int) -> Layout:
    return Layout(f"number {number} of the list", lambda array: array[number] if array.ndim else array)


def streams_of(records: Iterable[Record]) -> list[Stream]:
    """The residual streams that a list may be of: that of each stack of layers, and of several one after another.

    Records are a side's own; where one stack's layers ran once, there is one stream.
    """
    first = [record for record in records if not record.pass_ and not record.part]
    calls: dict[str, list[Record]] = {}
    """By stack, what its layers returned, call by call."""
    for record in first:
        if is_layer(record.site):
            calls.setdefault(_stack(record), []).append(record)
    if len(calls) == 1:
        (outputs,) = calls.values()
        once = [record for record in outputs if not record.call]
        simple = [_stream(first, sorted(once, key=_layer), numbered=True)]
        return simple if len(once) == len(outputs) else [*simple, _stream(first, outputs)]
    chosen = (some for count in range(1, len(calls) + 1) for some in combinations(calls, count))
    stacks = islice(chosen, _MOST_STREAMS)
    return [_stream(first, sorted((record for name in some for record in calls[name]), key=_index)) for some in stacks]


def _stream(records: Sequence[Record], outputs: Sequence[Record], numbered: bool = False) -> Stream:
    """Of layers' outputs in order of execution; `numbered` tells that each stands for the layer of its number."""
    entering = next((record.key for record in records if record.site == f"{outputs[0].site}:input"), "")
    if not entering:
        entering = next((record.key for record in records if record.site.endswith(_EMBEDDINGS)), "")
    last = outputs[-1]
    behind = [record for record in records if record.index > last.index and not record.role]
    behind = [record for record in behind if record.shape[:2] == last.shape[:2] and not is_layer(record.site)]
    after = [record for record in behind if record.shape == last.shape]
    beside = [record for record in after if _stack(record) == _stack_parent(last)]
    final = next((record.key for record in (*_norms(beside), *beside, *_norms(after), *after)), "")
    layers = {_layer(record) if numbered else place: record.key for place, record in enumerate(outputs)}
    return Stream(entering, layers, final, tuple(record.key for record in (*_norms(behind), *behind)))


def _norms(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if "norm" in _leaf(record).lower()]


def _stack_parent(layer: Record) -> str:
    """The module that has the stack of a layer: its last norm, where it has one, is the stack's own."""
    return _stack(layer).rpartition(".")[0]


def _stack(record: Record) -> str:
    """What holds a layer and those like it."""
    return record.site.rpartition(".")[0]


def _layer(record: Record) -> int:
    return layer_of(record.site) or 0


def _index(record: Record) -> int:
    return record.index


def _leaf(record: Record) -> str:
    return record.site.rpartition(".")[2]


def places(states: Sequence[NamedState], stream: Stream) -> Iterator[tuple[str, ...]]:
    """Which site each entry may be, the likeliest first: what a list begins with, and whether its last is normed."""
    if len(states) == len(stream.layers) and states[0].number == 0:
        yield tuple(stream.layers.values())
        return
    yield tuple(_place(state.number, states[-1].number, stream) for state in states)
    if states[-1].number - 1 == max(stream.layers):
        # Some append what a layer returned, and the last norm's output after that.
        yield tuple(stream.layers.get(state.number, stream.final) for state in states)


def _place(number: int, last: int, stream: Stream) -> str:
    if number == 0:
        return stream.entering
    if number == last and number - 1 == max(stream.layers) and stream.final:
        return stream.final
    return stream.layers.get(number - 1, "")
