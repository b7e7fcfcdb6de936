"""Whether a checkpoint has the model that is asked for at all: with whole parts of it random, every number would be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tracetui.errors import InputError
from tracetui.models.checkpoints.adapters import ADVICE, of_adapters
from tracetui.models.checkpoints.report import layers_said
from tracetui.recording.record import layer_of
from tracetui.text import visible

_FEW = 4
"""So many tensors may be missing from a file that has the others."""
_NUMBER = re.compile(r"\.\d+\.")
_ADVICE = "the file is in a form that tracetui doesn't read, or of another model; --weights random runs without it"


def refuse_absent_parts(path: Path, present: Mapping[str, bool], spare: Sequence[str], embedding: str) -> None:
    """Raises InputError where a file lacks a whole part of the model, as the run would be one of random weights.

    Single tensors may be missing, and layers for which the file has nothing. If it has other tensors instead, their
    names aren't understood.

    present: for each of the model's tensors, by transformers' name, whether the file has it. spare: the file's own
    names of tensors that no module asks for. embedding: the name of the token embedding's weight.
    """
    absent = [name for name, there in present.items() if not there]
    held = {layer for name, there in present.items() if there and (layer := layer_of(name)) is not None}
    of_layers = [name for name in absent if layer_of(name) is not None]
    outside = [name for name in absent if layer_of(name) is None]
    if spare and not held and of_layers:
        raise _refused(path, f"none of the model's {len(of_layers):,} tensors of layers is there", spare)
    if spare and (embedding in outside or len(outside) > _FEW):
        first = embedding if embedding in outside else outside[0]
        raise _refused(path, f"{visible(first, 80)}{_others(len(outside))} missing", spare)
    lacking = [name for name in of_layers if layer_of(name) in held]
    lost = _lost_kinds(present, held)
    if len(lacking) > _FEW or lost:
        kinds = lost or sorted({_kind(name) for name in lacking})
        layers = sorted({layer for name in lacking if (layer := layer_of(name)) is not None})
        raise _refused(path, f"{visible(kinds[0], 80)}{_others(len(kinds))} missing from {layers_said(layers)}", spare)


def _lost_kinds(present: Mapping[str, bool], held: set[int]) -> list[str]:
    """What is missing from every one of several layers that the file has, by its name within a layer."""
    counts: dict[str, int] = {}
    there = {_kind(name) for name, is_there in present.items() if is_there}
    for name in present:
        if layer_of(name) in held and (kind := _kind(name)) not in there:
            counts[kind] = counts.get(kind, 0) + 1
    return [kind for kind, count in counts.items() if count > 1]


def _kind(name: str) -> str:
    """A tensor's name within its layer: `self_attn.q_proj.weight`."""
    return _NUMBER.split(name, maxsplit=1)[-1]


def _others(count: int) -> str:
    return f" and {count - 1:,} more are" if count > 1 else " is"


def _refused(path: Path, lack: str, spare: Sequence[str]) -> InputError:
    advice = _ADVICE
    if adapters := of_adapters(spare):
        spare, advice = adapters, f"they are of an adapter: {ADVICE}; --weights random runs without"
    more = f" and {len(spare) - 1:,} more" if len(spare) > 1 else ""
    instead = f", and no module asks for the file's {visible(min(spare), 80)}{more}" if spare else ""
    return InputError(f"{path}: tensors: {lack}{instead}; {advice}")
