"""What must hold on a GPU, counted: each row says how many are wrong."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.benchmarks.results import Results
from tests.device.models import Size
from tracetui.expr.edit_parse import parse_edit
from tracetui.expr.stop import DEFAULT_STOPS
from tracetui.recording.trace import Trace
from tracetui.tracer.call import record_call, record_module
from tracetui.tracer.run import trace_recipe

_TOKENS = 32
_CLOSE = 1e-3
"""How far apart float32 sums may be that were taken in another order."""


def captured(results: Results, size: Size, device: torch.device) -> None:
    """Values are those that modules returned, bit by bit; also where something writes into them at once."""
    model, ids = size.model(device), torch.randint(5, size.vocabulary, (1, _TOKENS), device=device)
    returned: dict[str, torch.Tensor] = {}
    for path, module in model.named_modules():
        module.register_forward_hook(partial(_keep, returned, path))
    trace = record_call(model, input_ids=ids, use_cache=False)
    plain = [record for record in trace.records if not record.role and not record.part and record.site in returned]
    wrong = [record.site for record in plain if not _same(trace, record.site, returned[record.site])]
    _count(results, f"{size.name}: values that aren't what {len(plain)} modules returned", wrong)
    in_place = _WritesLater(size.hidden).to(device)
    trace = record_call(in_place, torch.ones(64, size.hidden, device=device))
    wrong = [] if _same(trace, "first", in_place.returned) else ["first"]
    _count(results, "values that what was written later has changed", wrong)


def stops(results: Results, size: Size, device: torch.device) -> None:
    """A NaN among weights is told at the module whose they are."""
    model, path = size.model(device), f"model.layers.{size.layers // 2}.mlp.up_proj"
    with torch.no_grad():
        model.get_submodule(path).get_parameter("weight")[3, 5] = torch.nan
    hits: list[int] = []
    ids = torch.randint(5, size.vocabulary, (1, _TOKENS), device=device)

    def hear(event: Any) -> None:
        hits.extend(hit.index for hit in getattr(event, "hits", ()))

    trace = record_module(model, (), {"input_ids": ids, "use_cache": False}, stops=DEFAULT_STOPS, emit=hear)
    first = trace.records[min(hits)].site if hits else "nothing"
    _count(results, f"{size.name}: a planted NaN told elsewhere", [] if first == path else [first])


def edits(results: Results, size: Size, device: torch.device) -> None:
    """An edit does to the logits what a hook of one's own does."""
    model, ids = size.model(device), torch.randint(5, size.vocabulary, (1, _TOKENS), device=device)
    path = f"model.layers.{size.layers // 2}.mlp"
    edit = parse_edit(f"{path}: scale 0.5", "edits")
    trace = record_module(model, (), {"input_ids": ids, "use_cache": False}, edits=(edit,))
    handle = model.get_submodule(path).register_forward_hook(lambda module, args, output: output * 0.5)
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits
    handle.remove()
    _count(results, f"{size.name}: edits that did something else", [] if _same(trace, "logits", logits) else [path])


def devices(results: Results, size: Size, device: torch.device) -> None:
    """The records of the processor, in float32 and two layers, with weights that stay and such that come and go."""
    fields: dict[str, Any] = {"dtype": "float32", "layers": size.recipe(1).layers.__class__(0, 2)}
    plain = trace_recipe(size.recipe(_TOKENS, **fields))
    for memory, name in ((None, "weights that stay"), (0, "weights streamed")):
        there = trace_recipe(size.recipe(_TOKENS, **fields, device=str(device), memory=memory))
        keys = {record.key for record in plain.records} ^ {record.key for record in there.records}
        _count(results, f"{size.name}, 2 layers, {name}: records on one device alone", sorted(keys))
        far = [record.key for record in plain.records if _distance(plain, there, record.key) > _CLOSE]
        _count(results, f"{size.name}, 2 layers, {name}: records off the processor's", far)


def memory(results: Results, size: Size, device: torch.device) -> None:
    """Memory that isn't there is asked for by the module's name, and nothing stays on the GPU."""
    try:
        record_call(_Hungry(), torch.ones(2, device=device))
        told = ""
    except torch.OutOfMemoryError as error:
        told = " ".join(getattr(error, "__notes__", ()))
    _count(results, "memory that ran out without the module's name", [] if "hungry" in told else [told])
    model, ids = size.model(device), torch.randint(5, size.vocabulary, (1, _TOKENS), device=device)
    with torch.no_grad():
        model(input_ids=ids, use_cache=False)
    before = torch.cuda.memory_allocated(device)
    trace = record_call(model, input_ids=ids, use_cache=False)
    assert len(trace.records) > size.layers
    # Staging stays with the run's recorder.
    left = torch.cuda.memory_allocated(device) - before
    results.add(f"{size.name}: left on the GPU by a trace", [left / 2**20], unit="MiB", target=64)


class _Hungry(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hungry = _Hungriest()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.hungry(x)
        return made


class _Hungriest(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.new_empty(2**43)


class _WritesLater(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.first(x)  # [N,D]
        self.returned = made.detach().clone()
        return made.mul_(3)


def _keep(
    returned: dict[str, torch.Tensor], path: str, module: nn.Module, args: tuple[Any, ...], output: object
) -> None:
    first = output[0] if isinstance(output, tuple) else output
    if isinstance(first, torch.Tensor):
        returned[path] = first.detach().clone()


def _same(trace: Trace, site: str, tensor: torch.Tensor) -> bool:
    return np.array_equal(trace[site], tensor.detach().float().cpu().numpy(), equal_nan=True)


def _distance(one: Trace, other: Trace, key: str) -> float:
    if key not in other:
        return 0.0
    mine, theirs = one[key].astype(np.float64), other[key].astype(np.float64)
    return float(np.linalg.norm(mine - theirs)) / (float(np.linalg.norm(mine)) or 1.0)


def _count(results: Results, label: str, wrong: list[str]) -> None:
    results.add(label, [float(len(wrong))], unit="wrong", target=0)
    if wrong:
        print(f"      {', '.join(wrong[:6])}", flush=True)
