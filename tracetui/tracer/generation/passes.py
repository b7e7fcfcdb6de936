"""How a run's model is called: with a cache or without, or in its user's own way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tracetui.debugger.session import Event
from tracetui.models.runnable import Runnable
from tracetui.recipe import Prompts
from tracetui.recording.record import Token
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.generation.decoding import Decoder
from tracetui.tracer.generation.generating import GeneratingRun, PromptRun
from tracetui.tracer.generation.padding import padded


def passes_of(
    runnable: Runnable,
    prompts: Prompts,
    tokens: tuple[tuple[Token, ...], ...],
    count: int,
    goes_on: bool,
    recorder: Recorder,
    emit: Callable[[Event], None],
) -> GeneratingRun | PromptRun:
    """The passes of a run from its prompts on, `count` tokens far; goes_on: they may have to be more later."""
    if (call := runnable.call(prompts)) is not None:
        return PromptRun(call, recorder, own=True)
    model, eos = runnable.built.module, getattr(runnable.built.config, "eos_token_id", None)
    input_ids, mask = padded(tokens, _pad(runnable), runnable.device)  # [B,T]
    if not count and (mask is not None or not goes_on):
        masked = {} if mask is None else {"attention_mask": mask}
        return PromptRun(partial(model, input_ids=input_ids, use_cache=False, **masked), recorder)
    token = runnable.tokenizer.token
    return GeneratingRun(Decoder(model, input_ids), recorder, runnable.recipe.generation, eos, token, emit)


def _pad(runnable: Runnable) -> int:
    """The id that stands where a row has no token; which one doesn't matter, nothing looks there."""
    config = runnable.built.config
    said = getattr(config, "pad_token_id", None)
    return said if isinstance(said, int) and 0 <= said < config.vocab_size else 0
