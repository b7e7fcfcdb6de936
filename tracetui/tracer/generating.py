"""One batch from its prompt on: passes that are recorded, and the tokens that the model chooses between them."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tracetui.errors import InputError
from tracetui.recipe import Generation
from tracetui.session import Event, Extended
from tracetui.trace.record import Token
from tracetui.tracer.decoding import Chooser, Decoder
from tracetui.tracer.mla import Latents
from tracetui.tracer.recorder import Recorder


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
        self._token = token
        self._emit = emit
        self._logits: torch.Tensor | None = None
        self._chosen: torch.Tensor | None = None
        self._going = [True] * len(recorder.trace.tokens)

    @property
    def positions(self) -> int:
        """How many positions of each row have gone through the model."""
        return self._decoder.positions

    def passes(self, count: int) -> int:
        """How many passes it takes to choose so many tokens."""
        return count if self._chosen is not None else count - 1

    def prompt(self) -> None:
        """The prompt pass."""
        self._logits = self._decoder.prompt()

    def check(self) -> None:
        """Raises InputError if the run can't go on."""
        if not self._decoder.cached:
            raise InputError("generate: the model kept no cache of this run; run the prompt again")
        if not any(self._going):
            raise InputError("generate: every row has ended with a token that stops it (--eos none goes on)")

    def generate(self, count: int) -> None:
        """Choose `count` tokens for each row that goes on, with a pass before every one but the first."""
        for _ in range(count):
            if self._chosen is not None:
                self.recorder.begin_pass()
                self._logits = self._decoder.next(self._chosen)
            assert self._logits is not None
            self._choose(self._logits)
            if not any(self._going):
                return

    def _choose(self, logits: torch.Tensor) -> None:
        chosen = self._chosen = self._chooser.choose(logits)  # [B]
        ids = chosen.tolist()
        added = [self._token(each) if going else None for each, going in zip(ids, self._going, strict=True)]
        pairs = zip(ids, self._going, strict=True)
        self._going = [going and not self._chooser.ends(each) for each, going in pairs]
        self._emit(Extended(self.recorder.extend(added, self._decoder.cache_bytes())))
