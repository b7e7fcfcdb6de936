"""Routing and experts, told later: what was chosen, what each expert saw, and what it made of that."""

from __future__ import annotations

import torch
from torch import nn

from tracetui.tracer.deferred import describing as steps
from tracetui.tracer.deferred.pass_log import PassLog
from tracetui.tracer.hooks.experts import ExpertWatch
from tracetui.tracer.hooks.work_clock import WorkClock
from tracetui.tracer.observer import Choice


class DeferredExperts:
    """What an Observer is told of experts. Used by the model's thread alone."""

    def __init__(self, experts: ExpertWatch, log: PassLog, clock: WorkClock) -> None:
        self._experts, self._log, self._now = experts, log, clock.now
        self._number, self._steps, self._takes = log.snapshots.number, log.steps, log.takes
        self._stand_in = False
        """Whether the weights of the experts that run now stand in their module."""
        self.expert_weights = experts.expert_weights

    def experts_in(self, module: nn.Module, experts: torch.Tensor, routing_weights: torch.Tensor) -> Choice:
        self._stand_in = self._experts.stand_in(module)
        routing = None
        if self._log.is_calm() and self._experts.are_all_here(module):
            # At once: what the module around the router looks like is asked, and nobody knows how long it lives.
            routing = self._experts.explained(module, experts, routing_weights)
            roles = routing.roles(experts, routing_weights)
            numbers = self._log.numbers(tuple(roles.values()))
            if self._takes(numbers):
                self._steps += steps.ROUTED, tuple(roles), numbers, 0.0
                return experts, routing_weights
        self._log.settle()
        return self._experts.experts_in(module, experts, routing_weights, routing)

    def expert_in(self, expert: int, tokens: torch.Tensor, inputs: torch.Tensor) -> None:
        at, numbers = self._now(), (self._number(tokens), self._number(inputs))
        if self._stand_in and self._takes(numbers):
            self._steps += steps.EXPERT_BEGAN, expert, numbers, at
            return
        self._log.settle()
        self._experts.expert_in(expert, tokens, inputs)

    def expert_out(self, module: nn.Module, expert: int, output: torch.Tensor) -> torch.Tensor:
        at, number = self._now(), self._number(output)
        if self._stand_in and self._takes((number,)):
            self._steps += steps.EXPERT_ENDED, expert, number, at
            self._log.look(at)
            return output
        self._log.settle()
        return self._experts.expert_out(module, expert, output)
