"""Mistakes of the cache, in passes over a prompt and one token after the other beside one pass over all."""

from __future__ import annotations

from dataclasses import replace

from tests.truth.decoder import Decoder
from tests.truth.fault import Change, Fault

_PROMPT = 9
_FAMILIES = "qwen3 llama glm4 gemma2 qwen2_moe"


def cached(**fields: object) -> Change:
    """A decoder whose later passes take other keys and values."""

    def changed(decoder: Decoder) -> Decoder:
        return replace(decoder, cached=replace(decoder.cached, **fields))  # type: ignore[arg-type]

    return changed


def _fault(name: str, change: Change, place: str, hints: str = "", layer: int = 0) -> Fault:
    return Fault(name, _FAMILIES, change, place, hints, (), (), layer=layer, prompt=_PROMPT)


CACHES = (
    _fault("cache not appended", cached(keeps=False), ".self_attn:k@1"),
    _fault("cache off by one", cached(over_last=True), ".self_attn:k@1"),
    _fault("another layer's cache", cached(of_layer_before=True), ".self_attn:k@1", layer=1),
    _fault("positions restarted", cached(restarts=True), ".self_attn:q@1", "position-offset"),
)
