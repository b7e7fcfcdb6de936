"""Names that mean one thing in one implementation and another in the next: values tell which."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tracetui.analysis.diff.alignment.calls import statistics_apart
from tracetui.analysis.diff.alignment.named import Named
from tracetui.analysis.mapping.layouts import Layout, part
from tracetui.recording.dumps.graph_log import is_printed
from tracetui.recording.record import layer_of, plain_site
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, is_kept

_OTHERS = {
    ".mlp.act_fn": ".mlp.down_proj:input",
    ".mlp.gate_up_proj": ".mlp.up_proj",
    "": ".mlp",
}
"""By place in the layer, what else a module of that name returns: an activation that multiplies with `up` as well, the
first matrix of a block without a gate, a layer that leaves the sum to the next norm."""
_BESIDE = {".mlp.act_fn": (".mlp.gate_up_proj",)}
"""Names that occur only beside a tensor with the other meaning; they decide where no values do."""
_OF_ENGINES = ("", ".mlp.act_fn")
"""What has its other meaning wherever layers hand the residual on beside what they made."""
_RESIDUALS = (":attn_residual", ":input")
_LAST_NORM = "model.norm#1"
_NORMALISED = ".hook_normalized"
_NORMS = (".input_layernorm", ".post_attention_layernorm")
_ALIKE, _NEARER = 0.02, 4.0
_UNIT = 1e-3
"""How far the mean square may be from 1 of what is normalised and not yet weighed."""


def decide_meanings(side: dict[str, Named], others: Mapping[str, Named], own: Trace, other: Trace) -> None:
    """Put sites that a script's names may mean as well in place of those that they usually do, where values say so."""
    if not own.dump:
        return
    side_statistics, other_statistics = _Sizes(side, own), _Sizes(others, other)
    hands_residual_on = any(map(_is_residual_beside, side.values()))
    by_place = _by_place(side)
    for place, meant in _OTHERS.items():
        sites = by_place.get(place, [])
        is_engine = hands_residual_on and place in _OF_ENGINES
        if sites and (is_engine or _means_the_other(sites, place, meant, side_statistics, other_statistics)):
            for site in sites:
                _rename(side, site, site.removesuffix(place) + meant)
    if hands_residual_on:
        _name_last_stream(side)
    unweighed = _unweighed(side, side_statistics, other_statistics)
    for site, named in list(side.items()):
        if site in unweighed or _is_identity(named, site, side_statistics):
            _rename(side, site, named.record.key)
        elif named.naming == "ggml" and site in others:
            side[site] = _of_graph(named, others[site], own, other)


def _by_place(side: Mapping[str, Named]) -> Mapping[str | None, list[str]]:
    """The sites that no map gave, by their places in their layers."""
    sites: dict[str | None, list[str]] = {}
    for site, named in side.items():
        if not named.by_rule:
            sites.setdefault(_place(site), []).append(site)
    return sites


def _is_residual_beside(named: Named) -> bool:
    """Whether it is the residual that a module of vLLM's hands on beside what it made, not added yet."""
    beside = named.record.part == 1 or "#1" in named.record.site
    return named.naming == "vllm" and beside and plain_site(named.site).endswith(_RESIDUALS)


def _name_last_stream(side: dict[str, Named]) -> None:
    """The last norm adds the last layer's output up, and returns it beside."""
    layers = [layer for site in side if (layer := layer_of(site)) is not None]
    for site, named in list(side.items()):
        last = f"model.layers.{max(layers, default=0)}{site.removeprefix(_LAST_NORM)}"
        if site.startswith(_LAST_NORM) and last not in side and not named.by_rule:
            del side[site]
            side[last] = replace(named, site=last, naming="vllm")


def _rename(side: dict[str, Named], site: str, other: str) -> None:
    """The same record under another site; left out where that has one: it holds the same."""
    named = side.pop(site)
    if other not in side:
        side[other] = replace(named, site=other)


class _Sizes:
    """The statistics of a side's records, by site."""

    def __init__(self, side: Mapping[str, Named], trace: Trace) -> None:
        self._side = side
        self._trace = trace

    def of(self, site: str) -> Statistics | None:
        """None where nothing is known of them, as of what a log has printed."""
        named = self._side.get(site)
        if named is None or is_printed(self._trace.value(named.record)):
            return None
        return self._trace.statistics(named.record)

    def values(self, site: str) -> Array | None:
        """Empty ones and those that weren't kept are None."""
        named = self._side.get(site)
        value = None if named is None else self._trace.value(named.record)
        return value.read() if value is not None and is_kept(value) and all(value.shape) else None

    def has(self, site: str) -> bool:
        return site in self._side


def _place(site: str) -> str | None:
    layer = layer_of(site)
    return None if layer is None else site.removeprefix(f"model.layers.{layer}")


