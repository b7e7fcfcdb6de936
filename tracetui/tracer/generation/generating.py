"""One batch from its prompt on: passes that are recorded, and the tokens that the model chooses between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from tracetui.debugger.session import Event, Extended
from tracetui.errors import InputError
from tracetui.recipe import Generation
from tracetui.recording.cut import Cut
from tracetui.recording.record import Token
from tracetui.recording.trace import Trace
from tracetui.tracer.attention.mla import Latents
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.generation.decoding import Chooser, Decoder, DecoderState
from tracetui.tracer.replay.layer_outputs import LayerOutputs


class PromptRun:
    """One call of a model without a cache."""

    def __init__(self, call: Callable[[], Any], recorder: Recorder, own: bool = False) -> None:
        """own: the call is the user's, and need not do the same again."""
        self.recorder = recorder
        self.latents = Latents()
        self.own = own
        self.output: Any = None
        """What an own call returned."""
        self._call = call

    def begin(self) -> None:
        """The call."""
        output = self._call()
        self.output = output if self.own else None

    def generate(self, count: int) -> None:
        """Nothing is generated."""

    def again(self, cut: Cut, recorder: Recorder, ledger: LayerOutputs) -> PromptRun:
        """The same call, growing another trace."""
        return PromptRun(self._call, recorder, self.own)


@dataclass(frozen=True, eq=False, slots=True)
class _Start:
    """A run before one of its passes."""

    decoder: DecoderState
    chosen: torch.Tensor | None
    """[B]"""
    going: tuple[bool, ...]
    drawn: torch.Tensor
    trace: Trace
    """For its tokens and the sizes of the cache."""


class GeneratingRun:
    """What has to outlive one watch of the model for the run to go on later. Lives on the model's thread."""

    def __init__(
        self,
        decoder: Decoder,
        recorder: Recorder,
        wanted: Generation,
        eos: object,
        token: Callable[[int], Token],
        emit: Callable[[Event], None],
    ) -> None:
        """eos: the configuration's. token: what an id stands for."""
        self.recorder = recorder
        self.latents = Latents()
        self._decoder = decoder
        self._chooser = Chooser(wanted, eos)
        self._wanted = wanted
        self._token = token
        self._emit = emit
        self._starts: list[_Start] = []
        self._logits: torch.Tensor | None = None
        self._chosen: torch.Tensor | None = None
        self._going = [True] * len(recorder.trace.tokens)

    @property
    def positions(self) -> int:
        """How many positions of each row have gone through the model."""
        return self._decoder.positions

    def passes(self, count: int) -> int:
        """How many passes it takes to choose so many tokens."""
        return count if self._logits is None else count - 1

    def begin(self) -> None:
        """The prompt pass; of a run that is taken up again, the pass in which that is."""
        self._run_pass()

    def again(self, cut: Cut, recorder: Recorder, ledger: LayerOutputs) -> GeneratingRun:
        """The same run as it was before the pass of a cut, growing another trace; the ledger has the cache's rows."""
        start = self._starts[cut.pass_]
        model, held = self._decoder.model, start.decoder.positions
        cache = ledger.cache_before(model, cut.pass_, held) if held else None
        run = GeneratingRun(
            self._decoder.at(start.decoder, cache), recorder, self._wanted, None, self._token, self._emit
        )
        run._chooser, run._chosen, run._going = self._chooser.at(start.drawn), start.chosen, list(start.going)
        run._starts = self._starts[: cut.pass_]
        run.latents = self.latents.cropped(model, held, cut.layers, held + self._decoder.entering(start.decoder))
        told = start.trace
        recorder.trace = replace(recorder.trace, tokens=told.tokens, generated=told.generated, cache=told.cache)
        return run

    def check(self) -> None:
        """Raises InputError if the run can't go on."""
        if not self._decoder.cached:
            raise InputError("generate: the model kept no cache of this run; run the prompt again")
        if not any(self._going):
            raise InputError("generate: every row has ended with a token that stops it (--eos none goes on)")

    def generate(self, count: int) -> None:
        """Choose `count` tokens for each row that goes on, with a pass before every one but the first."""
        for _ in range(count):
            if self._logits is None:
                self.recorder.begin_pass()
                self._run_pass()
            assert self._logits is not None
            self._choose(self._logits)
            self._logits = None
            if not any(self._going):
                return

    def _run_pass(self) -> None:
        state = self._decoder.state
        self._starts.append(_Start(state, self._chosen, tuple(self._going), self._chooser.drawn, self.recorder.trace))
        self._logits = self._decoder.prompt() if self._chosen is None else self._decoder.next(self._chosen)

    def _choose(self, logits: torch.Tensor) -> None:
        chosen = self._chosen = self._chooser.choose(logits)  # [B]
        ids = chosen.tolist()
        added = [self._token(each) if going else None for each, going in zip(ids, self._going, strict=True)]
        pairs = zip(ids, self._going, strict=True)
        self._going = [going and not self._chooser.ends(each) for each, going in pairs]
        self._emit(Extended(self.recorder.extend(added, self._decoder.cache_bytes())))
