"""Lists of hidden states, as transformers returns them: the embedding, then after each layer, the last normed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

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
_EMBEDDINGS = ("embed_tokens", "wte", "embed_in", "word_embeddings", "tok_embeddings")


@dataclass(frozen=True, slots=True)
class State:
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
    final: str
    """What the last norm makes of it; empty where there is none."""


def states_in(records: Sequence[Record]) -> tuple[State, ...]:
    """The entries of a list of hidden states in their order; empty where the names tell of none."""
    numbered = [State(record, int(found[1])) for record in records if (found := _LIST.fullmatch(record.site))]
    numbers = sorted(state.number for state in numbered)
    if len(numbered) >= _LEAST and len(set(numbers)) == len(numbers):
        return tuple(sorted(numbered, key=lambda state: state.number))
    stack = next((record for record in records if _STACK.fullmatch(record.site) and len(record.shape) > 2), None)
    if stack is None or stack.shape[0] < _LEAST:
        return ()
    return tuple(State(stack, number, _taken(number)) for number in range(stack.shape[0]))


def _taken(number: int) -> Layout:
    return Layout(f"number {number} of the list", lambda array: array[number] if array.ndim else array)


def stream_of(records: Iterable[Record]) -> Stream | None:
    """The residual stream of a side by its keys; None where it has no layers."""
    first = [record for record in records if not record.pass_ and not record.call and not record.part]
    layers = [record for record in first if is_layer(record.site)]
    if not layers:
        return None
    outputs = sorted(layers, key=lambda record: layer_of(record.site) or 0)
    entering = next((record.key for record in first if record.site == f"{outputs[0].site}:input"), "")
    if not entering:
        entering = next((record.key for record in first if record.site.endswith(_EMBEDDINGS)), "")
    after = [record for record in first if record.index > outputs[-1].index and not record.role]
    final = next((record.key for record in after if record.shape == outputs[-1].shape and "norm" in _leaf(record)), "")
    final = final or next((record.key for record in after if record.shape == outputs[-1].shape), "")
    return Stream(entering, {layer_of(record.site) or 0: record.key for record in outputs}, final)


def _leaf(record: Record) -> str:
    return record.site.rpartition(".")[2]


def places(states: Sequence[State], stream: Stream) -> tuple[str, ...]:
    """Which site each entry is, by the list's length: with the embedding and the last norm, or the layers alone."""
    if len(states) == len(stream.layers) and states[0].number == 0:
        return tuple(stream.layers.values())
    return tuple(_place(state.number, states[-1].number, stream) for state in states)


def _place(number: int, last: int, stream: Stream) -> str:
    if number == 0:
        return stream.entering
    if number == last and number - 1 == max(stream.layers) and stream.final:
        return stream.final
    return stream.layers.get(number - 1, "")
