"""What one option of a run is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

Naming = Callable[[str], str]
"""How an error calls an option, given its name: `--top-p` or `top_p`."""
Reader = Callable[[Any, str], Any]
"""Makes a checked value of what was given, a text or a Python value. Raises InputError that begins with the second."""


class Group(Enum):
    """What an option is about, as `--help` and docs/options.md divide them."""

    MODEL = "the model"
    PROMPTS = "what is run"
    RECORDED = "what is recorded"
    GENERATION = "generation"
    STOPS = "stops and edits"


@dataclass(frozen=True, eq=False, slots=True)
class Option:
    """A name, where it may stand, and how its value is read."""

    name: str
    """The keyword in Python, and the key in a recipe file."""
    group: Group
    help: str
    read: Reader
    into: str = ""
    """The field of a Recipe that takes the value, such as `seed` or `generation.top_p`; empty: several do, or none."""
    flags: tuple[str, ...] = ()
    """Other than `--` and the name with hyphens."""
    metavar: str = ""
    choices: tuple[str, ...] = ()
    number: type[int] | type[float] | None = None
    """What the command line makes of its text."""
    bare: int | None = None
    """The number that stands for the flag alone."""
    switch: bool | None = None
    """The value that the flag alone stands for; None: it takes one."""
    repeated: bool = False
    """Whether the flag may be given several times."""
    alternative: bool = False
    """Whether it is one of those of which a run has one."""
    on_the_command_line: bool = True
    in_python: bool = True
    in_recipes: bool = False
    """Whether a recipe file may have it as a key."""
    example: str = ""
    """In Python; empty: the name says enough."""

    @property
    def flag(self) -> str:
        return self.flags[-1] if self.flags else f"--{self.name.replace('_', '-')}"


def keyword(name: str) -> str:
    """An option in Python."""
    return name
