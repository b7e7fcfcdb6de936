"""What must hold for a family, check by check: each returns what can be shown, or raises with what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import nn

import tracetui
from tests.families.models import IDS, Family, distance
from tests.families.recurrent import ROLES, is_recurrent, off
from tracetui.api.attention import Attention
from tracetui.api.trace import Trace
from tracetui.recording.record import Record, is_layer, layer_path
from tracetui.recording.value import Array

_LIMIT = 1e-5
"""How far float32 numbers may be apart that were computed in another order."""
_STEPS = ("logits", "logits@1", "logits@2")
"""The logits of each pass of a generation."""

NONE = "–"
"""Shown where a family has nothing of a kind."""

Check = Callable[[Family, Trace], str]


class NotShownError(Exception):
    """Something isn't there to be seen, or was refused in one line; none of what is there is wrong."""


def check_runs(family: Family, trace: Trace) -> str:
    """Tracing the module that exists gives the logits of a plain call."""
    _same_logits(trace["logits"], family.logits)
    return "yes"


def check_streamed(family: Family, trace: Trace) -> str:
    """The folder that transformers saved, its weights made just in time, gives them too."""
    _same_logits(tracetui.trace(str(family.folder), tokens=IDS, memory="0")["logits"], family.logits)
    return "yes"


def check_attention(family: Family, trace: Trace) -> str:
    """Each layer for which eager returns attentions has a pane, with these probabilities or with none."""
    with torch.no_grad():
        output = family.eager(input_ids=family.ids, output_attentions=True)
    matrices = (matrix for matrix in _returned(output, "attentions") if matrix.dim() == 4)
    eager = [matrix[0].numpy() for matrix in matrices if matrix.shape[2] == len(IDS)]  # [H,T,S]
    panes = list(_panes(trace))
    if not eager and not panes:
        return NONE
    if not eager:
        return "yes, but eager returns none to compare"
    if len(panes) < len(eager):
        raise NotShownError(f"{len(panes)} panes, eager returns attentions {len(eager)} times")
    shown = [_same_probabilities(pane, matrix) for pane, matrix in zip(_like(panes, eager), eager, strict=True)]
    return "yes" if all(shown) else "without probabilities"


def check_routing(family: Family, trace: Trace) -> str:
    """Each layer with experts has a pane, whose logits are those that the model returns where it does."""
    layers = [layer for layer in _layers(trace) if _has_experts(family.model, layer)]
    if not layers:
        return NONE
    panes = {layer: trace.routing(layer) for layer in layers if _routes(trace, layer)}
    if len(panes) < len(layers):
        raise NotShownError(f"{len(panes)} of {len(layers)} layers with experts have a pane")
    with torch.no_grad():
        output = family.eager(input_ids=family.ids, output_router_logits=True) if _routers_told(family) else None
    returned = [logits.reshape(-1, logits.shape[-1]).numpy() for logits in _returned(output, "router_logits")]
    if len(returned) == len(panes):
        for (layer, pane), logits in zip(panes.items(), returned, strict=True):
            assert pane.logits is not None, f"layer {layer}: no router logits"
            far = distance(pane.logits, logits)
            assert far <= _LIMIT, f"layer {layer}: router logits {far:.2g} off those that the model returns"
    return "yes"


def check_residual(family: Family, trace: Trace) -> str:
    """The residual stream is shown after attention too, and each point of it is the stream."""
    layers = _layers(trace)
    points = trace.residual()
    after = [point.label for point in points if "attn" not in point.label]
    if not layers or not set(after) >= {"embed", *map(str, layers)}:
        raise NotShownError(f"only {len(after)} points after {len(layers)} layers")
    ran = [record for record in trace.records if is_layer(record.site) and not record.role and record.part == 0]
    assert after == ["embed", *(str(record.layer) for record in ran)], f"the points are {after}"
    between = [trace.records[point.index] for point in points if "attn" in point.label]
    for record in between:
        _is_the_stream(family, trace, record)
    if len(between) < len(ran):
        raise NotShownError(f"{len(between)} of {len(ran)} layers have a point after attention")
    return "yes"


def check_recurrent(family: Family, trace: Trace) -> str:
    """Each recurrent block shows its steps, and its state is what they give token by token."""
    modules = {path: module for path, module in family.model.named_modules() if is_recurrent(module)}
    inner = [path for path in modules if not any(other.startswith(f"{path}.") for other in modules)]
    if not inner:
        return NONE
    shown = {record.module for record in trace.records if record.role in ROLES}
    if missing := [path for path in inner if path not in shown]:
        raise NotShownError(f"{len(missing)} of {len(inner)} recurrent blocks show no steps: {missing[0]}")
    for record in trace.records:
        if record.role == "state" and (far := off(trace, record, modules[record.module])) is not None:
            assert far <= _LIMIT, f"{record.key} is {far:.2g} off what its steps give"
    return "yes" if {record.role for record in trace.records} & ROLES - {"state"} else "the state alone"


