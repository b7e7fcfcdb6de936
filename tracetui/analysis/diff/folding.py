"""Many sites in few words: `layers.2–31` for all that these layers have."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from tracetui.analysis.diff.alignment.named import Named
from tracetui.analysis.mapping.ggml import graph_name
from tracetui.recording.record import plain_site
from tracetui.text import spans


def folded(sites: Iterable[Named], shared: Collection[int]) -> list[str]:
    """Sites in few words: `layers.2–31` stands for whole layers, those that `shared` doesn't have; places after."""
    whole: set[int] = set()
    places: dict[str, set[int]] = {}
    graph: dict[str, set[int]] = {}
    """By their names, tensors of llama.cpp's graph that no site stands for."""
    outside = []
    for named in sites:
        record = replace(named.record, site=plain_site(named.site))
        if record.layer is None and (parts := graph_name(named.site)) is not None and parts.layer is not None:
            graph.setdefault(parts.base, set()).add(parts.layer)
        elif record.layer is None:
            outside.append(named.site)
        elif record.layer in shared:
            part = named.site.partition("@")[0].removeprefix(record.site)
            places.setdefault(f"{record.site_in_layer}{part}", set()).add(record.layer)
        else:
            whole.add(record.layer)
    ranges = [f"layers.{spans(sorted(whole))}"] if whole else []
    ranges += [f"layers.{spans(sorted(layers))}{place}" for place, layers in places.items()]
    return [*ranges, *(f"{base}-{spans(sorted(layers))}" for base, layers in graph.items()), *outside]
