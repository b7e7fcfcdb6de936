"""How one mixture-of-experts block chose, read from what its router recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from tracetui.analysis.experts.fields import EXPERT_COUNTS
from tracetui.errors import RunError
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, NotKeptError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_PARTS = {
    "router_logits": "router logits",
    "router_scores": "router scores",
    "selection_scores": "selection scores",
    "routing_weights": "routing weights",
}

_MOST_EXPERTS = 1 << 20


@dataclass(frozen=True, slots=True)
class Missing:
    """Stands for a number that can't be had, with the reason in words."""

    why: str


@dataclass(frozen=True, eq=False, slots=True)
class BlockRouting:
    """The choices of one block in one call, padding left out: n of its N = B·T tokens."""

    record: Record
    """`…:experts`."""
    experts: Ints
    """[n,A]"""
    rows: Ints
    """[n]: each token's place among all N."""
    prompts: Ints
    """[n]: each token's row of the batch."""
    positions: Ints
    """[n]: each token's place in its row."""
    count: int
    """E: how many experts there are to choose from."""
    weights: Array | None = None
    """[n,A]"""
    logits: Array | None = None
    """[n,E]: the gate's raw output."""
    scores: Array | None = None
    """[n,E]: after softmax or sigmoid."""
    selection: Array | None = None
    """[n,E]: what the choice was made from, experts of masked groups -inf."""
    bias: Array | None = None
    """[E]: what the selection adds to the scores; None where the router has none."""
    groups: int = 1
    """How many groups the experts stand in."""
    groups_kept: int = 1
    """Among how many of them a token chooses."""
    missing: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What could not be read, and why, both in words."""
    criterion: Array | None = None
    """[n,E]: what orders the experts as the choice did: selection scores, else scores or logits; None if none does."""
    real: int = 0
    """How many of E are experts: some routers have a class after them whose tokens skip all. 0 stands for E."""

    def __len__(self) -> int:
        return len(self.experts)

    @property
    def site(self) -> str:
        """Path of the block."""
        return self.record.module

    @property
    def layer(self) -> int | None:
        return self.record.layer

    @property
    def active(self) -> int:
        """A: experts that each token chooses."""
        return int(self.experts.shape[1])

    @property
    def taken(self) -> tuple[Ints, int]:
        """The choices of experts [N·A], what was skipped left out, and how many experts there are."""
        return (self.experts[self.experts < self.real], self.real) if self.real else (self.experts, self.count)

    def name(self, expert: int) -> str:
        """An expert's number; `skip` for a class that is none."""
        return "skip" if self.real and expert >= self.real else str(expert)

    def group(self, expert: int) -> int:
        return expert * self.groups // self.count

    def token(self, prompt: int, position: int) -> int | None:
        """The place among n of a position of a prompt, or None."""
        places = np.flatnonzero((self.prompts == prompt) & (self.positions == position))
        return int(places[0]) if len(places) else None


def routing(trace: Trace, layer: int, pass_: int = 0) -> BlockRouting:
    """The choices of a layer's block. Raises KeyError if the trace has none, NotKeptError if only statistics."""
    records = routing_records(trace.records, pass_)
    record = next((record for record in records if record.layer == layer), None)
    if record is None:
        layers = ", ".join(str(record.layer) for record in records) or "none"
        raise KeyError(f"no routing of layer {layer} in pass {pass_}; layers that have one: {layers}")
    return read_routing(trace, record)


def routing_records(records: Sequence[Record], pass_: int = 0) -> list[Record]:
    """The `…:experts` records of a pass in order."""
    return [record for record in records if record.role == "experts" and record.pass_ == pass_]


def sibling(trace: Trace, record: Record, site: str) -> Record | None:
    """The record of another site in the same pass and call."""
    suffix = record.key.partition("@")[2]
    return trace.find(f"{site}@{suffix}" if suffix else site)


def read_routing(trace: Trace, record: Record) -> BlockRouting:
    """Everything recorded of one choice, from its `…:experts` record.

    Raises NotKeptError, and RunError if the record's values can't be a choice of experts.
    """
    experts, count = chosen_experts(trace, record)  # [n,A]
    prompts, positions = places(trace, record)
    rows = np.flatnonzero(real_tokens(trace, record))  # [n]
    recorded, missing = _parts(trace, record, rows, count)
    criterion = _criterion(recorded, experts)
    if criterion is None and "router_scores" in recorded:
        missing["selection scores"] = "the choice doesn't follow from the router's scores"
    bias = sibling(trace, record, f"{record.module}:selection_bias")
    groups, kept = _groups(trace.run.config, count)
    return BlockRouting(
        record,
        experts,
        rows,
        prompts[rows],
        positions[rows],
        count,
        recorded.get("routing_weights"),
        recorded.get("router_logits"),
        recorded.get("router_scores"),
        recorded.get("selection_scores"),
        _kept(trace, bias) if bias and bias.shape == (count,) else None,
        groups,
        kept,
        MappingProxyType(missing),
        criterion,
        _real(trace, recorded.get("routing_weights"), experts, count),
    )


