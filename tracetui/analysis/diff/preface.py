"""What two traces differ in before any number is looked at: prompt, configuration, layers, dtypes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tracetui.analysis.diff.alignment.align import Alignment
from tracetui.analysis.diff.alignment.named import Named
from tracetui.recording.record import Token, layer_of, plain_site
from tracetui.recording.trace import RunInfo, Trace
from tracetui.text import spans

_QUANTISED = frozenset({"quantization_config", "quantization", "compression_config"})
_STORED = _QUANTISED | {"transformers_version", "_name_or_path", "torch_dtype", "dtype", "use_cache", "architectures"}
_PASSING = _STORED | {"id2label", "label2id", "problem_type", "return_dict"}
"""Fields that say where a configuration comes from, how it is stored or what a classifier's labels are called, and
nothing about the numbers."""
_OFF_UNLESS_SET = frozenset(
    {"output_attentions", "output_hidden_states", "is_encoder_decoder", "chunk_size_feed_forward"}
)
"""Fields that a module's configuration has as false or 0, and a file leaves out."""
MISSING = object()


@dataclass(frozen=True, slots=True)
class TokenDifference:
    """The first place at which two prompts differ; None where a prompt has ended."""

    row: int
    position: int
    a: Token | None
    b: Token | None
    lengths: tuple[int, int]


@dataclass(frozen=True, slots=True)
class FieldPair:
    """A configuration field whose values differ; MISSING where one side doesn't have it."""

    name: str
    a: object
    b: object


@dataclass(frozen=True, slots=True)
class Preface:
    """What is said before the numbers."""

    tokens: tuple[TokenDifference, ...]
    """One a row of the batch that differs; a row that one side lacks is of length 0 there."""
    config: tuple[FieldPair, ...]
    layers: tuple[str, str] | None
    """Which layers each side has, if not the same ones."""
    first_missing: int | None
    """The first layer that only one side has; None if there is none."""
    dtypes: tuple[tuple[str, str, int], ...]
    """A's and B's dtype where they differ, and in how many sites."""
    model_types: tuple[str, str] | None
    """The two families, if they are known and not the same."""

    @property
    def common(self) -> int | None:
        """How many tokens from the start on are the same; None if all are, none is, or nothing is known."""
        return min((found.position for found in self.tokens), default=0) or None


def preface(a: Trace, b: Trace, alignment: Alignment) -> Preface:
    """What differs besides the numbers."""
    own = _layers([*(pair.a for pair in alignment.pairs), *alignment.only_a])
    other = _layers([*(pair.b for pair in alignment.pairs), *alignment.only_b])
    if not own or not other:
        own = other = []
    return Preface(
        tokens=token_differences(a.tokens, b.tokens),
        config=config_differences(_built(a.run), _built(b.run)),
        layers=None if own == other else (spans(own), spans(other)),
        first_missing=min(set(own) ^ set(other), default=None),
        dtypes=_dtypes(alignment),
        model_types=_model_types(a, b),
    )


def token_differences(a: Sequence[Sequence[Token]], b: Sequence[Sequence[Token]]) -> tuple[TokenDifference, ...]:
    """Where prompts differ; nothing is known if a side has no tokens."""
    if not a or not b:
        return ()
    found = []
    for row in range(max(len(a), len(b))):
        one, other = (side[row] if row < len(side) else () for side in (a, b))
        place = next((at for at, (x, y) in enumerate(zip(one, other, strict=False)) if x.id != y.id), None)
        if place is None and len(one) == len(other):
            continue
        place = min(len(one), len(other)) if place is None else place
        tokens = tuple(side[place] if place < len(side) else None for side in (one, other))
        found.append(TokenDifference(row, place, tokens[0], tokens[1], (len(one), len(other))))
    return tuple(found)


def config_differences(a: Mapping[str, object], b: Mapping[str, object]) -> tuple[FieldPair, ...]:
    """Fields whose values differ, those that both sides have first; none if a side has no configuration at all."""
    if not a or not b:
        return ()
    names = sorted((a.keys() | b.keys()) - _PASSING)
    fields = [FieldPair(name, a.get(name, MISSING), b.get(name, MISSING)) for name in names]
    differing = (field for field in fields if _meant(field.name, field.a) != _meant(field.name, field.b))
    return tuple(sorted(differing, key=lambda field: MISSING in (field.a, field.b)))


def _built(run: RunInfo) -> Mapping[str, object]:
    """The configuration by which a model ran, with what its file leaves to the class."""
    return {**run.config, **run.as_built} if run.config else {}


def _meant(name: str, value: object) -> object:
    """A field's value, such that a missing field and a null count as the same."""
    return None if value is MISSING or (name in _OFF_UNLESS_SET and not value) else value


def _layers(sites: Sequence[Named]) -> list[int]:
    layers = {layer_of(plain_site(named.site)) for named in sites}
    return sorted(layer for layer in layers if layer is not None)


def _dtypes(alignment: Alignment) -> tuple[tuple[str, str, int], ...]:
    counts = Counter((pair.a.record.dtype, pair.b.record.dtype) for pair in alignment.pairs)
    return tuple((one, other, times) for (one, other), times in counts.most_common() if one != other)


def _model_types(a: Trace, b: Trace) -> tuple[str, str] | None:
    found = [trace.run.config.get("model_type") for trace in (a, b)]
    one, other = found
    if isinstance(one, str) and isinstance(other, str) and one != other:
        return one, other
    return None
