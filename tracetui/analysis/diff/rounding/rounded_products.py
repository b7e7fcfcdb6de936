"""Products of llama.cpp's with weights in blocks or in half precision: it rounds their inputs first, which is no fault.

The other side takes the inputs as they are. The weight W isn't recorded, but some of its elements are, and the inputs
are: a token's difference δ·Wᵀ, δ what rounding takes from its inputs, is about |δ| times a row of W long, and has no
more in common with the output, or from token to token, than the δs have with the inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tracetui.analysis.diff.arrays import Both, both
from tracetui.analysis.diff.feeds import Feeds
from tracetui.analysis.diff.result import Comparison, Outcome, SiteDiff
from tracetui.analysis.diff.rounding.block_rounding import Floats, InputRounding, input_roundings
from tracetui.analysis.diff.rounding.brought import channels
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.weight_prints import WeightPrint

_WITHIN = 3.0
"""How many times longer or shorter than expected a token's difference may be: a real model's are 0.6 to 1.7 for 8 bits,
0.9 to 3.2 for float16. By one more, the more so the fewer channels make it."""
_OF_OUTPUT = 0.5
"""The largest cosine of the difference and the output: a factor's is 1; real products' are up to 0.26."""
_IN_COMMON = 0.3
"""How much more of a difference's square than of the inputs' may be the same at every token, or one factor a channel:
a bias, or another scale of some rows, is next to all of it."""
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
    # A weight prefers directions, and where few channels count these are few.
    chance = 1 / math.sqrt(min(channels(off), channels(difference)))
    within = _WITHIN * (1 + chance)
    if not ((lengths <= within * expected) & (lengths * within >= expected)).all():
        return False
    if abs(_cosine(difference, product.output.b)) > _OF_OUTPUT:
        return False
    if not expected.any() or len(expected) < _FEWEST:
        return bool(expected.any())
    entered, made = product.inputs.b, product.output.b
    ones = np.ones((len(expected), 1))
    pairs = ((difference, made, off, entered), (difference, ones, off, ones))
    return all(_in_common(one, x) <= _in_common(own, y) + _IN_COMMON for one, x, own, y in pairs)


def _in_common(apart: Floats, values: Floats) -> float:
    """The share of a difference's square [N,D] that is, channel by channel, one factor times the values [N,D or 1]."""
    squares = np.square(values).sum(axis=0)
    dots = np.square((apart * values).sum(axis=0))
    total = float(np.square(apart).sum())
    explained = np.divide(dots, squares, out=np.zeros_like(dots), where=squares > 0)
    return float(explained.sum()) / total if total else 0.0


def _cosine(one: Floats, other: Floats) -> float:
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float((one * other).sum()) / norms if norms else 0.0


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
            return _product("A" if graphs[0] else "B", weight, rows, output)
    return None


def _product(side: str, weight: WeightPrint, inputs: Both, output: Both) -> LinearProduct | None:
    count = len(inputs.a)
    rows = _by_token(output, output.a.size // count) if output.a.size % count == 0 else None
    if rows is None:
        return None
    inputs, rows = _as_printed(inputs, rows)
    if not rows.a.size or not all(np.isfinite(part).all() for part in (inputs.a, inputs.b, rows.a, rows.b)):
        return None
    few = slice(None, None, -(-count // _ROWS))
    cut = [Both(part.a[few], part.b[few]) for part in (inputs, rows)]
    return LinearProduct(side, weight, cut[0], cut[1])


def _as_printed(inputs: Both, output: Both) -> tuple[Both, Both]:
    """Inputs [N,D] and what is known of the output on both sides: a log has the ends of each axis, all else is NaN.

    Inputs that a log doesn't have are the other side's: what is printed of them agrees.
    """
    unknown = np.isnan(output.a) | np.isnan(output.b)
    if not unknown.any():
        return inputs, output
    rows, columns = ~unknown.all(axis=1), ~unknown.all(axis=0)
    a = np.where(np.isnan(inputs.a), inputs.b, inputs.a)[rows]
    b = np.where(np.isnan(inputs.b), inputs.a, inputs.b)[rows]
    return Both(a, b), Both(output.a[rows][:, columns], output.b[rows][:, columns])


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
