"""Faults of what a mixture adds up: the shared expert left out, without its gate, or averaged; other expert weights.

What the experts and the shared expert returned agrees, or only one side has it: each side's output is taken apart into
these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tracetui.analysis.diff.arrays import Both, Numbers
from tracetui.analysis.diff.hints.mixture.weighing import recovered_weights
from tracetui.analysis.diff.hints.scene import Hint, Scene
from tracetui.analysis.diff.result import Outcome
from tracetui.analysis.diff.routing.sides import blocks_below, either_side, router_sides
from tracetui.analysis.diff.routing.ways import sigmoid
from tracetui.recording.record import is_layer
from tracetui.recording.value import Array

_SHARED = ("shared_experts", "shared_expert", "shared_mlp")
_MOST = 1 << 24
"""Elements of the parts that are looked at."""
_NONE = "no shared expert"

Read = Callable[[str], Numbers | None]


@dataclass(frozen=True, eq=False, slots=True)
class _SumParts:
    """What each token's output is made of, as far as any side has it."""

    experts: Numbers
    """[N,P,D]: the weighted sum of the experts, P = 1; or what each of the P that were chosen returned."""
    shared: Numbers | None
    """[N,D]: before its gate."""
    gate: Numbers | None
    """[N]: the gate's logits."""


@dataclass(frozen=True, eq=False, slots=True)
class _Amounts:
    """How much of each part a side's output holds, token by token."""

    experts: Numbers
    """[N,P]"""
    shared: Numbers
    """[N]; zeros without a shared expert."""
    left: Numbers
    """[N]: what of the output these leave over, by norm."""


def expert_sum(scene: Scene) -> Hint | None:
    """The output of a block, of its experts, or of the layer around it, whose parts agree: how each side adds them."""
    site, call = scene.site.site.partition("@")[0], scene.site.site.partition("@")[2]
    blocks = [] if scene.record.role or "#" in site else blocks_below(scene.comparison, site.removesuffix(".experts"))
    if len(blocks) != 1 or (site.removesuffix(".experts") != blocks[0] and not is_layer(site)):
        return None
    read = either_side(scene.comparison, call)
    target, routed = _made_by_block(scene, site, blocks[0], read), read(f"{blocks[0]}.experts")
    if target is None or routed is None or routed.shape != target.a.shape or routed.size > _MOST:
        return None
    chosen = f"{blocks[0]}:experts{'@' if call else ''}{call}"
    limit = max(1e-3, 8 * scene.unit)
    if site.endswith(".experts"):
        return _other_experts(scene, chosen, target, _SumParts(routed[:, None], None, None), limit)
    parts = _parts(blocks[0], routed[:, None], read)
    a, b = (_taken_apart(side, parts) for side in (target.a, target.b))
    if b.left.max() > limit:
        return None
    words_a, words_b = (_words(side, parts, limit) for side in (a, b))
    found = _other_sum(a, b, words_a, words_b) if a.left.max() <= limit else None
    if _agrees(scene, f"{blocks[0]}.experts"):
        return found
    only_experts = words_a[0] != words_b[0] and (not words_a[1] or words_a[1] == words_b[1])
    return (_other_experts(scene, chosen, target, parts, limit) if found is None or only_experts else None) or found


def _agrees(scene: Scene, site: str) -> bool:
    """Whether both sides recorded what the experts add up to, and it is the same: then so are their weights."""
    summed = scene.near(site)
    return summed is not None and summed.outcome is Outcome.SAME


def _made_by_block(scene: Scene, site: str, block: str, read: Read) -> Both | None:
    """Both sides' output of the block [N,D]: the layer's own less what it was added to, if that is all there is."""
    target = scene.target.rows()
    if not is_layer(site):
        return target
    residual = read(f"{site}:attn_residual")
    if residual is None or residual.shape != target.b.shape:
        return None
    return Both(target.a - residual, target.b - residual)


def _parts(block: str, experts: Numbers, read: Read) -> _SumParts:
    shared = next((found for name in _SHARED if (found := read(f"{block}.{name}")) is not None), None)
    gate = read(f"{block}.shared_expert_gate")
    if shared is not None and shared.shape != experts[:, 0].shape:
        shared = None
    return _SumParts(experts, shared, gate.reshape(-1) if gate is not None and gate.size == len(experts) else None)


def _taken_apart(output: Numbers, parts: _SumParts) -> _Amounts:
    """Each token's output [N,D] as the sum of its parts that comes nearest to it."""
    terms = parts.experts if parts.shared is None else np.concatenate([parts.experts, parts.shared[:, None]], axis=1)
    columns = terms.swapaxes(1, 2)  # [N,D,P]
    amounts = (np.linalg.pinv(columns) @ output[..., None])[..., 0]  # [N,P]
    left = np.linalg.norm(output - (columns @ amounts[..., None])[..., 0], axis=-1)  # [N]
    size = np.maximum(np.linalg.norm(output, axis=-1), 1e-30)  # [N]
    count = parts.experts.shape[1]
    shared = amounts[:, count] if parts.shared is not None else np.zeros(len(output))
    return _Amounts(amounts[:, :count], shared, left / size)


def _words(amounts: _Amounts, parts: _SumParts, limit: float) -> tuple[str, str]:
    return _expert_words(amounts, limit), _shared_words(amounts, parts, limit)


