"""Two runs of one model that any right comparison finds the same, by what is other about the second."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, StaticCache

import tracetui
from tests.families.models import IDS, Family, distance
from tests.truth.right.spike import spiked
from tracetui.api.trace import Trace
from tracetui.recording.value import Array

OTHER_IDS = [88, 12, 31, 50, 7, 101, 19]
"""A shorter row."""
_PAD = 4
_EXACT = 1e-6
"""The same in float64, of models that make rotary angles and norms in float32."""
_ALIKE = 1e-4
"""How far a model's own logits may be apart in two calls that mean the same."""


class NoPairError(Exception):
    """The family has no such pair."""


Dump = dict[str, Array]
Pair = tuple[Trace | Dump, Trace | Dump]


@dataclass(frozen=True, eq=False)
class Runs:
    """A family's model, and the run that most pairs have in common."""

    family: Family

    @cached_property
    def whole(self) -> Trace:
        """Of the model as it is, in float32."""
        return run(self.family.model, self.family.ids)


def run(model: nn.Module, ids: Tensor, **options: Any) -> Trace:
    """One pass over prompts [B,T]."""
    return tracetui.trace(model, input_ids=ids, **options)


def cast(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy in another dtype."""
    return copy.deepcopy(model).to(dtype)


def _kernels(runs: Runs) -> Pair:
    return run(runs.family.eager, runs.family.ids), runs.whole


def _hooks(runs: Runs) -> Pair:
    return dumped(runs.family.model, runs.family.ids), runs.whole


def dumped(model: nn.Module, ids: Tensor) -> Dump:
    """What forward hooks on all modules keep: the last call's tensor, or the first of several, in float32."""
    kept: Dump = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple | list) and output else output
            if isinstance(first, Tensor):
                kept[name] = (first.float() if first.is_floating_point() else first).numpy().copy()

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in model.named_modules() if name]
    try:
        with torch.no_grad():
            kept["logits"] = model(input_ids=ids).logits.float().numpy()
    finally:
        for handle in handles:
            handle.remove()
    return kept


def _hidden_states(runs: Runs) -> Pair:
    with torch.no_grad():
        states = runs.family.model(input_ids=runs.family.ids, output_hidden_states=True).hidden_states
    if not states or any(state is None for state in states):
        raise NoPairError("no hidden states are returned")
    return {f"hidden_states.{number}": state.numpy() for number, state in enumerate(states)}, runs.whole


def _in_dtype(dtype: torch.dtype) -> Callable[[Runs], Pair]:
    return lambda runs: (run(cast(runs.family.model, dtype), runs.family.ids), runs.whole)


def _dumped_in_bfloat16(runs: Runs) -> Pair:
    return dumped(cast(runs.family.model, torch.bfloat16), runs.family.ids), runs.whole


def _bfloat16_kernels(runs: Runs) -> Pair:
    family = runs.family
    return run(cast(family.eager, torch.bfloat16), family.ids), run(cast(family.model, torch.bfloat16), family.ids)


def _spiked(of_input: bool, dtype: torch.dtype = torch.float32, eager: bool = False) -> Callable[[Runs], Pair]:
    def pair(runs: Runs) -> Pair:
        family = runs.family
        model = spiked(family.model, family.ids, of_input)
        if model is None:
            raise NoPairError("its MLP's last weight isn't known")
        other = cast(model, dtype)
        if eager:
            other = copy.deepcopy(family.eager)
            other.load_state_dict(model.state_dict())
        return run(other, family.ids), run(model, family.ids)

    return pair


