"""A trace: everything that one run recorded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

from tracetui.recording.key_index import KeyIndex
from tracetui.recording.outline import NO_MODULE, Module
from tracetui.recording.parallel import Parallel, RankPiece, UnlikeReplicas
from tracetui.recording.record import AttentionCall, BadWeight, Record, Token
from tracetui.recording.statistics import Statistics
from tracetui.recording.value import Array, Value, statistics_of
from tracetui.recording.weight_prints import WeightPrints

_REASSURING = re.compile(r"[^:]*: (?:all \d+ tensors from the file|dequantised: .*)")
"""Remarks on weights that say no more than that all is as it should be."""


@dataclass(frozen=True)
class RunInfo:
    """What was run and how: enough to run it again."""

    model: str = ""
    """The name the user gave: a recipe's, or a folder."""
    recipe: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """The recipe as plain data, prompt included."""
    config: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """The model's configuration, in transformers' field names."""
    tokenizer: str = ""
    """In words, as the screen shows it."""
    versions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    notes: Sequence[str] = ()
    """Remarks that belong beside every result, such as that random weights predict nothing."""
    started: str = ""
    """When, as `2026-03-01T12:00:00Z`; empty where it isn't known."""
    parallel: Parallel | None = None
    """Which rank of several ran it; None for one process alone."""
    as_built: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """Where what transformers' class made of the configuration says otherwise, or more; None: it has no such field."""


