"""What a model added to its prompts, in words."""

from __future__ import annotations

from collections.abc import Iterator

from tracetui.analysis.attention.cache import latent_cache
from tracetui.recording.record import Token
from tracetui.recording.trace import Trace
from tracetui.text import size, token_text, visible

_SHOWN = 2000
"""Characters of a row's text."""


def generated_lines(trace: Trace) -> Iterator[str]:
    """A line for each row with what was added to it, and one about the cache; none without generation."""
    for row, (tokens, made) in enumerate(zip(trace.tokens, trace.generated, strict=False)):
        where = f" in row {row}" if len(trace.tokens) > 1 else ""
        yield f"generated {made} token{'s' if made != 1 else ''}{where}: {_text(tokens[len(tokens) - made :])}"
    if cache := cache_line(trace):
        yield cache


def extended_lines(trace: Trace) -> Iterator[str]:
    """What the pass that has just ended added, and what the cache takes now."""
    number = len(trace.cache) - 1
    rows = zip(trace.tokens, trace.prompt_lengths, trace.generated, strict=True)
    newest = [_text(tokens[length + number :]) for tokens, length, made in rows if made > number]
    yield f"pass {number} chose {', '.join(newest)}; {cache_line(trace)}"


def cache_line(trace: Trace, pass_: int = -1) -> str:
    """The size of the model's cache after a pass, by default the last that is over; empty without one.

    Of latent attention both ways too: with every head's keys and values, and with the latent alone.
    """
    if not trace.cache or not -len(trace.cache) <= pass_ < len(trace.cache):
        return ""
    which = pass_ % len(trace.cache)
    held = f"cache {size(trace.cache[which])} for {trace.positions(which).stop} positions"
    ways = latent_cache(trace, which)
    return f"{held}; naive would be {size(ways.naive)}, absorbed {size(ways.absorbed)}" if ways else held


def _text(tokens: tuple[Token, ...]) -> str:
    """The text, or the ids of tokens without bytes."""
    if all(token.bytes for token in tokens):
        return token_text(b"".join(token.bytes for token in tokens), _SHOWN)
    return visible(",".join(str(token.id) for token in tokens), _SHOWN)
