"""What watching costs for each generated token, hooks kept from pass to pass, as a ratio to the same passes unwatched.

Run it with `python -m tests.benchmarks generation`.
"""

from __future__ import annotations

import torch

from tests.benchmarks.capture import Timed, interleaved, small_llama
from tests.benchmarks.results import Results, ratios
from tracetui.expr.edit_log import EditLog
from tracetui.expr.stop import DEFAULT_STOPS
from tracetui.recipe import Generation, Layers, Prompts, Recipe
from tracetui.recording.trace import Trace
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

    def traced() -> Trace:
        return engine.run(prompts, Gate(stops=DEFAULT_STOPS, waits=False, edits=EditLog()))

    def looked_into() -> object:
        trace = traced()
        return list(trace.records), trace

    return {"untraced": untraced, "traced": traced, "looked into": looked_into}


def main(results: Results, rounds: int = 5) -> None:
    results.begin("generation", f"{TOKENS} tokens after 32, Llama of hidden 512, 8 layers")
    settle()
    seconds = interleaved(ways(), rounds)
    results.add("untraced", [taken / TOKENS * 1e3 for taken in seconds["untraced"]], unit="ms a token")
    results.add("looked into", ratios(seconds["looked into"], seconds["untraced"]), of="untraced")
    results.add(
        "traced", ratios(seconds["traced"], seconds["untraced"]), of="untraced", target=TARGET, sizes={"tokens": TOKENS}
    )


if __name__ == "__main__":
    main(Results())
