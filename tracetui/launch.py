"""What torchrun, or whatever else starts several processes of one program, says to each of them."""

from __future__ import annotations

import os

_COUNT, _RANK = "WORLD_SIZE", "RANK"
_OF_TORCHRUN = "TORCHELASTIC_RUN_ID"
_PARENT = os.getppid()
"""As early as this is imported: a launcher that ends while torch is imported is told from the next parent."""


def process_count() -> int:
    """How many processes there are; 1 where nobody says."""
    return _number(_COUNT, 1)


def rank_here() -> int:
    """Which of them this is, from 0."""
    return _number(_RANK, 0)


def is_another_rank() -> bool:
    """Whether another process than this one speaks for all."""
    return process_count() > 1 and rank_here() > 0


def is_launcher_gone() -> bool:
    """Whether torchrun, which is the parent of the processes that it starts, has ended before this one."""
    return _OF_TORCHRUN in os.environ and os.getppid() != _PARENT


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else default
