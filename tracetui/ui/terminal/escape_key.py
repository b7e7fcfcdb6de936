"""The key Esc, told from the sequences that begin with its byte: what is typed behind it is a key of its own."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator

ESCAPE = "\x1b"
_PASTE = re.compile(r"\x1b\[200~.*?(?:\x1b\[201~|\Z)", re.DOTALL)
_PASTE_END = "\x1b[201~"
_BEGINS = "[O]_\\\t\x7fbf§" + ESCAPE
"""What stands behind the byte where a sequence begins: of a key, an answer, or a step by words."""
_KEY = re.compile(f"{ESCAPE}(?=[^{re.escape(_BEGINS)}])")


class EscapeKey:
    """Cuts what is typed into parts, of which `ESCAPE` alone is the key.

    Textual waits for a tenth of a second for what may follow the byte, and takes a letter typed by then for one typed
    with Alt, and other signs for these signs alone.
    """

    def __init__(self) -> None:
        self._held = ""
        self._paste_tail: str | None = None
        """The last characters of a paste that hasn't ended yet."""

    def parts(self, text: str) -> Iterator[str]:
        """The parts of what was typed; a byte at its end waits for what follows it, or for `rest`."""
        text, self._held = self._held + text, ""
        if self._paste_tail is not None:
            text = yield from self._pasted(text)
        at = 0
        for paste in _PASTE.finditer(text):
            yield from self._keys(text[at : paste.start()])
            at = paste.end()
            yield paste[0]
            if not paste[0].endswith(_PASTE_END):
                self._paste_tail = paste[0][-len(_PASTE_END) :]
                return
        text = text[at:]
        if text.endswith(ESCAPE):
            text, self._held = text[:-1], ESCAPE
        yield from self._keys(text)

    def rest(self) -> str:
        """The byte that waits, now that nothing follows it."""
        held, self._held = self._held, ""
        return held

    def _pasted(self, text: str) -> Generator[str, None, str]:
        """A paste goes on; what is behind its end comes back."""
        assert self._paste_tail is not None
        seen = self._paste_tail + text
        end = seen.find(_PASTE_END)
        if end < 0:
            self._paste_tail = seen[-len(_PASTE_END) :]
            yield text
            return ""
        inside = end + len(_PASTE_END) - len(self._paste_tail)
        self._paste_tail = None
        yield text[:inside]
        return text[inside:]

    def _keys(self, text: str) -> Iterator[str]:
        at = 0
        for key in _KEY.finditer(text):
            if text[at : key.start()]:
                yield text[at : key.start()]
            yield ESCAPE
            at = key.end()
        if text[at:]:
            yield text[at:]
