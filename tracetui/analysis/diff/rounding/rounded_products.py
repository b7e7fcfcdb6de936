"""Products of llama.cpp's with weights in blocks or in half precision: it rounds their inputs first, which is no fault.

The other side takes the inputs as they are. The weight W isn't recorded, but some of its elements are, and the inputs
are: a token's difference δ·Wᵀ, δ what rounding takes from its inputs, is about |δ| times a row of W long, stands to the
other tokens' as the δs do, and has no more of the output's own direction than chance gives it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tracetui.analysis.diff.arrays import Both, both
from tracetui.analysis.diff.feeds import Feeds
from tracetui.analysis.diff.result import Comparison, Outcome, SiteDiff
from tracetui.analysis.diff.rounding.block_rounding import Floats, InputRounding, input_roundings
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.weight_prints import WeightPrint

_WITHIN = 3.0
"""How many times longer or shorter than expected a token's difference may be: real models' are 0.59 to 1.66."""
_OF_OUTPUT = 0.5
"""The largest cosine of the difference and the output: a factor's is 1; real products' are up to 0.26."""
_LIKE, _CHANCE = 0.3, 1.5
"""How far cosines between tokens may be from the inputs', and how much more, over the square root of the width."""
_ROWS = 64
"""Tokens that are looked at."""
_FEWEST = 3
_FEWEST_ELEMENTS = 16
"""Of a weight: its root mean square is estimated from them."""
_LAST = {".self_attn": ".o_proj", ".mlp": ".down_proj"}
"""By the end of a module's path, the product whose output it returns."""


@dataclass(frozen=True, slots=True)
class RoundedProduct:
    """A product one side of which llama.cpp made from rounded inputs."""

    side: str
    """llama.cpp's: `A` or `B`."""
    rounding: InputRounding
    apart: float
    """|a - b|/|b| over the whole tensor."""
    expected: float
    """What rounding makes of inputs that agree, in the same unit."""


@dataclass(frozen=True, eq=False, slots=True)
class LinearProduct:
    """Inputs and outputs of both sides, token by token, and what is remembered of the weight."""

    side: str
    weight: WeightPrint
    inputs: Both
    """[N,D]; A's and B's."""
    output: Both
    """[N,F]."""
    turned: bool
    """Whether each token's output was rotated by its position."""

    def rounded_off(self, rounding: InputRounding) -> Floats:
        """What the weight is multiplied with in llama.cpp, less what it is on the other side [N,D]."""
        own, other = (self.inputs.a, self.inputs.b) if self.side == "A" else (self.inputs.b, self.inputs.a)
        return rounding.made_of(own) - other

    def lengths(self, apart: Floats) -> Floats:
        """How long the product with `apart` [N,D] is for each token [N], if the weight prefers no direction."""
        size = float(np.sqrt(np.square(self.weight.sample).mean()))
        return np.asarray(size * math.sqrt(self.output.a.shape[1]) * np.linalg.norm(apart, axis=1))


def rounded_product(comparison: Comparison, site: SiteDiff, fed: Feeds) -> RoundedProduct | None:
    """Whether what differs is no more than llama.cpp's rounding of inputs that agree; None where it isn't."""
    if site.outcome is not Outcome.DIFFERENT or not fed.agree:
        return None
    product = product_of(comparison, site, fed)
    if product is None:
        return None
    norm, apart = (float(np.linalg.norm(rows)) for rows in (product.output.b, product.output.a - product.output.b))
    if not norm or not apart:
        return None
    made = [(rounding, product.rounded_off(rounding)) for rounding in input_roundings(product.weight)]
    fitting = [(float(np.linalg.norm(product.lengths(off))) / norm, way) for way, off in made if _fits(product, off)]
    if not fitting:
        return None
    expected, rounding = min(fitting, key=lambda each: abs(math.log(each[0] * norm / apart)))
    return RoundedProduct(product.side, rounding, apart / norm, expected)


