"""What is run at once: one or several prompts, each a row of the batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tracetui.errors import InputError, bad_field
from tracetui.text import visible

WALK_THROUGH = "the answer to the ultimate question of life, the universe, and everything is "
"""What a model is run on unless somebody says otherwise."""
MAX_ROWS = 1024
MAX_ROW_TOKENS = 2**20
MAX_TOKEN_ID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Prompts:
    """The rows of a batch: texts, token ids, or ids drawn by the recipe's seed; one of the three."""

    texts: tuple[str, ...] = ()
    ids: tuple[tuple[int, ...], ...] = ()
    random: tuple[int, int] | None = None
    """How many rows, and how many tokens each."""
    chat: bool = False
    """Whether each text is what a user says in a chat, and goes through the model's chat template."""
    system: str = ""
    """What the chat template gets as the system's message; empty for none."""
    specials: bool = True
    """Whether the name of a special token in a text becomes that token."""

    def __len__(self) -> int:
        return self.random[0] if self.random else len(self.ids or self.texts)

    @property
    def text(self) -> str:
        """The first row's text; empty for ids."""
        return self.texts[0] if self.texts else ""

    @property
    def one_text(self) -> bool:
        """Whether this is no batch, but a text that can stand in a line and be changed."""
        return len(self.texts) == 1

    def typed(self, text: str) -> Prompts:
        """One text in place of all rows, taken the same way."""
        return replace(self, texts=(text,), ids=(), random=None)

    def plain(self) -> dict[str, object]:
        """As it goes into a trace."""
        fields: dict[str, object] = {"prompt": list(self.texts) if len(self.texts) > 1 else self.text}
        if self.random:
            fields["random_tokens"] = list(self.random)
        if self.chat:
            fields |= {"chat": True, "system": self.system}
        return fields if self.specials else {**fields, "special": False}


def texts(*prompts: str) -> Prompts:
    """Each text a row."""
    return Prompts(prompts)


NO_PROMPT = texts("")
"""Nothing to run yet."""


def check_rows(count: int, where: str | Path) -> None:
    """Refuse a batch without rows or with too many. Raises InputError."""
    if not 1 <= count <= MAX_ROWS:
        raise InputError(f"{where}: a batch has 1 to {MAX_ROWS:,} prompts, got {count:,}")


def check_random(rows: int, length: int, where: str | Path) -> tuple[int, int]:
    """The size of a batch of random ids. Raises InputError."""
    check_rows(rows, where)
    if not 1 <= length <= MAX_ROW_TOKENS:
        raise InputError(f"{where}: a row has 1 to {MAX_ROW_TOKENS:,} tokens, got {length:,}")
    return rows, length


def parse_random(text: str, where: str) -> tuple[int, int]:
    """`4x64`: four rows of 64 random ids. Raises InputError."""
    rows, cross, length = text.partition("x")
    if not (cross and rows.isdecimal() and length.isdecimal() and text.isascii() and len(text) <= 20):
        raise InputError(f"{where}: must be rows and tokens like 4x64, got {visible(text, 80)!r}")
    return check_random(int(rows), int(length), where)


def parse_ids(text: str, where: str) -> tuple[int, ...]:
    """`1,2,3`: the ids of one row. Raises InputError."""
    try:
        ids = tuple(_whole(part.strip()) for part in text.split(","))
    except ValueError:
        raise InputError(f"{where}: must be ids like 1,2,3, got {visible(text, 80)!r}") from None
    for token_id in ids:
        if not 0 <= token_id <= MAX_TOKEN_ID:
            raise InputError(f"{where}: must be between 0 and {MAX_TOKEN_ID}, got {visible(str(token_id), 30)}")
    return ids


def _whole(text: str) -> int:
    """A number as it is written in code; int() alone takes digits of every script, and underscores."""
    if not (text.isascii() and text.removeprefix("-").isdecimal()):
        raise ValueError(text)
    return int(text)


def prompts_of(value: object, random: object, where: Path) -> Prompts:
    """A recipe's `prompt`, a text or a list of texts, or its `random_tokens`. Raises InputError naming the key."""
    if random is not None:
        if value is not None:
            raise bad_field(where, "random_tokens", "stands beside a prompt; a recipe has one of the two")
        return Prompts(random=_random(random, where))
    if value is None or isinstance(value, str):
        return NO_PROMPT if value is None else texts(value)
    if not isinstance(value, list):
        raise bad_field(where, "prompt", "must be a text or a list of texts", value)
    check_rows(len(value), f"{where}: prompt")
    for place, row in enumerate(value):
        if not isinstance(row, str) or not row:
            raise bad_field(where, f"prompt[{place}]", "must be a text that is not empty", row)
    return texts(*value)


def _random(value: object, where: Path) -> tuple[int, int]:
    sizes = value if isinstance(value, list) else []
    if len(sizes) != 2 or not all(type(size) is int for size in sizes):
        raise bad_field(where, "random_tokens", "must be rows and tokens like [4, 64]", value)
    return check_random(sizes[0], sizes[1], f"{where}: random_tokens")
