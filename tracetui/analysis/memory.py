"""How much memory a run will need, part by part."""

from __future__ import annotations

from dataclasses import dataclass

ITEMSIZE = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of an element; of other dtypes 1."""


@dataclass(frozen=True, slots=True)
class PartPlan:
    """One decoder layer, or what stands outside of all."""

    path: str
    """The layer's path; empty for what stands outside."""
    weights: int
    """Bytes that are made or read for it in the course of a run; of a mixture at most the experts that are hit."""
    recorded: int
    """Bytes of its tensors that stay."""


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """Bytes that a run will need in the memory of a GPU."""

    name: str
    """`cuda:0`"""
    weights: int
    """Largest total of weights there at one time."""
    kept: int
    """Part of `weights` that stays for the next prompt."""
    recorded: int
    """Recorded tensors of one pass: there until the processor's memory has them."""
    at_work: int
    """What is needed beside weights and recorded tensors."""
    cache: int
    """Keys and values that the model keeps for its next pass."""
    available: int
    """What the GPU can give now."""
    held: int = 0
    """Bytes of weights that are there already."""
    holds_pass: bool = True
    """Whether all that a pass records may stay there until the pass is described."""

    @property
    def peak(self) -> int:
        return self.weights + self.recorded + self.at_work + self.cache


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes that a run will need, computed from shapes before anything is allocated."""

    weights: int
    """Largest total of weights in memory at one time."""
    kept: int
    """Part of `weights` that stays for the next prompt."""
    activations: int
    """Recorded tensors of the whole run."""
    working: int
    """What the largest module but attention needs beside these while it runs."""
    base: int
    """The program itself: the interpreter and its libraries."""
    available: int
    """What the machine can give now."""
    logits: int = 0
    """Part of `activations`: the model's output."""
    attention: int = 0
    """Part of `activations`: what the attention kernels are given and return, with the masks."""
    parts: tuple[PartPlan, ...] = ()
    """Layer by layer, those left out not among them; then what stands outside."""
    cache: int = 0
    """Keys and values that the model keeps for its next pass; 0 where it generates nothing."""
    passing: int = 0
    """Part of `weights` that is there for one module alone, the head as a rule."""
    attending: int = 0
    """What the largest attention needs while it runs: before the head's weights are made and the logits recorded."""
    alive: int = 0
    """What its layer holds meanwhile, as far as that isn't recorded in memory: projections, queries and keys."""
    reused: int = 0
    """Memory of weights that are there meanwhile, or have gone and left it to the next ones."""
    kernels: int = 0
    """Code that is made for each number of tokens that experts are given, and stays."""

    on_device: DevicePlan | None = None
    """Beside all this, where the model runs on a GPU."""

    @property
    def planned(self) -> bool:
        """Whether anything is known: of a model that is given as code nothing is."""
        return bool(self.weights or self.activations or self.at_work)

    @property
    def at_work(self) -> int:
        """What is needed beside weights and recorded tensors, all of both together."""
        attending = self.attending + self.alive + self.reused
        return max(self.working, attending - self.passing - self.logits) + self.kernels

    @property
    def peak(self) -> int:
        return self.weights + self.activations + self.at_work + self.base + self.cache
