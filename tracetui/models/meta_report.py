"""How a checkpoint fits a model, in the words that stand beside a result."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from tracetui.models.meta_names import ROPE_FREQUENCIES, canonical_name, split_layer
from tracetui.text import visible

_NAMES_SHOWN = 4


def fit(file: str, present: Mapping[str, bool], layer_count: int, names: Collection[str]) -> list[str]:
    """Lines on what comes from `file` and what doesn't.

    present: the model's tensors by transformers' names, and whether the file has them. names: the file's own.
    """
    from_file = sum(present.values())
    missing = len(present) - from_file
    if missing:
        lines = [f"{file}: {from_file} tensors from the file, {missing} random: {'; '.join(_parts(present))}"]
    else:
        lines = [f"{file}: all {from_file} tensors from the file"]
    if spare := sorted(_spare(present, layer_count, names)):
        shown = ", ".join(visible(name, 60) for name in spare[:_NAMES_SHOWN])
        more = f" and {len(spare) - _NAMES_SHOWN} more" if len(spare) > _NAMES_SHOWN else ""
        lines.append(f"{file}: read over, no module asks for {shown}{more}")
    return lines


def _parts(present: Mapping[str, bool]) -> Iterator[str]:
    """`layers 0–1 from the file`, `layer 2 random`, `layer 3 5 of 9 from the file`, `lm_head.weight random`."""
    layers: dict[int, list[bool]] = {}
    outside = []
    for name, is_there in present.items():
        layer, _ = split_layer(name)
        if layer is not None:
            layers.setdefault(layer, []).append(is_there)
        elif not is_there:
            outside.append(name)
    if whole := [layer for layer, there in layers.items() if all(there)]:
        yield f"{_ranges(whole)} from the file"
    if absent := [layer for layer, there in layers.items() if not any(there)]:
        yield f"{_ranges(absent)} random"
    for layer, there in layers.items():
        if any(there) and not all(there):
            yield f"layer {layer} partly, {sum(there)} of its {len(there)} tensors from the file"
    yield from (f"{name} random" for name in outside)


def _ranges(layers: Sequence[int]) -> str:
    """`layer 3`, `layers 0–1, 4`."""
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    shown = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
    return f"layer{'' if len(layers) == 1 else 's'} {shown}"


def _spare(present: Mapping[str, bool], layer_count: int, names: Collection[str]) -> Iterator[str]:
    """The file's tensors that no module asks for; those of layers left out on purpose don't count."""
    for name in names:
        canonical = canonical_name(name)
        layer, _ = split_layer(name)
        left_out = canonical is not None and layer is not None and layer < layer_count
        if name != ROPE_FREQUENCIES and canonical not in present and not left_out:
            yield name
