"""What a run recorded, with all that can be asked of it, in one object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracetui.analysis.distribution.outliers import Outliers, outliers_of
from tracetui.analysis.experts.routing import routing
from tracetui.analysis.prediction import Prediction, next_tokens
from tracetui.analysis.residual import ResidualPoint, residual_norms
from tracetui.api.attention import Attention, attention_of
from tracetui.api.routing import Routing
from tracetui.api.shown import trace_html, trace_line
from tracetui.expr.watcher import Hit
from tracetui.recording.lookup import unknown
from tracetui.recording.npz import write_trace
from tracetui.recording.record import Record, Token
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import RunInfo
from tracetui.recording.trace import Trace as Recorded
from tracetui.recording.value import Array, Index

if TYPE_CHECKING:
    import pandas


class Trace:
    """Everything that one run recorded. `trace["model.layers.0"]` is an array; iterating gives the records' keys."""

    def __init__(self, recorded: Recorded, hits: Sequence[Hit] = ()) -> None:
        self.recorded = recorded
        """The plain data below this object."""
        self._hits = hits

    def __repr__(self) -> str:
        return trace_line(self.recorded)

    def _repr_html_(self) -> str:
        return trace_html(self.recorded)

    def __len__(self) -> int:
        return len(self.recorded)

    def __iter__(self) -> Iterator[str]:
        return (record.key for record in self.records)

    def __contains__(self, key: object) -> bool:
        return key in self.recorded

    def __getitem__(self, key: str | Record) -> Array:
        """The whole values of a site, `site@pass` or record. Raises KeyError, NotKeptError if only statistics."""
        return self.read(key)

    @property
    def hits(self) -> tuple[Hit, ...]:
        """Where the stops of its run held, in order: `.stop.text`, `.index` of the record, `.told` values."""
        # What nobody has looked into yet nobody has looked through for stops either.
        return tuple(self._hits) if len(self.recorded) else ()

    @property
    def records(self) -> Sequence[Record]:
        """In order of completion, children before their parent."""
        return self.recorded.records

    @property
    def tokens(self) -> tuple[tuple[Token, ...], ...]:
        """One row of tokens a prompt: [B][T], without padding."""
        return self.recorded.tokens

    @property
    def run(self) -> RunInfo:
        """What was run and how: model, recipe, config, tokenizer, versions, notes."""
        return self.recorded.run

    @property
    def complete(self) -> bool:
        """False if the run was left before its end."""
        return self.recorded.complete

    def record(self, key: str) -> Record:
        """The record of a site, `site@pass` or `site@pass.call`. Raises KeyError naming near ones."""
        record = self.recorded.find(key)
        if record is None:
            raise KeyError(unknown(self.recorded, key))
        return record

    def read(self, key: str | Record, index: Index = ()) -> Array:
        """The part `index` (integers and slices) of a site's values; nothing else is read from the file."""
        record = self.record(key) if isinstance(key, str) else key
        return self.recorded.value(record).read(index)

    def statistics(self, key: str | Record) -> Statistics:
        """Norm, mean, spread, ends, NaN, Inf and zeros of the whole tensor. Raises KeyError."""
        return self.recorded.statistics(self.record(key) if isinstance(key, str) else key)

    def outliers(self, key: str | Record) -> Outliers:
        """Where the largest element is, kurtosis, and the largest channel's share of the squares; read in blocks.

        Raises KeyError, and NotKeptError where the values were not kept.
        """
        return outliers_of(self.recorded.value(self.record(key) if isinstance(key, str) else key))

    def attention(self, layer: int | str, pass_: int = 0, call: int = 0, part: int = 0) -> Attention:
        """The attention of a layer, or of the module at a path.

        call: which of those of a layer that runs repeatedly; part: of a module that attends several times in one call.
        Raises KeyError naming the layers that have one.
        """
        return attention_of(self.recorded, layer, pass_, call, part)

    def routing(self, layer: int, pass_: int = 0) -> Routing:
        """How a layer's tokens chose their experts. Raises KeyError naming the layers that have experts."""
        return Routing(routing(self.recorded, layer, pass_))

    def residual(self, row: int = 0, pass_: int = 0) -> tuple[ResidualPoint, ...]:
        """The residual stream's norm: what enters the first layer, then two points for each layer."""
        return residual_norms(self.recorded, row, pass_=pass_)

    def predictions(self, k: int = 5, row: int = 0, position: int = -1) -> tuple[Prediction, ...]:
        """The k most probable tokens after a position, by default the row's last; best first.

        Raises IndexError for a position whose logits weren't computed.
        """
        return next_tokens(self.recorded, k, row, position)

    def save(self, path: str | Path) -> int:
        """Write a trace file (docs/trace-format.md); returns its size in bytes. Raises RunError."""
        return write_trace(self.recorded, Path(path))

    def dataframe(self) -> pandas.DataFrame:
        """A row for each record, with its statistics. Raises ImportError where pandas isn't installed."""
        from tracetui.api.frame import dataframe

        frame: Any = dataframe(self.recorded)
        return frame
