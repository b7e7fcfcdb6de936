"""Foreign text made visible, and numbers made short; everything here is plain str in, plain str out."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence

_SYMBOLS = {"\n": "⏎", "\t": "⇥", "\r": "␍", "\x7f": "␡"}
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MAX_MARKS = 4
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
"""Joiners, fillers and selectors that are letters or marks by category but draw nothing."""


def visible(foreign: str, limit: int = 400) -> str:
    """The text with every control, bidi, zero-width and lone surrogate character shown as a symbol.

    The result carries no character that a terminal acts on, at most `_MAX_MARKS` combining marks in
    a row, and stands for at most `limit` characters. It is not markup-safe: the UI wraps it in Content.
    """
    if len(foreign) <= limit and foreign.isascii() and foreign.isprintable():
        return foreign
    return _shown(foreign, limit, _visible_char)


def _shown(foreign: str, limit: int, show: Callable[[str], str]) -> str:
    characters: list[str] = []
    marks = 0
    for char in foreign[:limit]:
        marks = marks + 1 if _joins(char) else 0
        if marks <= _MAX_MARKS:
            characters.append(show(char))
    if len(foreign) > limit:
        characters.append("…")
    return "".join(characters)


def _visible_char(char: str) -> str:
    if char in _SYMBOLS:
        return _SYMBOLS[char]
    if char < " ":
        return chr(0x2400 + ord(char))
    if unicodedata.category(char) in _HIDDEN_CATEGORIES or char in _INVISIBLE or _modifies(char):
        return f"<U+{ord(char):04X}>"
    return char


def _joins(char: str) -> bool:
    """A mark, or a Hangul vowel or final: drawn into the cell of the character before it."""
    return unicodedata.category(char)[0] == "M" or "\u1160" <= char <= "\u11ff" or "\ud7b0" <= char <= "\ud7fb"


def _modifies(char: str) -> bool:
    """A variation selector or skin tone: terminals disagree on the width that it leaves."""
    return "\ufe00" <= char <= "\ufe0f" or "\U0001f3fb" <= char <= "\U0001f3ff" or "\U000e0100" <= char <= "\U000e01ef"


def visible_lines(foreign: str) -> str:
    """Several lines made visible, and kept apart."""
    return "\n".join(visible(line, 4000) for line in foreign.splitlines())


def token_text(token: bytes, limit: int = 400) -> str:
    """A token's exact bytes as text: blanks as `·`, newlines as `⏎`, bytes that are no UTF-8 as `<0xE2>`."""
    return _shown(token.decode("utf-8", errors="surrogateescape"), limit, _token_char)


def _token_char(char: str) -> str:
    if char == " ":
        return "·"
    if "\udc80" <= char <= "\udcff":
        return f"<0x{ord(char) - 0xDC00:02X}>"
    return _visible_char(char)


def count(number: float) -> str:
    """A count with a unit letter: 128256 → `128.3K`, 8030261248 → `8.03B`."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if abs(number) >= size:
            return f"{number / size:.4g}{unit}"
    return f"{number:.4g}"


def size(byte_count: float) -> str:
    """A number of bytes in binary units: 3221225472 → `3.00 GiB`."""
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(byte_count) >= scale:
            return f"{byte_count / scale:.2f} {unit}"
    return f"{byte_count:.0f} B"


def about_size(byte_count: float) -> str:
    """The same of an amount that is known in about: three digits, 358.2 MiB → `358 MiB`."""
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if (amount := abs(byte_count) / scale) >= 1:
            return f"{byte_count / scale:.{max(0, 2 - math.floor(math.log10(amount)))}f} {unit}"
    return f"{byte_count:.0f} B"


def typed_size(byte_count: int) -> str:
    """About as many bytes, no more, as an option takes them: 1610612736 → `1.5G`."""
    for unit, scale in (("G", 2**30), ("M", 2**20), ("K", 2**10)):
        if byte_count >= scale:
            return f"{byte_count * 10 // scale / 10:g}{unit}"
    return str(byte_count)


def number(value: float, digits: int = 4) -> str:
    """A value with four significant digits, in at most ten characters, or with as many digits as asked for."""
    return f"{value:.{digits}g}"


def statistic(value: float) -> str:
    """The same of a statistic, which is NaN where no element is finite: a dash."""
    return "–" if math.isnan(value) else number(value)


def spans(numbers: Sequence[int]) -> str:
    """`2–31`, `0, 4–6`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}–{high}" for low, high in runs)