def _padded(left: bool) -> Callable[[Runs], Pair]:
    def pair(runs: Runs) -> Pair:
        ids, length = runs.family.ids, len(IDS)
        padding, seen = torch.zeros(1, _PAD, dtype=ids.dtype), torch.ones(1, length, dtype=ids.dtype)
        parts = ((padding, ids), (torch.zeros_like(padding), seen))
        row, mask = (torch.cat(part if left else part[::-1], dim=1) for part in parts)
        options = {"attention_mask": mask}
        if "position_ids" in inspect.signature(runs.family.model.forward).parameters:
            options["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
        with torch.no_grad():
            logits = runs.family.model(input_ids=row, **options).logits[0]
        if distance((logits[_PAD:] if left else logits[: len(IDS)]).numpy(), runs.family.logits[0]) > _ALIKE:
            raise NoPairError("the model itself counts padding as tokens")
        return run(runs.family.model, row, **options), runs.whole

    return pair


def _beside_others(runs: Runs) -> Pair:
    model, length = runs.family.model, len(OTHER_IDS)
    ids = torch.tensor([OTHER_IDS, IDS[:length]])
    return run(model, ids), run(model, ids[1:])


def _generated(runs: Runs) -> Pair:
    passes = tracetui.trace(str(runs.family.folder), tokens=IDS, generate=3, eos=[])
    tokens = [token.id for token in passes.tokens[0]][:-1]
    _require_same_logits(runs.family, tokens)
    return passes, tracetui.trace(str(runs.family.folder), tokens=tokens)


def _require_same_logits(family: Family, tokens: list[int]) -> None:
    """Raise NoPairError if the model's own generation computes other logits than one call over the same tokens.

    RoBERTa and its like count positions otherwise then, Zamba 2 clamps its time steps otherwise, by so little that
    float64 alone tells it.
    """
    try:
        apart, most = _apart_when_generating(cast(family.model, torch.float64), tokens), _EXACT
    except RuntimeError:
        # Grouped matrix products know no float64.
        apart, most = _apart_when_generating(family.model, tokens), _ALIKE
    if apart > most:
        raise NoPairError("the model itself computes otherwise when it generates")


def _apart_when_generating(model: Any, tokens: list[int]) -> float:
    new = len(tokens) - len(IDS) + 1
    with torch.no_grad():
        whole = model(input_ids=torch.tensor([tokens])).logits[0, -new:]  # [new,V]
        made = model.generate(
            torch.tensor([IDS]),
            max_new_tokens=new,
            do_sample=False,
            eos_token_id=None,
            output_logits=True,
            return_dict_in_generate=True,
        )
    same_tokens = made.sequences[0, : len(tokens)].tolist() == tokens
    return distance(torch.cat(made.logits).numpy(), whole.numpy()) if same_tokens else float("inf")


def _static_cache(runs: Runs) -> Pair:
    model, ids = runs.family.model, runs.family.ids

    def options() -> dict[str, Any]:
        return {
            "past_key_values": StaticCache(config=model.config, max_cache_len=2 * len(IDS)),
            "use_cache": True,
        }

    with torch.no_grad():
        logits = model(input_ids=ids, **options()).logits
    if distance(logits.numpy(), runs.family.logits) > _ALIKE:
        raise NoPairError("the model itself computes otherwise with a cache of fixed length")
    return run(model, ids, **options()), runs.whole


def _streamed(runs: Runs) -> Pair:
    folder = str(runs.family.folder)
    return tracetui.trace(folder, tokens=IDS, memory="0"), tracetui.trace(folder, tokens=IDS)


def _some_layers(runs: Runs) -> Pair:
    folder = str(runs.family.folder)
    return tracetui.trace(folder, tokens=IDS, layers=2), tracetui.trace(folder, tokens=IDS)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _other_threads(runs: Runs) -> Pair:
    with _threads(2):
        two = run(runs.family.model, runs.family.ids)
    with _threads(1):
        return two, run(runs.family.model, runs.family.ids)


def _saved_in_float64(runs: Runs) -> Pair:
    kept = dumped(runs.family.model, runs.family.ids)
    floats = ((name, array.astype(np.float64) if array.dtype == np.float32 else array) for name, array in kept.items())
    return dict(floats), run(runs.family.eager, runs.family.ids)


_DEEP = 30
"""Layers of a model as deep as those in use, but narrow."""


@cache
def _deep(of_input: bool) -> tuple[nn.Module, Tensor]:
    """A Llama of many layers with massive activations, and a prompt [1,T]; the same one for every family."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=_DEEP,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.08,
    )
    ids = torch.randint(3, 64, (1, 24), generator=torch.Generator().manual_seed(0))
    model = spiked(LlamaForCausalLM(config).eval(), ids, of_input)
    assert model is not None
    return model, ids


def _of_many_layers(of_input: bool) -> Callable[[Runs], Pair]:
    def pair(runs: Runs) -> Pair:
        if runs.family.name != "llama":
            raise NoPairError("one family stands for all")
        model, ids = _deep(of_input)
        return run(cast(model, torch.bfloat16), ids), run(model, ids)

    return pair


PAIRS: Mapping[str, Callable[[Runs], Pair]] = {
    "eager": _kernels,
    "hooks": _hooks,
    "states": _hidden_states,
    "bf16": _in_dtype(torch.bfloat16),
    "fp16": _in_dtype(torch.float16),
    "bf16 as f32": _dumped_in_bfloat16,
    "f32 as f64": _saved_in_float64,
    "bf16 eager": _bfloat16_kernels,
    "row": _spiked(of_input=False, eager=True),
    "row bf16": _spiked(of_input=False, dtype=torch.bfloat16),
    "row fp16": _spiked(of_input=False, dtype=torch.float16),
    "column": _spiked(of_input=True, eager=True),
    "column bf16": _spiked(of_input=True, dtype=torch.bfloat16),
    "deep row bf16": _of_many_layers(of_input=False),
    "deep column bf16": _of_many_layers(of_input=True),
    "padded left": _padded(left=True),
    "padded right": _padded(left=False),
    "batch": _beside_others,
    "generated": _generated,
    "static": _static_cache,
    "streamed": _streamed,
    "layers": _some_layers,
    "threads": _other_threads,
}
"""What is other in the first run. `row` and `column`: beside massive activations, by what of a weight was scaled;
`deep`: in thirty layers."""
