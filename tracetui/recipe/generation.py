"""How a model goes on from its prompt: how many tokens, and how each is chosen."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tracetui.errors import InputError
from tracetui.text import visible

MAX_NEW_TOKENS = 2**16
MAX_SAMPLE_SEED = 2**63 - 1
NO_STOP = "none"


@dataclass(frozen=True, slots=True)
class Generation:
    """Greedy unless one of the sampling fields is set."""

    count: int = 0
    """Tokens to add to each row; 0 for the prompt alone."""
    temperature: float | None = None
    """Logits are divided by it; None: 1."""
    top_k: int | None = None
    """Only so many of the most probable tokens may be drawn."""
    top_p: float | None = None
    """Only the most probable tokens that have this probability together."""
    seed: int | None = None
    """Of the draws, which have a generator of their own; None: 0."""
    stop: tuple[int, ...] | None = None
    """Ids after which a row goes no further; None: the configuration's eos_token_id."""

    @property
    def sampled(self) -> bool:
        """Whether tokens are drawn, and not each the most probable one."""
        return any(value is not None for value in (self.temperature, self.top_k, self.top_p, self.seed))

    def plain(self) -> dict[str, object]:
        """As it goes into a trace: empty without generation."""
        if not self.count:
            return {}
        sampling = {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p, "sample_seed": self.seed}
        stop = {} if self.stop is None else {"eos": list(self.stop)}
        return {
            "generate": self.count,
            **{name: value for name, value in sampling.items() if value is not None},
            **stop,
        }


PROMPT_ALONE = Generation()


def check_generation(generation: Generation, named: Callable[[str], str]) -> Generation:
    """The generation, if a run can follow it. Raises InputError naming the option as `named` calls it."""
    check_count(generation.count, named("generate"))
    if generation.sampled and not generation.count:
        *others, last = map(named, ("temperature", "top_k", "top_p", "sample_seed"))
        raise InputError(f"{', '.join(others)} and {last} say how {named('generate')} N draws; give that too")
    if generation.temperature is not None and not (
        math.isfinite(generation.temperature) and generation.temperature > 0
    ):
        problem = f"must be above 0, got {generation.temperature}; leave it out for greedy choices"
        raise InputError(f"{named('temperature')}: {problem}")
    if generation.top_k is not None and generation.top_k < 1:
        raise InputError(f"{named('top_k')}: must be 1 or more, got {generation.top_k}")
    if generation.top_p is not None and not 0 < generation.top_p <= 1:
        raise InputError(f"{named('top_p')}: must be above 0 and at most 1, got {generation.top_p}")
    if generation.seed is not None and not 0 <= generation.seed <= MAX_SAMPLE_SEED:
        raise InputError(f"{named('sample_seed')}: must be between 0 and {MAX_SAMPLE_SEED}, got {generation.seed}")
    return generation


def check_count(count: int, where: str) -> int:
    """The number of new tokens. Raises InputError."""
    if not 0 <= count <= MAX_NEW_TOKENS:
        raise InputError(f"{where}: must be 0 to {MAX_NEW_TOKENS:,} tokens, got {count:,}")
    return count


def parse_stop(text: str, where: str) -> tuple[int, ...]:
    """`2,7`: ids that end a row; `none`: no id does. Raises InputError."""
    if text.strip() == NO_STOP:
        return ()
    try:
        ids = tuple(int(part) for part in text.split(","))
    except ValueError:
        ids = (-1,)
    if min(ids) < 0:
        raise InputError(f"{where}: must be ids like 2,7, or {NO_STOP}, got {visible(text, 80)!r}")
    return ids