def _fits(product: LinearProduct, off: Floats) -> bool:
    """Whether inputs that are `off` [N,D] explain each token's difference, in size and direction."""
    difference = product.output.a - product.output.b  # [N,F]
    expected, lengths = product.lengths(off), np.linalg.norm(difference, axis=1)  # [N]
    if not ((lengths <= _WITHIN * expected) & (lengths * _WITHIN >= expected)).all():
        return False
    if abs(_cosine(difference, product.output.b)) > _OF_OUTPUT:
        return False
    rows = expected > 0
    if product.turned or rows.sum() < _FEWEST:
        return bool(rows.any())
    apart = (_cosines(difference[rows]) - _cosines(off[rows]))[np.triu_indices(int(rows.sum()), 1)]
    limit = _LIKE + _CHANCE / math.sqrt(difference.shape[1])
    return float(np.sqrt(np.square(apart).mean())) <= limit


def _cosine(one: Floats, other: Floats) -> float:
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float((one * other).sum()) / norms if norms else 0.0


def _cosines(rows: Floats) -> Floats:
    """Of each row with each [N,N]; none of them is zero."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(unit @ unit.T)


def product_of(comparison: Comparison, site: SiteDiff, fed: Feeds) -> LinearProduct | None:
    """The product that a site is on both sides, one of them llama.cpp; None for others, or if too little is known."""
    graphs = [named.naming == "ggml" for named in (site.pair.a, site.pair.b)]
    if graphs.count(True) != 1 or not fed.found or site.distance is None or site.distance.unlike:
        return None
    traced, record = (comparison.b, site.pair.b.record) if graphs[0] else (comparison.a, site.pair.a.record)
    weight = _weight(traced, record)
    output = both(comparison, site)
    if weight is None or len(weight.sample) < _FEWEST_ELEMENTS or output is None:
        return None
    for entering in reversed(fed.found):
        inputs = both(comparison, entering)
        if inputs is not None and (rows := _by_token(inputs, weight.shape[-1])) is not None:
            return _product("A" if graphs[0] else "B", weight, rows, output, record.role in ("q", "k"))
    return None


def _product(side: str, weight: WeightPrint, inputs: Both, output: Both, turned: bool) -> LinearProduct | None:
    count = len(inputs.a)
    rows = _by_token(output, output.a.size // count) if output.a.size % count == 0 else None
    if rows is None or not all(np.isfinite(part).all() for part in (inputs.a, inputs.b, rows.a, rows.b)):
        return None
    few = slice(None, None, -(-count // _ROWS))
    cut = [Both(part.a[few], part.b[few]) for part in (inputs, rows)]
    return LinearProduct(side, weight, cut[0], cut[1], turned)


def _weight(trace: Trace, record: Record) -> WeightPrint | None:
    """What is remembered of the matrix that made a record."""
    module, role = record.module, record.role
    if role in ("q", "k", "v"):
        path = f"{module}.{role}_proj"
    elif role not in ("", "logits"):
        return None
    else:
        path = next((module + last for end, last in _LAST.items() if f".{module}".endswith(end)), module)
    names = [path, module, *(["model.embed_tokens"] if path in ("lm_head", "logits") else [])]
    prints = (trace.weights.get(f"{name}.weight") for name in names)
    return next((print_ for print_ in prints if print_ is not None and len(print_.shape) == 2), None)


def _by_token(sides: Both, width: int) -> Both | None:
    """Values as [N,width]: they are so, or heads of one prompt, [H,T,K], [B,H,T,K] or [T,H,K]. None for others."""
    a, b = sides.a, sides.b
    if a.ndim < 2 or a.size % width or not a.size:
        return None
    count = a.size // width
    if a.ndim > 2 and a.shape[-1] != width and math.prod(a.shape[:-2]) != count:
        if a.shape[-2] != count:
            return None
        a, b = a.swapaxes(-2, -3), b.swapaxes(-2, -3)
    return Both(a.reshape(count, width), b.reshape(count, width))
