"""How a checkpoint fits a model, in the words that stand beside a result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tracetui.models.checkpoints.adapters import ADVICE, of_adapters
from tracetui.recording.record import layer_of
from tracetui.recording.trace import all_from_file
from tracetui.text import visible

_NAMES_SHOWN = 4


def fit(file: str, present: Mapping[str, bool], spare: Sequence[str]) -> list[str]:
    """Lines on what comes from `file` and what doesn't.

    present: the model's tensors by transformers' names, and whether the file has them. spare: those of the file's
    tensors, by its own names, that no module asks for.
    """
    from_file = sum(present.values())
    missing = len(present) - from_file
    if missing:
        lines = [f"{file}: {from_file} tensors from the file, {missing} random: {'; '.join(_parts(present))}"]
    else:
        lines = [all_from_file(file, from_file)]
    adapters = of_adapters(spare)
    if adapters:
        lines.append(f"{file}: {_first(adapters)}: of an adapter, which isn't applied here; {ADVICE}")
    if others := [name for name in spare if name not in set(adapters)]:
        lines.append(f"{file}: read over, no module asks for {_first(others)}")
    return lines


def _first(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(visible(name, 60) for name in sorted(names)[:_NAMES_SHOWN]) + more


def _parts(present: Mapping[str, bool]) -> Iterator[str]:
    """`layers 0–1 from the file`, `layer 2 random`, `layer 3 5 of 9 from the file`, `lm_head.weight random`."""
    layers: dict[int, list[bool]] = {}
    outside = []
    for name, is_there in present.items():
        layer = layer_of(name)
        if layer is not None:
            layers.setdefault(layer, []).append(is_there)
        elif not is_there:
            outside.append(name)
    if whole := [layer for layer, there in layers.items() if all(there)]:
        yield f"{layers_said(whole)} from the file"
    if absent := [layer for layer, there in layers.items() if not any(there)]:
        yield f"{layers_said(absent)} random"
    for layer, there in layers.items():
        if any(there) and not all(there):
            yield f"layer {layer} partly, {sum(there)} of its {len(there)} tensors from the file"
    yield from (f"{name} random" for name in outside)


def layers_said(layers: Sequence[int]) -> str:
    """`layer 3`, `layers 0–1, 4`."""
    return f"layer{'' if len(layers) == 1 else 's'} {ranges(layers)}"


def ranges(numbers: Sequence[int]) -> str:
    """`0–1, 4` of 0, 1 and 4."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