def _other_sum(a: _Amounts, b: _Amounts, words_a: tuple[str, str], words_b: tuple[str, str]) -> Hint | None:
    if words_a == words_b or not all((*words_a, *words_b)):
        return None
    told = [
        f"{side}'s output is {own[0]}{' alone' if own[1] == _NONE else f' plus {own[1]}'}, to {amounts.left.max():.0e}"
        for side, own, amounts in (("A", words_a, a), ("B", words_b, b))
    ]
    return Hint("expert-sum", _title(words_a, words_b), f"{'; '.join(told)}.")


def _constant(amounts: Numbers, limit: float) -> float | None:
    middle = float(np.median(amounts))
    return middle if np.abs(amounts - middle).max() <= limit * max(1.0, abs(middle)) else None


def _times(factor: float, what: str, limit: float) -> str:
    return what if abs(factor - 1) <= limit else f"{factor:.4g} times {what}"


def _expert_words(amounts: _Amounts, limit: float) -> str:
    """How much of the experts' sum; empty where it differs between tokens in no known way."""
    factor = _constant(amounts.experts, 4 * limit)
    return "" if factor is None else _times(factor, "the experts", 4 * limit)


def _shared_words(amounts: _Amounts, parts: _SumParts, limit: float) -> str:
    near = 4 * limit
    factor = _constant(amounts.shared, near)
    if parts.shared is None or (factor is not None and abs(factor) <= near):
        return _NONE
    if factor is not None:
        return _times(factor, "the shared expert", near)
    if parts.gate is None:
        return ""
    for words, gate in (("its gate's sigmoid", sigmoid(parts.gate)), ("its gate's logit", parts.gate)):
        scale = float((amounts.shared * gate).sum() / np.square(gate).sum())
        if np.abs(amounts.shared - scale * gate).max() <= near * max(1.0, float(np.abs(gate).max())):
            return f"{_times(scale, 'the shared expert', near)} times {words}"
    return ""


def _title(a: tuple[str, str], b: tuple[str, str]) -> str:
    for side, own, other in (("A", a, b), ("B", b, a)):
        if own[1] == _NONE != other[1]:
            return f"{side} leaves out the shared expert"
        if own[1] == "the shared expert" and "gate" in other[1]:
            return f"{side} adds the shared expert without its gate"
        if own[0].startswith("0.5 ") and own[1].startswith("0.5 "):
            return f"{side} takes the mean of the experts and the shared expert, not their sum"
    words_a, words_b = (side[0] if side[1] == _NONE else f"{side[0]} and {side[1]}" for side in (a, b))
    return f"A adds {words_a}, B {words_b}"


def _other_experts(scene: Scene, site: str, target: Both, parts: _SumParts, limit: float) -> Hint | None:
    """A's output as a sum of what the experts returned that B chose: which weights does it have?"""
    sides = router_sides(scene.comparison, site)
    if sides is None or sides.a.experts is not None or sides.b.experts is None or sides.b.weights is None:
        return None
    returned = _returned(scene, sides.block, sides.b.experts.astype(int), target.b.shape[1], site.partition("@")[2])
    if returned is None:
        return None
    found = _taken_apart(target.a, _SumParts(returned, parts.shared, parts.gate))
    off = found.left > limit
    if not off.any():
        return recovered_weights(sides, found.experts)
    # What else a layer adds up may be what differs.
    return None if is_layer(scene.site.site.partition("@")[0]) else _off(off, sides.b.experts.astype(int))


def _off(off: Array, experts: Array) -> Hint | None:
    """Some tokens' output is no sum of what the experts [N,A] returned that B chose: what have these in common?"""
    if off.all():
        return None
    count = f"{int(off.sum())} of {len(off)} tokens"
    suspects = np.setdiff1d(experts[off], experts[~off])
    evidence = "there it is no sum of what B's experts returned, whatever their weights; elsewhere it is."
    if len(suspects) == 1 and (experts == suspects[0]).any(axis=1)[off].all():
        title = f"A's output is off in those {count} that chose expert {suspects[0]}"
        return Hint("expert-outputs", title, evidence)
    title = f"In {count} A's output is made of other experts than B chose, or of other outputs of theirs"
    return Hint("expert-outputs", title, evidence)


def _returned(scene: Scene, block: str, experts: Numbers, width: int, call: str) -> Numbers | None:
    """What each token's chosen experts [N,A] returned, before weights: [N,A,D]; None where one has no record."""
    read = either_side(scene.comparison, call)
    if experts.size * width > _MOST:
        return None
    made = np.zeros((*experts.shape, width))  # [N,A,D]
    for expert in np.unique(experts).tolist():
        output, tokens = read(f"{block}.experts.{expert}"), read(f"{block}.experts.{expert}:tokens")
        if output is None or tokens is None or output.shape != (len(tokens), width):
            return None
        at = tokens.astype(int)
        rows, slots = np.nonzero(experts == expert)
        if at.max(initial=0) >= len(experts) or set(rows.tolist()) != set(at.tolist()):
            return None
        by_row = np.zeros((len(experts), width))
        by_row[at] = output
        made[rows, slots] = by_row[rows]
    return made
