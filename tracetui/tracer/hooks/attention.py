"""What is recorded of an attention kernel: what goes in and comes out, and the matrices that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import nn

from tracetui.analysis.attention.kinds import KINDS
from tracetui.expr.matrices import needs_absorbed, needs_steps
from tracetui.recording.keep import MatrixRole
from tracetui.recording.record import ABSORBED, AttentionCall, Record, when
from tracetui.tracer.attention.explanation import NOT_SHOWN, Explanations, RunningKernel
from tracetui.tracer.attention.explicit import Show
from tracetui.tracer.attention.kernel_call import KernelCall
from tracetui.tracer.attention.kernels import has_steps
from tracetui.tracer.attention.matrices import recorded_matrices
from tracetui.tracer.attention.mla import LatentCall
from tracetui.tracer.attention.own_matrices import OwnMatrices
from tracetui.tracer.hooks.pass_context import Pass

Roles = tuple[tuple[str, torch.Tensor], ...]
"""Tensors by their roles, in order."""


class AttentionWatch:
    """Records every attention call of a watched model."""

    def __init__(self, watched: Pass) -> None:
        self._frames = watched.frames
        self._recorder = watched.recorder
        self._editor = watched.editor
        self._latents = watched.latents
        self._absorb = watched.absorb
        self._gate = watched.gate
        self._uncounted = watched.clock.uncounted
        self._step_by_step = False
        self._kernel: RunningKernel | None = None
        self._part = 0
        """Which of the kernels that one module calls this one is."""
        self._explanations = Explanations()

    def kernel_in(
        self, call: KernelCall, describe: Callable[[], AttentionCall], latent: Roles | None = None
    ) -> KernelCall:
        """Record what an attention kernel is about to receive; returns it as edits leave it.

        latent: what it could be computed from instead, if somebody has asked already.
        """
        frame, described = self._frames[-1], describe()
        self._part, frame.attention_calls = frame.attention_calls, frame.attention_calls + 1
        # Before the record: a stop at it may be looked at when only the query is there.
        part = f"#{self._part}" if self._part else ""
        self._recorder.attention_call(f"{frame.path}:q{part}{when(self._recorder.pass_, frame.call)}", described)
        absorbed = "with --mla absorb nothing comes of it" if described.kernel == ABSORBED else ""
        passed = "the model's class computes its scores itself; edit :scores, or what makes it" if call.own else ""
        inputs = {
            "q": self._record_role("q", call.query, passed),
            "k": self._record_role("k", call.key, absorbed or passed),
            "v": self._record_role("v", call.value, absorbed or (passed if call.own and not call.own.in_steps else "")),
        }
        beside = (("mask", call.mask), ("sinks", call.sinks), ("position_bias", call.position_bias))
        inputs |= {role: self._record_beside(role, tensor) for role, tensor in beside if tensor is not None}
        edited = (inputs["q"][0], inputs["k"][0], inputs["v"][0])
        if edited[0] is not call.query or edited[1] is not call.key or edited[2] is not call.value:
            call = replace(call, query=edited[0], key=edited[1], value=edited[2])
        beside_it = self.latent_roles(call) if latent is None else latent
        inputs |= {role: self._record_beside(role, tensor) for role, tensor in beside_it}
        # Decided after the inputs: a stop or an edit may have been given while the model waited at one of them.
        self._step_by_step = self._has_steps(call, frame.path, described.kernel)
        if self._step_by_step and described.kernel == "sdpa":
            described = replace(described, kernel="eager")
            self._recorder.attention_call(inputs["q"][1].key, described)
        self._kernel = RunningKernel(call.module, described, inputs, call.own)
        return call

    def latent_roles(self, call: KernelCall) -> Roles:
        """What the call could be computed from instead, by role; time that the model takes only with --mla absorb."""
        if self._absorb:
            return tuple(self._latents.roles(call))
        if not self._latents.has(call.module):
            return ()
        with self._uncounted():
            return tuple(self._latents.roles(call))

    def _has_steps(self, call: KernelCall, path: str, kernel: str) -> bool:
        """Whether a call shows its scores because a stop or an edit speaks of them."""
        if not needs_steps(path, self._gate.stops, self._editor.standing):
            return False
        if not (has_steps(call, kernel) if call.own is None else call.own.in_steps):
            self._recorder.note(
                f"{type(call.module).__name__} computes attention itself: its scores can't be stopped at"
            )
            return False
        self._recorder.note(
            "attention scores that a stop or an edit names are computed step by step, as by eager attention"
        )
        return True

    def latent_in(self, latent: Roles) -> None:
        """Record what the call that `kernel_in` was told of could be computed from instead."""
        assert self._kernel is not None
        beside = {role: self._record_beside(role, tensor) for role, tensor in latent}
        self._kernel = replace(self._kernel, inputs={**self._kernel.inputs, **beside})

    def kernel_step(self, call: KernelCall) -> Show | None:
        """What records scores and probabilities on the way, with their edits."""
        return (lambda role, matrices: self._record_role(role, matrices)[0]) if self._step_by_step else None

    def kernel_out(self, heads: torch.Tensor) -> torch.Tensor:
        """Record each head's output [B,H,T,Kv]; returns it as edits leave it."""
        kernel, self._kernel = self._kernel, None
        self._latents.forget_last()
        if kernel is not None and not self._recorder.repeats:
            self._record_matrices(kernel, heads)
        return self._record_role("heads", heads)[0]

    def latent(self, module: nn.Module) -> LatentCall | None:
        """What the call of a moment ago can be computed from instead."""
        return self._latents.last(module)

    def _record_matrices(self, kernel: RunningKernel, heads: torch.Tensor) -> None:
        """Record those that are asked for, if they explain the output; where they don't, say so.

        Scores that the model showed itself, step by step, need no explanation.
        """
        path, described = self._frames[-1].path, kernel.described
        roles = self._matrices(path)
        if not self._step_by_step:
            if self._explanations.may_object(kernel, bool(roles)):
                with self._uncounted():
                    described = self._explanations.checked(kernel, heads)
            if kernel.own is not None and (kernel.own.needed or described.unexplained):
                self._record_own(kernel.own)
                described, roles = kernel.described, tuple(role for role in roles if role not in KINDS)
        if described is not kernel.described:
            self._recorder.attention_call(kernel.inputs["q"][1].key, described)
        if described.unexplained:
            self._recorder.note(f"{type(kernel.module).__name__}: {NOT_SHOWN}: {described.unexplained}")
        elif roles:
            self._record_computed(path, described, kernel.inputs, roles)

    def _record_computed(
        self,
        path: str,
        described: AttentionCall,
        given: Mapping[str, tuple[torch.Tensor, Record]],
        roles: tuple[MatrixRole, ...],
    ) -> None:
        """Record matrices of the call whose inputs, by role, have just been recorded."""
        recorder, query, depth = self._recorder, given["q"][1], len(self._frames)
        stored = {role: recorder.trace.value(record) for role, (_, record) in given.items()}
        tensors = {role: tensor for role, (tensor, _) in given.items()}
        for site, value in recorded_matrices(path, described, tensors, stored, recorder.wanted, roles):
            recorder.add(value, None, site, depth, path, query.call, part=query.part)

    def _record_own(self, own: OwnMatrices) -> None:
        """Keep the matrices that a module made itself, which can't be computed again from what it made them of."""
        self._record_beside("masked", own.masked)
        self._record_beside("probs", own.probabilities)

    def unheard(self, module: nn.Module) -> None:
        """A module that attends by itself ended without a call that could be made out."""
        self._recorder.note(f"{type(module).__name__} computes attention in its own way: {NOT_SHOWN}")

    def _matrices(self, path: str) -> tuple[MatrixRole, ...]:
        """Those that are computed from what the kernel received, beside those that it shows itself."""
        asked = needs_absorbed(path, self._gate.stops)
        wanted = dict.fromkeys((*self._recorder.matrices, *(("absorbed_scores",) if asked else ())))
        return tuple(role for role in wanted if not (self._step_by_step and role in KINDS))

    def _record_beside(self, role: str, tensor: torch.Tensor) -> tuple[torch.Tensor, Record]:
        """Record what the model doesn't go on with in this form: no edit is for it, whatever its pattern fits."""
        frame = self._frames[-1]
        site, depth = f"{frame.path}:{role}", len(self._frames)
        return tensor, self._recorder.record(
            site, tensor, depth=depth, parent=frame.path, call=frame.call, part=self._part
        )

    def _record_role(self, role: str, tensor: torch.Tensor, fixed: str = "") -> tuple[torch.Tensor, Record]:
        frame = self._frames[-1]
        return self._editor.record(
            f"{frame.path}:{role}",
            tensor,
            fixed=fixed,
            depth=len(self._frames),
            parent=frame.path,
            call=frame.call,
            part=self._part,
            # Keys and values that layers share were made by another one.
            inputs=(source,) if (source := self._recorder.source_of(tensor)) >= 0 else (),
        )