def _means_the_other(sites: list[str], place: str, meant: str, own: _Sizes, other: _Sizes) -> bool:
    """Whether values show that a name has its other meaning; where they fit neither, the names beside it decide."""
    for site in sites:
        layer = site.removesuffix(place)
        found, usual, unusual = own.of(site), other.of(site), other.of(layer + meant)
        if found is None:
            continue
        if usual is None and unusual is not None and unusual.numel == found.numel and place:
            return True
        apart = math.inf if usual is None else statistics_apart(found, usual)
        if apart < _ALIKE:
            return False
        if unusual is not None and statistics_apart(found, unusual) * _NEARER < min(apart, _NEARER * _ALIKE):
            return True
    return any(_tells(site.removesuffix(place), place, meant, own) for site in sites)


def _tells(layer: str, place: str, meant: str, own: _Sizes) -> bool:
    """Whether a side's own records show the other meaning: a copy of that tensor, or a name that implies it."""
    if any(own.has(layer + name) for name in _BESIDE.get(place, ())):
        return True
    found, copy = own.of(layer + place), own.of(layer + meant)
    return not place and found is not None and found == copy


def _unweighed(side: Mapping[str, Named], own: _Sizes, other: _Sizes) -> set[str]:
    """What TransformerLens keeps of norms, where it is normalised and not multiplied by the weight yet."""
    sites = {site for site, named in side.items() if named.record.site.endswith(_NORMALISED)}
    found = [own.of(site) for site in sites]
    there = [statistics for site in sites if (statistics := other.of(site)) is not None]
    units = all(_is_unit(statistics) for statistics in found if statistics is not None)
    return sites if units and not all(map(_is_unit, there)) else set()


def _is_identity(named: Named, site: str, own: _Sizes) -> bool:
    """Whether Megatron normalises in the projection after it, so that the norm's own module passes on what it gets."""
    place = _place(site) or ""
    if named.naming != "megatron" or not place.endswith(_NORMS):
        return False
    layer = site.removesuffix(place)
    number = layer_of(site) or 0
    entering = f"model.layers.{number - 1}" if number else "model.embed_tokens"
    found = own.of(site)
    if found is not None and any(found == own.of(before) for before in (entering, f"{layer}:attn_residual")):
        return True
    stream, added, passed = (own.values(name) for name in (entering, f"{layer}.self_attn", site))
    return (
        place == _NORMS[1]
        and stream is not None
        and added is not None
        and passed is not None
        and stream.shape == added.shape == passed.shape
        and bool(np.abs(passed - stream - added).max() <= _ALIKE * np.abs(passed).max())
    )


def _of_graph(named: Named, other: Named, own: Trace, theirs: Trace) -> Named:
    """A tensor of llama.cpp's graph as the other side has it: of attention the keys that there are, and scaled."""
    role = other.record.role
    if role not in ("scores", "probs"):
        return named
    cut = _without_padding(named, other)
    return cut if role == "probs" else _scaled(cut, other, own, theirs)


def _scaled(named: Named, other: Named, own: Trace, theirs: Trace) -> Named:
    """Scores, which llama.cpp scales after this or has scaled with the queries: whichever the values show."""
    call = theirs.attention.get(other.record.key.replace(":scores", ":q"))
    before, after = _norms(named, other, own, theirs)
    if call is None or not min(before, after, call.scale) > 0:
        return named
    scale = call.scale
    if abs(math.log(before / after)) <= abs(math.log(before * scale / after)):
        return named
    factor = Layout(f"times {scale:g}, the scale of attention", lambda array: array * np.float32(scale))
    return replace(named, layout=named.layout.then(factor))


def _norms(named: Named, other: Named, own: Trace, theirs: Trace) -> tuple[float, float]:
    """Of both tensors; of those elements alone that a log has."""
    value, whole = own.value(named.record), theirs.value(other.record)
    if not is_printed(value) or not is_kept(whole):
        return own.statistics(named.record).l2, theirs.statistics(other.record).l2
    printed, elements = named.layout.apply(value.read()), whole.read()
    if printed.size != elements.size:
        return math.nan, math.nan
    there = ~np.isnan(printed)
    return float(np.linalg.norm(printed[there])), float(np.linalg.norm(elements.reshape(printed.shape)[there]))


def _without_padding(named: Named, other: Named) -> Named:
    """llama.cpp's scores or probabilities without the keys that fill its cache up."""
    keys, fewer = (one.record.shape[-1:] or (0,) for one in (named, other))
    cut = part(0, fewer[0], f"the first {fewer[0]} keys")
    return replace(named, layout=named.layout.then(cut)) if keys > fewer else named


def _is_unit(found: Statistics) -> bool:
    return bool(found.numel) and abs(found.l2 / math.sqrt(found.numel) - 1) < _UNIT
