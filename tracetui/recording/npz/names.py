"""Member names: the keys of records, made safe for every zip tool and file system."""

from __future__ import annotations

import re

HEADER = "__tracetui__"
TIMING = "__timing__"

MAX_NAME = 200
"""Bytes of a member's name without its `.npy`."""
_UNSAFE = re.compile(rb"[^ -~]|[%/\\]|\.(?=npy\Z)")
_SAFE_MEMBER = re.compile(r"[ -.0-\[\]-~]{0,250}\.npy")


class MemberNames:
    """Gives each stored array a name of its own, different from all others even where case doesn't count."""

    def __init__(self) -> None:
        self._taken = {"", HEADER, TIMING}

    def name(self, key: str, index: int) -> str:
        """The key itself if it is a safe and unused name; else an escaped form, made unique by the record's index."""
        name = _UNSAFE.sub(_percent, key.encode("utf-8", errors="surrogatepass")).decode("ascii")
        if len(name) > MAX_NAME or name.lower() in self._taken:
            suffix = f"%~{index}"
            name = name[: MAX_NAME - len(suffix)] + suffix
        self._taken.add(name.lower())
        return name


def _percent(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]


def is_safe(member: str) -> bool:
    """Whether a member's name, `.npy` included, is plain ASCII without a path in it."""
    return _SAFE_MEMBER.fullmatch(member) is not None
