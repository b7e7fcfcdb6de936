"""A file of prompts, one a line."""

from __future__ import annotations

import json
from pathlib import Path

from tracetui.errors import InputError, bad_field
from tracetui.paths import read_bounded
from tracetui.recipe.prompts import check_rows

MAX_BATCH_BYTES = 16 * 2**20


def read_batch(path: Path) -> tuple[str, ...]:
    """The prompts of a file, in order.

    A line that is a JSON string stands for its text, so that a prompt can have several lines; any other stands for
    itself. Raises InputError naming the line: no UTF-8, an empty one, no lines at all, too many.
    """
    lines = read_bounded(path, MAX_BATCH_BYTES, any_text=True).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()
    check_rows(len(lines), path)
    return tuple(_prompt(line.removesuffix(b"\r"), path, number) for number, line in enumerate(lines, start=1))


def _prompt(line: bytes, path: Path, number: int) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text, got 0x{line[error.start]:02X} at byte {error.start} of the line"
        raise InputError(f"{path}: line {number}: {problem}") from error
    text = _unquoted(text)
    if not text:
        raise bad_field(path, f"line {number}", "is empty; every line is a prompt")
    return text


def _unquoted(text: str) -> str:
    if not (text.startswith('"') and text.endswith('"')):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, str) else text