def chosen_experts(trace: Trace, record: Record) -> tuple[Ints, int]:
    """The chosen experts [n,A] without padding, and among how many they were chosen. Raises as `read_routing` does."""
    if len(record.shape) != 2 or not record.shape[1]:
        raise RunError(f"{record.key}: chosen experts have the shape [N, A], this is {list(record.shape)}")
    values = trace.value(record).read()  # [N,A]
    if values.dtype.kind not in "iu":
        raise RunError(f"{record.key}: chosen experts are whole numbers, these are {values.dtype}")
    experts = values.astype(np.int64)  # [N,A]
    count = _count(trace, record, experts)
    if count > _MOST_EXPERTS:
        raise RunError(f"{record.key}: of more than {_MOST_EXPERTS:,} experts, got {count:,}")
    if experts.size and not 0 <= experts.min() <= experts.max() < count:
        raise RunError(f"{record.key}: experts are 0–{count - 1}, found {experts.min()}–{experts.max()}")
    return experts[real_tokens(trace, record)], count


def loaded(trace: Trace, record: Record) -> tuple[Ints, int]:
    """The choices of experts [N·A], what was skipped left out, and how many experts there are. Raises as above."""
    experts, count = chosen_experts(trace, record)
    weights = _kept(trace, sibling(trace, record, f"{record.module}:routing_weights"))
    known = weights is not None and weights.shape == record.shape
    real = _real(trace, weights[real_tokens(trace, record)] if known and weights is not None else None, experts, count)
    return (experts[experts < real], real) if real else (experts, count)


def _real(trace: Trace, weights: Array | None, experts: Ints, count: int) -> int:
    """How many of the router's classes are experts, if the weights [n,A] of those after them are all 0; else 0."""
    named = (_int(trace.run.config, name) for name in EXPERT_COUNTS)
    experts_named = next((number for number in named if number), count)
    if weights is None or experts_named >= count:
        return 0
    return 0 if weights[experts >= experts_named].any() else experts_named


def _count(trace: Trace, record: Record, experts: Ints) -> int:
    """E: the width of what the router recorded, else as the configuration has it, else as many as are needed."""
    roles = (role for role in _PARTS if role != "routing_weights")
    wide = (sibling(trace, record, f"{record.module}:{role}") for role in roles)
    width = next((part.shape[-1] for part in wide if part and _fits(part, record)), 0)
    needed = int(experts.max(initial=-1)) + 1
    named = (_int(trace.run.config, name) for name in EXPERT_COUNTS)
    return width or max(needed, next((count for count in named if count), needed))


def _fits(part: Record, record: Record) -> bool:
    return len(part.shape) == 2 and part.shape[0] == record.shape[0]


def places(trace: Trace, record: Record) -> tuple[Ints, Ints]:
    """Row of the batch and position in it for each of N flat tokens, row by row: [N], [N]."""
    total = record.shape[0]
    batch = len(trace.tokens) if trace.tokens and total % len(trace.tokens) == 0 else 1
    prompts, positions = np.divmod(np.arange(total), max(1, total // batch))
    return prompts, positions + (trace.positions(record.pass_).start if trace.generated else 0)


def real_tokens(trace: Trace, record: Record) -> npt.NDArray[np.bool_]:
    """Which of N flat tokens are no padding: [N]. Rows of a prompt are padded on the right, later passes not at all."""
    prompts, positions = places(trace, record)
    if record.pass_ or len(trace.tokens) < 2:
        return np.ones(record.shape[0], np.bool_)
    lengths = np.array([len(row) for row in trace.tokens])  # [B]
    real: npt.NDArray[np.bool_] = positions < lengths[prompts]
    return real


def _parts(trace: Trace, record: Record, rows: Ints, count: int) -> tuple[dict[str, Array], dict[str, str]]:
    """What the router recorded beside its choice, by role, and in words what of it there is not."""
    recorded: dict[str, Array] = {}
    missing: dict[str, str] = {}
    for role, name in _PARTS.items():
        part = sibling(trace, record, f"{record.module}:{role}")
        values = _kept(trace, part)
        if part is None:
            missing[name] = "not recorded"
        elif part.shape != (record.shape if role == "routing_weights" else (record.shape[0], count)):
            missing[name] = f"recorded with the shape {list(part.shape)}"
        elif values is None:
            missing[name] = "only statistics were kept"
        else:
            recorded[role] = values[rows]
    return recorded, missing


def _criterion(recorded: Mapping[str, Array], experts: Ints) -> Array | None:
    """What the choice was made from; scores and logits alone may not be it: a bias or masked groups decide too."""
    if (selection := recorded.get("selection_scores")) is not None:
        return selection
    others = (recorded.get(role) for role in ("router_scores", "router_logits"))
    return next((other for other in others if other is not None and _orders(other, experts)), None)


def _orders(scores: Array, experts: Ints) -> bool:
    """Whether no expert that was left out has a better score [n,E] than one that was chosen [n,A]."""
    if not experts.size:
        return True
    left_out = scores.astype(np.float64)  # [n,E]
    np.put_along_axis(left_out, experts, -np.inf, axis=1)
    chosen = np.take_along_axis(scores, experts, axis=1)  # [n,A]
    return bool((chosen.min(axis=1) >= left_out.max(axis=1)).all())


def _kept(trace: Trace, record: Record | None) -> Array | None:
    if record is None or record.index >= len(trace.values):
        return None
    try:
        return trace.value(record).read()
    except NotKeptError:
        return None


def _groups(config: Mapping[str, object], count: int) -> tuple[int, int]:
    groups = _int(config, "n_group")
    if groups < 2 or count % groups or config.get("topk_method") == "greedy":
        return 1, 1
    return groups, _int(config, "topk_group") or groups


def _int(config: Mapping[str, object], field_name: str) -> int:
    value = config.get(field_name)
    return value if isinstance(value, int) else 0
