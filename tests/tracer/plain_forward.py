"""A plain transformers forward with hooks of its own and edits in straight lines: what every live run is held against.

Nothing of tracetui's tracer runs here but the source of the weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from tracetui.models.build import DTYPE_LOCK
from tracetui.models.runnable import make_runnable
from tracetui.models.weights.random_source import RandomSource
from tracetui.recipe import Recipe

KERNEL = "plain_kernel"
Ids = tuple[tuple[int, ...], ...]
Change = Callable[[torch.Tensor, torch.Tensor | None, str], torch.Tensor]
"""From a tensor, what came into its module, and its key, to what the model goes on with."""
Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class PlainEdit:
    """An edit as straight code: the sites that it is for, and what it does there."""

    text: str
    sites: frozenset[str]
    change: Change
    skips: bool = False


@dataclass(eq=False)
class Forward:
    """What one plain run gave, by the keys of a trace."""

    values: dict[str, Numbers] = field(default_factory=dict)
    before: dict[str, Numbers] = field(default_factory=dict)
    """Of what an edit changed, what had been there."""
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Modules as they began (`in`) and ended (`out`), in order."""
    tokens: list[list[int]] = field(default_factory=list)


class Plain:
    """An ordinary model of a recipe, with the weights that the recipe's seed gives."""

    def __init__(self, recipe: Recipe) -> None:
        self._model = _ordinary(recipe)
        self._paths = {id(module): path for path, module in self._model.named_modules()}
        self._config = self._model.config
        self._forward = Forward()
        self._edits: Mapping[str, Sequence[PlainEdit]] = {}
        self._given: dict[str, torch.Tensor] = {}
        self._pass = 0

    def run(self, ids: Ids, edits: Mapping[str, Sequence[PlainEdit]], new: int) -> Forward:
        """A pass over the prompts and one for each of `new` tokens chosen greedily; `edits` by the key they change."""
        self._forward, self._edits, self._pass = Forward(tokens=[list(row) for row in ids]), edits, 0
        longest = max(map(len, ids))
        padded = torch.tensor([[*row, *[0] * (longest - len(row))] for row in ids])  # [B,T]
        ragged = min(map(len, ids)) < longest
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids]) if ragged else None  # [B,T]
        with self._hooked(), torch.no_grad():
            output = self._model(input_ids=padded, attention_mask=mask, use_cache=not ragged)
            for number in range(new + 1):
                chosen = output.logits[:, -1].float().argmax(dim=-1)  # [B]
                for row, token in zip(self._forward.tokens, chosen.tolist(), strict=True):
                    row.append(token)
                if number == new:
                    break
                self._pass = number + 1
                output = self._model(input_ids=chosen[:, None], past_key_values=output.past_key_values, use_cache=True)
        return self._forward

    @contextmanager
    def _hooked(self) -> Iterator[None]:
        handles = []
        for path, module in self._model.named_modules():
            if ".experts." in path:
                continue
            handles.append(module.register_forward_pre_hook(self._begins(path), with_kwargs=True))
            handles.append(module.register_forward_hook(self._ends(path)))
        _current.append(self)
        try:
            yield
        finally:
            _current.pop()
            for handle in handles:
                handle.remove()

    def _begins(self, path: str) -> Any:
        layer, _, name = path.rpartition(".")

        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._forward.calls.append(("in", path))
            given = next((value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)), None)
            if given is not None:
                self._given[path] = given.clone()
            if layer.endswith(".layers"):
                self._note(f"{path}:input", args[0])
            elif name == "post_attention_layernorm":
                self._note(f"{layer}:attn_residual", args[0])

        return hook

    def _ends(self, path: str) -> Any:
        def hook(_: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
            self._forward.calls.append(("out", path))
            if not path:
                output.logits = self._passed("logits", output.logits)
                return output
            if isinstance(output, torch.Tensor):
                return self._passed(path, output, self._given.get(path))
            for part, item in enumerate(item for item in output.values()) if hasattr(output, "values") else ():
                if isinstance(item, torch.Tensor):
                    self._note(f"{path}#{part}" if part else path, item)
            if isinstance(output, tuple):
                tensors = [item for item in output if isinstance(item, torch.Tensor)]
                made = iter([self._passed(f"{path}#{n}" if n else path, item) for n, item in enumerate(tensors)])
                return tuple(next(made) if isinstance(item, torch.Tensor) else item for item in output)
            return None

        return hook

    def attention(self, module: nn.Module, given: Sequence[torch.Tensor], mask: Any, kwargs: Any) -> Any:
        """The kernel's call: queries [B,H,T,K], keys [B,G,S,K] and values [B,G,S,Kv]."""
        path = self._paths[id(module)]
        query, key, value = (self._passed(f"{path}:{role}", tensor) for role, tensor in zip("qkv", given, strict=True))
        if mask is not None:
            self._note(f"{path}:mask", mask)
        output, weights = sdpa_attention_forward(module, query, key, value, mask, **kwargs)
        heads = self._passed(f"{path}:heads", output.transpose(1, 2))  # [B,H,T,Kv]
        return heads.transpose(1, 2).contiguous(), weights

    def experts(self, module: Any, hidden: torch.Tensor, index: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Hidden states [N,D] through the experts [N,A] of each token, weighted [N,A]."""
        path = self._paths[id(module)]
        block = path.rpartition(".")[0]
        index = self._passed(f"{block}:experts", index)  # [N,A]
        weights = self._passed(f"{block}:routing_weights", weights)  # [N,A]
        parts: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        for expert in sorted(set(index.reshape(-1).tolist())):
            tokens, place = (index == expert).nonzero(as_tuple=True)  # [n]
            inputs = hidden[tokens]  # [n,D]
            self._note(f"{path}.{expert}:tokens", tokens)
            self._note(f"{path}.{expert}:in", inputs)
            gate, up = (inputs @ module.gate_up_proj[expert].t()).chunk(2, dim=-1)  # [n,F]
            output = (module.act_fn(gate) * up) @ module.down_proj[expert].t()  # [n,D]
            output = self._passed(f"{path}.{expert}", output)  # [n,D]
            parts.append((tokens, place, output * weights[tokens, place][:, None]))
        every = torch.zeros(*index.shape, hidden.shape[-1], dtype=parts[0][2].dtype)  # [N,A,D]
        for tokens, place, part in parts:
            every[tokens, place] = part
        return every.sum(dim=1).to(hidden.dtype)  # [N,D]

    def _passed(self, site: str, tensor: torch.Tensor, given: torch.Tensor | None = None) -> torch.Tensor:
        """Note a tensor, with its edits."""
        key = self._key(site)
        made = tensor
        for edit in self._edits.get(key, ()):
            made = edit.change(made.clone(), given, key)
        if made is not tensor:
            self._forward.before[key] = numbers(tensor)
        self._forward.values[key] = numbers(made)
        return made

    def _note(self, site: str, tensor: torch.Tensor) -> None:
        self._forward.values[self._key(site)] = numbers(tensor)

    def _key(self, site: str) -> str:
        return f"{site}@{self._pass}" if self._pass else site


_current: list[Plain] = []


def numbers(tensor: torch.Tensor) -> Numbers:
    """Values as a trace gives them: bf16 as float32."""
    wide = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    found: Numbers = wide.detach().clone().numpy()
    return found


def _ordinary(recipe: Recipe) -> Any:
    runnable = make_runnable(recipe)
    source = RandomSource(recipe.seed, float(getattr(runnable.built.config, "initializer_range", 0.02)))
    dtype = getattr(torch, recipe.dtype)
    with DTYPE_LOCK:
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**recipe.config), dtype=dtype).eval()
    own = dict(model.named_parameters()) | dict(model.named_buffers())
    for _, slot in runnable.weights.all_slots():
        own[slot.spec.name].data = source.read(slot.spec, None, lambda made: None)
    model.config._attn_implementation = KERNEL
    for module in model.modules():
        if hasattr(module, "gate_up_proj"):
            module.config._experts_implementation = KERNEL
    return model


def _attention(module: nn.Module, query: Any, key: Any, value: Any, attention_mask: Any, **kwargs: Any) -> Any:
    return _current[-1].attention(module, (query, key, value), attention_mask, kwargs)


def _experts(module: nn.Module, hidden_states: Any, top_k_index: Any, top_k_weights: Any) -> Any:
    return _current[-1].experts(module, hidden_states, top_k_index, top_k_weights)


AttentionInterface.register(KERNEL, _attention)
AttentionMaskInterface.register(KERNEL, sdpa_mask)
ALL_EXPERTS_FUNCTIONS.register(KERNEL, _experts)


def _at(index: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    def changed(tensor: torch.Tensor, given: torch.Tensor | None, key: str) -> torch.Tensor:
        tensor[index] = change(tensor[index])
        return tensor

    return changed


def _all(change: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    return _at(slice(None), change)


def _skip(tensor: torch.Tensor, given: torch.Tensor | None, key: str) -> torch.Tensor:
    assert given is not None
    return given.clone()


def _noise(std: float, seed: int) -> Change:
    def changed(tensor: torch.Tensor, given: torch.Tensor | None, key: str) -> torch.Tensor:
        site, at, when = key.partition("@")
        digest = hashlib.blake2b(f"{seed}:{site}{at}{when}#0".encode(), digest_size=7).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest, "little"))
        return tensor + torch.randn(tensor.shape, generator=generator).to(tensor.dtype) * std

    return changed


def _rows(tokens: slice | int, experts: Sequence[int]) -> Change:
    def changed(tensor: torch.Tensor, given: torch.Tensor | None, key: str) -> torch.Tensor:
        tensor[tokens] = torch.tensor(experts)
        return tensor

    return changed


def _edit(text: str, sites: str | Sequence[str], change: Change, skips: bool = False) -> PlainEdit:
    named = (sites,) if isinstance(sites, str) else sites
    return PlainEdit(text, frozenset(f"model.{site}" if site != "logits" else site for site in named), change, skips)


EDITS = (
    _edit("layers.1.mlp: scale 3", "layers.1.mlp", _all(lambda part: part * 3)),
    _edit("layers.*.self_attn: noise 0.1 seed 5", [f"layers.{n}.self_attn" for n in range(3)], _noise(0.1, 5)),
    _edit("layers.0.self_attn head 2: zero", "layers.0.self_attn:heads", _at(np.s_[:, 2], torch.zeros_like)),
    _edit("layers.1.self_attn:q head 1: scale 2", "layers.1.self_attn:q", _at(np.s_[:, 1], lambda part: part * 2)),
    _edit("layers.1.self_attn:k[:,0]: scale -1", "layers.1.self_attn:k", _at(np.s_[:, 0], lambda part: -part)),
    _edit("layers.0.self_attn:v[:,1]: zero", "layers.0.self_attn:v", _at(np.s_[:, 1], torch.zeros_like)),
    _edit("layers.1: skip", "layers.1", _skip, skips=True),
    _edit(
        "layers.1.input_layernorm[0,-1]: set 0.5",
        "layers.1.input_layernorm",
        _at(np.s_[0, -1], lambda part: torch.full_like(part, 0.5)),
    ),
    _edit("embed_tokens: scale 2", "embed_tokens", _all(lambda part: part * 2)),
    _edit("model.norm: clamp -0.5 0.5", "norm", _all(lambda part: part.clamp(-0.5, 0.5))),
    _edit("logits[:,-1,42]: set 1000", "logits", _at(np.s_[:, -1, 42], lambda part: torch.full_like(part, 1000))),
    _edit(
        "layers.0.self_attn.o_proj[0,0,3]: set inf",
        "layers.0.self_attn.o_proj",
        _at(np.s_[0, 0, 3], lambda part: torch.full_like(part, torch.inf)),
    ),
)  # fmt: skip
DENSE_EDITS = (
    _edit(
        "*.up_proj: clamp -0.01 inf",
        [f"layers.{n}.mlp.up_proj" for n in range(3)],
        _all(lambda part: part.clamp(-0.01)),
    ),
)
EXPERT_EDITS = (
    _edit("layers.1.mlp expert 1: zero", "layers.1.mlp.experts.1", _all(torch.zeros_like)),
    _edit("layers.0.mlp:routing_weights: scale 0.5", "layers.0.mlp:routing_weights", _all(lambda part: part * 0.5)),
)
