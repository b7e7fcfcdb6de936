"""Of a module that returns what isn't finite: which of its own weights aren't either."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch
from torch import nn

from tracetui.models.ranks.local import is_all_here, local_tensor, whole_index
from tracetui.models.weights.experts import runs_singly
from tracetui.models.weights.streaming import Weights
from tracetui.recording.record import INPUT, BadWeight
from tracetui.tracer.capture.readable import is_readable
from tracetui.tracer.hooks.pass_context import Pass, weights_there


def bad_weights(
    path: str,
    module: nn.Module,
    output: torch.Tensor | None,
    weights: Weights | None,
    ran: Callable[[str], bool] = lambda path: True,
    anywhere: bool = False,
) -> tuple[BadWeight, ...] | None:
    """The weights read by a module's own code that hold NaN or infinities; None if they were not checked.

    output: the module's output, which isn't finite. Weights are checked only if all of the module's own are in memory,
    and only if the output's first row isn't finite: a bad weight spoils every row. For a table, a convolution, several
    experts, or where `anywhere` is set, any bad row will do. Of a weight that lies on several ranks only the part here
    is looked at, which tells nothing of a sum over all. weights: puts weights in memory; it may have left out
    some, or some rows of a table. ran: whether the forward of the module at a path ran; if not, the module around it
    reads its weights.
    """
    readers = [(path, module), *_never_ran(path, module, ran)] if module._modules else [(path, module)]
    anywhere = anywhere or _spoils_some_rows(module)
    if not any(reader._parameters for _, reader in readers) or not is_spoilt(output, anywhere):
        return None
    if len(_present(module, weights)) < len(_present(module, None)):
        return None
    found = tuple(bad for at, reader in readers for bad in _bad_of(at, reader, weights))
    if not found and not all(
        _tells(own, output) for _, reader in readers for own in _present(reader, weights).values()
    ):
        return None
    return found


class OwnWeights:
    """Those that modules' own code reads between their parts. Of one watch; used by the model's thread alone."""

    def __init__(self, watched: Pass, module_at: Callable[[str], nn.Module | None]) -> None:
        """module_at: the module at a path; None where it can't be asked any more."""
        self._watched, self._frames, self._recorder = watched, watched.frames, watched.recorder
        self._module_at = module_at

    def examine(self, role: str, made: torch.Tensor) -> None:
        """Whether weights that a module's own code reads made what isn't finite; an input is its caller's work."""
        above = 2 if role == INPUT else 1
        if len(self._frames) < above:
            return
        path = self._frames[-above].path
        around = self._module_at(path)
        if around is None:
            return
        with weights_there(self._watched, around):
            bad = bad_weights(path, around, made, self._watched.weights, self._recorder.has_run, anywhere=True)
        if bad is not None:
            self._recorder.bad_weights(path, bad)


def _tells(weight: torch.Tensor, output: torch.Tensor | None) -> bool:
    """Whether an output depends on nothing of a weight but what lies here, as columns of it do on their rows."""
    if is_all_here(weight) or output is None:
        return True
    rows = local_tensor(weight).shape[0]
    return output.ndim > 0 and output.shape[-1] == rows != weight.shape[0]


def _spoils_some_rows(module: nn.Module) -> bool:
    """Whether a weight may spoil some rows of an output alone: those that look it up, of a channel or of an expert."""
    own = (each for each in module._parameters.values() if each is not None)
    return isinstance(module, nn.Embedding) or any(each.ndim > 2 for each in own)


def _never_ran(path: str, module: nn.Module, ran: Callable[[str], bool]) -> Iterator[tuple[str, nn.Module]]:
    """The modules inside another one whose forward was not called, without those inside modules that ran."""
    for name, child in module.named_children():
        at = f"{path}.{name}" if path else name
        if not ran(at) and not runs_singly(child):
            yield at, child
            yield from _never_ran(at, child, ran)


def _present(module: nn.Module, weights: Weights | None) -> dict[str, torch.Tensor]:
    """A module's own parameters, as far as they are there."""
    return dict(module.named_parameters(recurse=False) if weights is None else weights.present(module))


def _bad_of(path: str, module: nn.Module, weights: Weights | None) -> Iterator[BadWeight]:
    for bad in _bad(path, _present(module, weights).items()):
        if weights is None or not bad.first:
            yield bad
        else:
            yield replace(bad, first=(weights.row(module, bad.first[0]), *bad.first[1:]))


def bad_among(path: str, weights: Iterable[tuple[str, torch.Tensor]]) -> tuple[BadWeight, ...]:
    """The same of weights that stand in no module, as of one expert of many: names and tensors."""
    return tuple(_bad(path, weights))


def is_spoilt(output: torch.Tensor | None, anywhere: bool = False) -> bool:
    """Whether the first row of an output isn't finite, or any."""
    if not is_readable(output):
        return False
    if not output.is_floating_point() or not output.numel():
        return False
    row = output if anywhere or output.ndim < 2 else output[(0,) * (output.ndim - 1)]
    return not math.isfinite(row.detach().float().sum().item())


def with_kinds(provenance: str, weights: Iterable[BadWeight]) -> str:
    """Where weights came from, with `nan` where some of them are not finite."""
    return "+".join(filter(None, (provenance, "nan" if any(True for _ in weights) else "")))


def _bad(path: str, weights: Iterable[tuple[str, torch.Tensor]]) -> Iterator[BadWeight]:
    for name, weight in weights:
        if not is_readable(local := local_tensor(weight)):
            continue
        values = local.detach()
        places = torch.nonzero(~torch.isfinite(values.float() if values.is_floating_point() else values))
        if len(places):
            whole = f"{path}.{name}" if path else name
            yield BadWeight(whole, len(places), weight.numel(), whole_index(weight, places[0].tolist()))