def check_generation(family: Family, trace: Trace) -> str:
    """Three generated tokens, and the logits of each pass, are those of transformers' own generation."""
    generated = tracetui.trace(str(family.folder), tokens=IDS, generate=3, eos=[])
    chosen = [token.id for token in generated.tokens[0][len(IDS) :]]
    passes = _generated_logits(family)
    # Not its tokens: some families force the last one, whatever the logits are.
    tokens = [int(logits.argmax()) for logits in passes]
    off = [distance(generated[key][0, -1], logits) for key, logits in zip(_STEPS, passes, strict=True)]
    assert max(off) <= 10 * _LIMIT, f"logits of the passes off by {', '.join(f'{each:.2g}' for each in off)}"
    assert chosen == tokens, f"tokens {chosen}, transformers' are {tokens}"
    return "yes"


def _generated_logits(family: Family) -> list[Array]:
    """The logits [V] of the three passes that transformers' own generation makes."""
    how: dict[str, Any] = {"max_new_tokens": 3, "min_new_tokens": 3, "do_sample": False, "pad_token_id": 0}
    with torch.no_grad():
        made = family.model.generate(
            input_ids=family.ids, **how, eos_token_id=None, output_logits=True, return_dict_in_generate=True
        )
    return [logits[0].numpy() for logits in made.logits]


def check_layers(family: Family, trace: Trace) -> str:
    """The configuration alone runs with two of its layers."""
    tracetui.trace(str(family.config_file), tokens=[1, 2, 3], layers=2)
    return "yes"


CHECKS: Mapping[str, Check] = {
    "runs": check_runs,
    "streamed": check_streamed,
    "attention": check_attention,
    "routing": check_routing,
    "residual": check_residual,
    "recurrent steps": check_recurrent,
    "generation": check_generation,
    "layers": check_layers,
}


def _same_logits(logits: Array, expected: Array) -> None:
    far = distance(logits, expected)
    assert far <= _LIMIT, f"logits {'NaN' if np.isnan(logits).any() else f'{far:.2g} off'}"


def _layers(trace: Trace) -> list[int]:
    return sorted({record.layer for record in trace.records if record.layer is not None})


def _returned(output: Any, field: str) -> list[torch.Tensor]:
    """The tensors of a field of what a model returned."""
    return [tensor for tensor in getattr(output, field, None) or () if isinstance(tensor, torch.Tensor)]


def _panes(trace: Trace) -> Iterator[Attention]:
    calls = ((record.module, record.call) for record in trace.records if record.role in ("q", "probs"))
    for module, call in dict.fromkeys(calls):
        with suppress(KeyError):
            yield trace.attention(module, call=call)


def _like(panes: list[Attention], eager: list[Array]) -> list[Attention]:
    """A pane for each of eager's matrices: of parts of a model eager may return none."""
    if len(panes) == len(eager):
        return panes
    found, left = [], iter(panes)
    for place, matrix in enumerate(eager):
        pane = next((pane for pane in left if _far_off(pane, matrix) <= _LIMIT), None)
        assert pane is not None, f"no pane has the probabilities that eager returns in place {place}"
        found.append(pane)
    return found


def _same_probabilities(pane: Attention, eager: Array) -> bool:
    """Whether there are any: then they are eager's [H,T,S]."""
    assert pane.head_count == len(eager), f"{pane.head_count} heads, eager has {len(eager)}"
    if any(pane.probs(head) is None for head in range(len(eager))):
        return False
    far = _far_off(pane, eager)
    if far > _LIMIT:
        assert _far_from_heads(pane, eager) > _LIMIT, f"probabilities {far:.2g} off eager's"
        assert _far_from_heads(pane) <= _LIMIT, f"probabilities {far:.2g} off eager's, and neither times V is the heads"
    return True


def _far_off(pane: Attention, eager: Array) -> float:
    rows = [pane.probs(head) for head in range(pane.head_count)]
    alike = len(rows) == len(eager) and all(row.shape == eager.shape[1:] for row in rows)
    return max(float(np.abs(row - matrix).max()) for row, matrix in zip(rows, eager, strict=True)) if alike else np.inf


def _far_from_heads(pane: Attention, probabilities: Array | None = None) -> float:
    """How far probabilities [H,T,S], by default those shown, times V are from the heads: eager returns others too."""
    values, heads = pane.v, pane.heads
    assert values is not None
    assert heads is not None
    shown = [pane.probs(head) for head in range(pane.head_count)] if probabilities is None else probabilities
    made = np.stack([probs @ values[0, pane.kv_head(head)] for head, probs in enumerate(shown)])  # [H,T,Kv]
    return distance(made, heads[0])


def _has_experts(model: nn.Module, layer: int) -> bool:
    paths = (path for path, _ in model.named_modules() if f".{layer}." in f".{path}.")
    return any(word in path.rpartition(f".{layer}.")[2] for path in paths for word in ("expert", "moe"))


