"""Modules that hold all experts of a layer, each parameter one tensor with an axis of experts first."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn

from tracetui.analysis.experts.fields import CHOSEN_COUNTS, EXPERT_COUNTS
from tracetui.models.config_help.layer_fields import config_field
from tracetui.models.weights.memory import ReusedMemory
from tracetui.models.weights.sources import TensorSpec, Tick, WeightSource

SERVED = ("grouped_mm", "batched_mm", "eager")
"""The implementations of transformers' experts interface that tracetui runs expert by expert."""
OWN_PREFIX = "tracetui_"
"""Begins the names under which these are registered."""
CHOICE = ("top_k_index", "top_k_weights")
"""What transformers calls the experts that tokens chose and their weights, [N,A] each, where these are handed on."""
_COUNTS = ("top_k", "num_experts")
_DECORATED = ("has_gate", "has_bias", "has_post_expert_norm", "is_transposed")
"""What transformers' `use_experts_implementation` gives the modules whose forward it can exchange."""

ExpertWeights = Mapping[str, torch.Tensor]
"""One expert's parameters by their names in the module of all, without the axis of experts."""


def runs_singly(module: nn.Module) -> bool:
    """Whether a module's experts go through transformers' interface, so that tracetui can run them one by one."""
    own = vars(module)
    if _DECORATED[0] not in own or not all(name in own for name in _DECORATED):
        return False
    if not isinstance(getattr(module, "num_experts", None), int):
        return False
    said = getattr(own.get("config"), "_experts_implementation", None)
    return isinstance(said, str) and said.removeprefix(OWN_PREFIX) in SERVED


def is_handed_choices(module: nn.Module) -> bool:
    """Whether a module outside that interface is handed which experts tokens chose, with their weights."""
    kind: Any = type(module)
    return _takes_choices(kind) and not runs_singly(module)


@cache
def _takes_choices(kind: Any) -> bool:
    return set(CHOICE) <= set(inspect.signature(kind.forward).parameters)


def is_router(module: nn.Module) -> bool:
    """Whether a module says itself among how many experts it chooses how many."""
    kind: Any = type(module)
    for name in _COUNTS:
        if name not in vars(module) and not _has(kind, name):
            # Beside being no router: nn.Module's own getattr is slow where there is none.
            return False
    found = (getattr(module, name, None) for name in _COUNTS)
    whole = all(isinstance(count, int) and not isinstance(count, bool) and count > 0 for count in found)
    return whole and any(True for _ in module.parameters())


@cache
def _has(kind: Any, name: str) -> bool:
    return hasattr(kind, name)


def may_have_experts(module: nn.Module) -> bool:
    """Whether a module is a router, or experts in one of these ways, or may become so by its configuration alone."""
    kind: Any = type(module)
    return _DECORATED[0] in vars(module) or _takes_choices(kind) or is_router(module)


def classes_count(module: nn.Module) -> int:
    """Among how many experts a module's choices are, those that compute nothing included: the most that it names."""
    named = (value for name, value in vars(module).items() if "expert" in name)
    return max((value for value in named if isinstance(value, int) and not isinstance(value, bool)), default=0)


def expert_count(module: nn.Module) -> int:
    """How many experts such a module holds."""
    count = module.num_experts
    assert isinstance(count, int)
    return count


def is_per_expert(module: nn.Module, spec: TensorSpec) -> bool:
    """Whether a parameter of such a module has a row for each expert."""
    return len(spec.shape) > 1 and spec.rows == expert_count(module)


def is_routed(shape: tuple[int, ...], experts: int | None, among_experts: bool) -> bool:
    """Whether a parameter of such a shape holds a matrix for each expert, or a row where it lies among experts.

    JetMoE and Granite have matrices of all experts beside the router, in no module of their own.
    """
    if experts is None or len(shape) < 2 or shape[0] != experts:
        return False
    return among_experts or (len(shape) == 3 and min(shape) > 1)


def experts_per_token(config: Any) -> int | None:
    """How many routed experts a token uses, if the configuration says so."""
    return _first_count(config, CHOSEN_COUNTS)


def configured_experts(config: Any) -> int | None:
    """How many routed experts a block has, if the configuration says so."""
    return _first_count(config, EXPERT_COUNTS)


def _first_count(config: Any, names: Sequence[str]) -> int | None:
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    said = (config_field(text, name) for name in names)
    return next((count for count in said if isinstance(count, int) and count > 0), None)


class ExpertStore:
    """Makes one expert's weights when it is hit; what fits the budget stays for the next time."""

    def __init__(
        self,
        specs: Mapping[nn.Module, Mapping[str, TensorSpec]],
        source: WeightSource,
        budget: int,
        memory: ReusedMemory,
    ) -> None:
        self._specs = specs
        self._source = source
        self._budget = budget
        self._kept: dict[tuple[nn.Module, int], ExpertWeights] = {}
        self.kept_bytes = 0
        """Bytes of what is kept now."""
        self._memory = memory

    def __contains__(self, module: nn.Module) -> bool:
        return module in self._specs

    def read(self, module: nn.Module, expert: int, making: Callable[[str, int, int], None]) -> ExpertWeights:
        """The weights of one expert, made unless they were kept."""
        kept = self._kept.get((module, expert))
        if kept is not None:
            return kept
        size = self.expert_bytes(module)
        if self.kept_bytes + size > self._budget:
            with self._memory.used():
                return self._made(module, expert, making)
        made = self._kept[module, expert] = self._made(module, expert, making)
        self.kept_bytes += size
        return made

    def _made(self, module: nn.Module, expert: int, making: Callable[[str, int, int], None]) -> ExpertWeights:
        specs = self._specs[module].items()
        return {name: made_rows(self._source, spec, [expert], making)[0] for name, spec in specs}

    def provenance(self, module: nn.Module, expert: int) -> str:
        """Where one expert's parameters come from, joined by `+`: a file may have some experts of a layer only."""
        found = {self._source.provenance(spec, [expert]) or "" for spec in self._specs[module].values()}
        return "+".join(sorted(found))

    def expert_bytes(self, module: nn.Module) -> int:
        """Bytes of one expert."""
        return sum(spec.nbytes(1) for spec in self._specs[module].values())

    @property
    def largest_bytes(self) -> int:
        """Bytes of the largest expert of all; 0 without experts."""
        return max(map(self.expert_bytes, self._specs), default=0)

    def bytes_after(self, choices: int) -> int:
        """Bytes that stay at most once each layer has made that many choices."""
        hit = sum(min(choices, expert_count(module)) * self.expert_bytes(module) for module in self._specs)
        return min(self._budget, hit)

    @contextmanager
    def read_anew(self, modules: Collection[nn.Module]) -> Iterator[None]:
        """Experts of these modules are read when they are hit in this `with`, and not kept beyond it."""
        kept, size = self._kept, self.kept_bytes
        self._kept = {key: weights for key, weights in kept.items() if key[0] not in modules}
        try:
            yield
        finally:
            self._kept, self.kept_bytes = kept, size

    def clear(self) -> None:
        self._kept.clear()
        self.kept_bytes = 0


def made_rows(
    source: WeightSource, spec: TensorSpec, rows: Sequence[int] | None, making: Callable[[str, int, int], None]
) -> torch.Tensor:
    """Read a tensor, or rows of it, from a source, and tell `making` how far it is."""
    done, total = 0, spec.nbytes(None if rows is None else len(rows))

    def tick(made: int) -> None:
        nonlocal done
        done += made
        making(spec.name, done, total)

    making(spec.name, 0, total)
    counted: Tick = tick
    return source.read(spec, rows, counted)
