"""What watching costs for each generated token, hooks kept from pass to pass, as a ratio to the same passes unwatched.

Run it with `python -m tests.benchmarks generation`.
"""

from __future__ import annotations

import statistics

import torch

from tests.benchmarks.capture import Timed, interleaved, ratio, small_llama
from tracetui.expr.edit_log import EditLog
from tracetui.expr.stop import DEFAULT_STOPS
from tracetui.recipe import Generation, Layers, Prompts, Recipe
from tracetui.tracer.capture.allocator import settle
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate
from tracetui.tracer.generation.decoding import Decoder

TOKENS = 24
TARGET = 1.10
_PROMPT = tuple(range(5, 37))


def ways() -> dict[str, Timed]:
    """So many tokens after a prompt, by passes without hooks and by a watched run of the same configuration."""
    model = small_llama()
    prompts = Prompts(ids=(_PROMPT,))
    config = {name: value for name, value in model.config.to_dict().items() if isinstance(value, int | float | str)}
    recipe = Recipe(
        name="small",
        title="small",
        origin="benchmark",
        config=config,
        layers=Layers(0, 8),
        dtype="float32",
        prompts=prompts,
        generation=Generation(TOKENS, stop=()),
    )
    engine = Engine(recipe)

    def untraced() -> object:
        with torch.no_grad():
            decoder = Decoder(model, torch.tensor([_PROMPT]))
            logits = decoder.prompt()
            for _ in range(TOKENS - 1):
                logits = decoder.next(logits.argmax(dim=-1))
        return logits

    def traced() -> object:
        return engine.run(prompts, Gate(stops=DEFAULT_STOPS, waits=False, edits=EditLog()))

    return {"untraced": untraced, "traced": traced}


def main(rounds: int = 5) -> None:
    settle()
    seconds = interleaved(ways(), rounds)
    print(f"generation: {TOKENS} tokens after 32, Llama of hidden 512, 8 layers; medians of {rounds} rounds")
    print(
        f"  untraced {statistics.median(seconds['untraced']) / TOKENS * 1e3:.1f} ms a token   "
        f"traced {ratio(seconds, 'traced', 'untraced'):.3f} of that (target {TARGET})"
    )


if __name__ == "__main__":
    main()