def _routes(trace: Trace, layer: int) -> bool:
    try:
        trace.routing(layer)
    except KeyError:
        return False
    return True


def _routers_told(family: Family) -> bool:
    return hasattr(family.eager.config, "output_router_logits")


def _is_the_stream(family: Family, trace: Trace, after: Record) -> None:
    """The stream after attention is what entered the layer with something added, and so is the layer's output of it."""
    layer = after.parent
    inside = [record for record in trace.records if record.site.startswith(f"{layer}.") and record.call == after.call]
    before = [record for record in inside if record.index < after.index]
    # Where only the layer's output tells the stream, it is recorded last.
    behind = [record for record in inside if record.index > after.index] or inside
    weights = [
        each.detach().numpy() for each in family.model.get_submodule(layer).parameters(recurse=False) if each.ndim == 1
    ]
    at = f"@0.{after.call}" if after.call else ""
    entered, left, width = trace[f"{layer}:input{at}"], trace.record(f"{layer}{at}"), _width(family)
    for begin, end, parts in ((entered, after, before), (trace[after], left, behind)):
        far = np.inf
        if begin.size == trace[end].size:
            far = min(_off_a_sum(trace, total, begin, parts, weights) for total in _made_of(trace, end, parts))
        if far > _LIMIT and entered.size > width * len(IDS):
            # Where a mixture of several streams is followed, they themselves go on too.
            several = [begin, *([entered] if begin.size < trace[end].size else [])]
            far = _off_sums_of_streams(trace, width, trace[end], several, parts)
        assert far <= _LIMIT, f"{end.key} is no sum of what was before and what the layer recorded ({far:.2g} off)"


def _width(family: Family) -> int:
    """How wide one residual stream is: as a row of the table of tokens, or of what the layers make of it."""
    return int(family.model.get_output_embeddings().weight.shape[-1])


def _off_sums_of_streams(trace: Trace, width: int, total: Array, begin: list[Array], parts: list[Record]) -> float:
    """How far streams are, token by token, from sums of those that they began as and of what modules returned."""
    called = [trace[part] for part in parts if not part.role and part.parent == layer_path(part.site)]
    added = [each.reshape(len(IDS), 1, width) for each in called if each.size == len(IDS) * width]
    known = np.concatenate([*(_by_token(each, width) for each in begin), *added], axis=1).astype(np.float64)  # [T,n,D]
    made = _by_token(total, width).astype(np.float64)  # [T,n,D]
    assert known.shape[1] * 2 <= width, "too many tensors for a sum of them to mean anything"
    factors = [np.linalg.lstsq(one.T, sums.T, rcond=1e-9)[0].T for one, sums in zip(known, made, strict=True)]
    return distance(np.stack([each @ one for each, one in zip(factors, known, strict=True)]), made)


def _by_token(streams: Array, width: int) -> Array:
    """Streams that stand behind each other or side by side, token by token [T,n,D]."""
    if streams.ndim == 4 and streams.shape[2] == len(IDS):
        streams = np.moveaxis(streams, 0, 2)
    return streams.reshape(len(IDS), -1, width)


def _made_of(trace: Trace, end: Record, parts: list[Record]) -> Iterator[Array]:
    """The values of a record, and where they are a norm's with others added, of what that norm was given."""
    total = trace[end]
    yield total
    for record in parts:
        is_norm = "norm" in record.site.lower() and f"{record.site}:input" in trace and record.shape == end.shape
        if is_norm and not record.role:
            others = [part for part in parts if part is not record and not np.array_equal(trace[part], trace[record])]
            without = _off_a_sum(trace, total, np.zeros_like(total), others, [])
            if _off_a_sum(trace, total, trace[record], others, []) <= _LIMIT < without:
                yield trace[f"{record.site}:input"]


def _off_a_sum(trace: Trace, total: Array, begin: Array, parts: list[Record], weights: list[Array]) -> float:
    """How far a tensor is from the nearest sum of multiples of `begin` and of what was recorded of its size."""
    width = total.shape[-1]
    recorded = [trace[part] for part in parts if not part.role and part.shape[-1:] == (width,)]
    columns = [begin, *(begin * weight for weight in weights)]
    columns += [each.reshape(-1, width) for each in recorded if each.size in (total.size, width)]
    if len(columns) == 1:
        return float("inf")
    matrix = np.stack([np.broadcast_to(each, total.shape).ravel() for each in map(_rows_of(total), columns)], axis=1)
    factors = np.linalg.lstsq(matrix.astype(np.float64), total.ravel().astype(np.float64), rcond=1e-9)[0]
    return distance(matrix @ factors, total.ravel())


def _rows_of(total: Array) -> Callable[[Array], Array]:
    return lambda values: values.reshape(total.shape) if values.size == total.size else values.reshape(-1)
