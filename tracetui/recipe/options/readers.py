"""Readers of options' values: of texts, as the command line has them, and of Python's own values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracetui.errors import InputError
from tracetui.recipe.generation import parse_stop
from tracetui.recipe.model import MAX_LENS, check_seed, parse_bytes
from tracetui.recipe.options.option import Reader
from tracetui.recipe.prompts import check_random, check_rows, parse_ids, parse_random
from tracetui.recording.keep import Keep, check_folder, parse_keep
from tracetui.text import visible

if TYPE_CHECKING:
    from tracetui.expr.edit import Edit
    from tracetui.expr.stop import Stop

_DEVICE = re.compile(r"cpu|cuda(:\d{1,3})?", re.ASCII)


def text(value: Any, where: str) -> str:
    """A text, a path, or a number that stands for its text."""
    if isinstance(value, bool) or not isinstance(value, str | int | Path):
        raise _unreadable(value, where, "a text")
    return str(value)


def switch(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _unreadable(value, where, "true or false")
    return value


def whole(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise _unreadable(value, where, "an integer")
    return int(value)


def number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise _unreadable(value, where, "a number")
    return float(value)


def seed(value: Any, where: str) -> int:
    return check_seed(whole(value, where), where)


def lens(value: Any, where: str) -> int:
    """How many tokens a lens keeps."""
    if not 1 <= whole(value, where) <= MAX_LENS:
        raise InputError(f"{where}: must be 1 to {MAX_LENS} tokens, got {value}")
    return int(value)


def byte_count(value: Any, where: str) -> int:
    """`2G`, or so many bytes."""
    return parse_bytes(text(value, where), where)


def device(value: Any, where: str) -> str:
    """`cpu`, `cuda`, or `cuda:1`; whether there is such a GPU only torch can tell."""
    word = text(value, where).strip().lower()
    if not _DEVICE.fullmatch(word):
        raise InputError(f"{where}: must be cpu, cuda or cuda:N, got {visible(repr(value), 40)}")
    return word


def folder(value: Any, where: str) -> Path:
    return check_folder(Path(text(value, where)), where)


def one_of(choices: Sequence[str], short: Mapping[str, str] | None = None) -> Reader:
    """A reader of one of several words, some of which may have another name for short."""

    def read(value: Any, where: str) -> str:
        word = (short or {}).get(value, value) if isinstance(value, str) else value
        if word not in choices:
            raise InputError(f"{where}: must be one of {', '.join(choices)}, got {visible(repr(value), 40)}")
        return str(word)

    return read


def keep(value: Any, where: str) -> Keep:
    """`all`, `stats`, or patterns of sites."""
    return parse_keep(_texts(value, where), where)


def prompts(value: Any, where: str) -> tuple[str, ...]:
    """A text, or several: a batch."""
    rows = _texts(value, where)
    check_rows(len(rows), where)
    if len(rows) > 1 and not all(rows):
        raise InputError(f"{where}: row {rows.index('')} is empty; every row of a batch is a prompt")
    return tuple(rows)


def batch(value: Any, where: str) -> tuple[str, ...]:
    """Several texts."""
    if isinstance(value, str):
        raise _unreadable(value, where, "a list of texts")
    return prompts(value, where)


def tokens(value: Any, where: str) -> tuple[tuple[int, ...], ...]:
    """`1,2,3`, ids, or several of one of them: a batch."""
    if isinstance(value, str):
        value = [value]
    value = _listed(value, where)
    rows = [value] if value and all(isinstance(each, Integral) for each in value) else value
    check_rows(len(rows), where)
    texts = (row if isinstance(row, str) else ",".join(map(str, _listed(row, where))) for row in rows)
    return tuple(parse_ids(text, where) for text in texts)


def random_tokens(value: Any, where: str) -> tuple[int, int]:
    """`4x64`, or `(4, 64)`: rows, and tokens of each."""
    if isinstance(value, str):
        return parse_random(value, where)
    if not isinstance(value, Sequence) or len(value) != 2:
        raise _unreadable(value, where, "rows and tokens such as (4, 64)")
    rows, length = (whole(each, where) for each in value)
    return check_random(rows, length, where)


def end_of_row(value: Any, where: str) -> tuple[int, ...]:
    """`2,7` or `none`, or ids."""
    if isinstance(value, str):
        return parse_stop(value, where)
    if not isinstance(value, Sequence):
        raise _unreadable(value, where, "token ids")
    return tuple(whole(each, where) for each in value)


def stops(value: Any, where: str) -> tuple[Stop, ...]:
    """`*.mlp if norm > 100`, or several."""
    from tracetui.expr.stop import parse_stops

    return parse_stops(_texts(value, where), where)


def edits(value: Any, where: str) -> tuple[Edit, ...]:
    """`layers.3.mlp: zero`, or several; `@F.npz` stands for the edits of a recorded run."""
    if not (lines := _texts(value, where)):
        return ()
    # Numpy and the reader of dumps are loaded for them alone.
    from tracetui.expr.edit_parse import check_edits, parse_edit
    from tracetui.expr.replacement import check_sources
    from tracetui.recipe.recorded.edits import edits_of
    from tracetui.recording.dumps import open_recorded

    changes: list[Edit] = []
    for line in lines:
        if line.startswith("@"):
            changes.extend(edits_of(open_recorded(Path(line[1:])), line[1:]))
        else:
            changes.append(parse_edit(line, where))
    check_sources(changes, where)
    return check_edits(changes, where)


def _texts(value: Any, where: str) -> list[str]:
    """One text or several."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Sequence) or not all(isinstance(each, str) for each in value):
        raise _unreadable(value, where, "a text or a list of texts")
    return list(value)


def _listed(value: Any, where: str) -> list[Any]:
    """Token ids in a list, an array or a tensor."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _unreadable(value, where, "token ids")
    return list(value)


def _unreadable(value: object, where: str, form: str) -> InputError:
    return InputError(f"{where}: must be {form}, got {visible(repr(value), 40)}")