@dataclass(frozen=True, eq=False)
class Trace:
    """Records in order of completion, their values, and what gives them meaning.

    While a run goes on it grows under the hands of whoever reads it: the model's thread alone writes. A value is there
    before its record, a record's tokens and attention call before it; of the lists only ends are added to, but for the
    newest record, which may be given another site before anything comes after it; the mappings only gain keys, whole.
    So any index below `len(trace)`, which counts records, can be read at any time without a lock, and `closed` gives
    what doesn't change any more. `run.recipe` gains `edits` alone, as one list in place of another.
    """

    run: RunInfo
    tokens: tuple[tuple[Token, ...], ...]
    """One row of tokens a prompt, with those that the model added to it: [B][T]."""
    records: Sequence[Record]
    values: Sequence[Value]
    """Parallel to `records`. A tensor that several modules returned is one and the same object."""
    attention: Mapping[str, AttentionCall]
    """By the record key of the attention module's `:q`."""
    vocabulary: Mapping[int, Token] = field(default_factory=lambda: MappingProxyType({}))
    """Tokens that are shown beside those of the prompt: the most probable next ones."""
    complete: bool = True
    """False if the run was left before its end."""
    dump: bool = False
    """Named tensors of somebody's own script: no prompt, no configuration, and the file's order for the run's."""
    outline: Module = NO_MODULE
    """The module tree; NO_MODULE where nobody told it."""
    generated: tuple[int, ...] = ()
    """How many of each row's last tokens the model chose; empty if none."""
    cache: tuple[int, ...] = ()
    """Bytes of the model's own key-value cache after each pass that is over; empty where it ran without one."""
    bad_weights: Mapping[str, tuple[BadWeight, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """For each module with an output that isn't finite, by site: its own parameters that aren't finite either.

    Empty where all of them were checked and are finite; a site that is missing was not checked.
    """
    weights: WeightPrints = field(default_factory=lambda: MappingProxyType({}))
    """What is remembered of each weight that the run read; empty where nobody looked at them."""
    pieces: Mapping[str, tuple[RankPiece, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Of a trace merged from several ranks, by the key of a record that none of them had whole: who had what."""
    unlike_replicas: Mapping[str, UnlikeReplicas] = field(default_factory=lambda: MappingProxyType({}))
    """In the same, by the key of a record that several ranks had, with other values. It may grow as values are read."""
    by_rank: Mapping[int | None, Trace] = field(default_factory=lambda: MappingProxyType({}))
    """Of a folder of ranks' files: what each rank recorded, this among them, and under None all of it together."""

    def __len__(self) -> int:
        return len(self.records)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.find(key) is not None

    def __getitem__(self, key: str) -> Array:
        """The values stored under a key, whole. Raises KeyError."""
        record = self.find(key)
        if record is None:
            raise KeyError(key)
        return self.values[record.index].read()

    def find(self, key: str) -> Record | None:
        """The record of a key (`site`, `site@pass`, `site@pass.call`), or None."""
        index = self._index_of(key)
        return None if index is None else self.records[index]

    def value(self, record: Record) -> Value:
        return self.values[record.index]

    def statistics(self, record: Record) -> Statistics:
        return self.values[record.index].statistics()

    def all_statistics(self) -> list[Statistics]:
        """Of every record, in order; what isn't known yet is computed."""
        return statistics_of(self.values)

    def closed(self) -> Trace:
        """The same records, unchanging from now on: of a run that was left, or of one that waits."""
        values = tuple(self.values)
        records = tuple(self.records[: len(values)])
        values = values[: len(records)]
        attention, vocabulary, bad_weights = dict(self.attention), dict(self.vocabulary), dict(self.bad_weights)
        # A run that goes on adds the edits that it is given.
        run = replace(self.run, recipe=dict(self.run.recipe))
        return replace(
            self,
            run=run,
            records=records,
            values=values,
            attention=attention,
            vocabulary=vocabulary,
            bad_weights=bad_weights,
            weights=dict(self.weights),
        )

    def extended(self, chosen: Sequence[Token | None], cache: int) -> Trace:
        """The trace with one more token in each row that isn't finished; `cache` is the size of the cache in bytes.

        `chosen` has None for a finished row. Records, values and the index of keys are shared with this trace.
        """
        made = self.generated or (0,) * len(self.tokens)
        rows = tuple(
            (row if token is None else (*row, token), count + (token is not None))
            for row, token, count in zip(self.tokens, chosen, made, strict=True)
        )
        longer = replace(
            self,
            tokens=tuple(row for row, _ in rows),
            generated=tuple(count for _, count in rows),
            cache=(*self.cache, cache),
        )
        longer.__dict__["_keys"] = self._keys
        return longer

    @property
    def prompt_lengths(self) -> tuple[int, ...]:
        """Tokens of each row that were given and not generated."""
        made = self.generated or (0,) * len(self.tokens)
        return tuple(len(row) - count for row, count in zip(self.tokens, made, strict=True))

    def positions(self, pass_: int) -> range:
        """The positions of the rows that a pass computed: those of the prompts, then one a pass."""
        longest = max(self.prompt_lengths, default=0)
        return range(longest + pass_ - 1, longest + pass_) if pass_ else range(longest)

    def token(self, token_id: int) -> Token:
        """The token of an id, without bytes if the trace doesn't know it."""
        return self.vocabulary.get(token_id) or Token(token_id, b"")

    def renamed(self, index: int, site: str) -> Record:
        """Change the site of the newest record while a run goes on, before any other record follows it."""
        assert isinstance(self.records, list)
        old: Record = self.records[index]
        new = self.records[index] = replace(old, site=site, seconds=None)
        self._keys.rename(old, new)
        return new

    def _index_of(self, key: str) -> int | None:
        return self._keys.find(key, self.records)

    @cached_property
    def _keys(self) -> KeyIndex:
        return KeyIndex()


EMPTY_TRACE = Trace(RunInfo(), (), (), (), MappingProxyType({}))


def all_from_file(file: str, tensors: int) -> str:
    """Nothing is missing: `model.gguf: all 272 tensors from the file`."""
    return f"{file}: all {tensors} tensors from the file"


def dequantised(file: str, kinds: str) -> str:
    """What was quantised: `model.gguf: dequantised: 210 from Q4_1`."""
    return f"{file}: dequantised: {kinds}"


def is_reassuring(note: str) -> bool:
    """Whether nobody has to know a remark to judge a result by; `Trace.run.notes` keeps them all."""
    return _REASSURING.fullmatch(note) is not None
