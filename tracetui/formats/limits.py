"""How large the parts of a trace file may be, so that a hostile one can't take the machine's memory."""

from __future__ import annotations

from typing import Any

MAX_RECORDS = 500_000
MAX_HEADER = 128 << 20
"""Bytes of the JSON header, and of the timing."""
MAX_CONTAINERS = 5 * MAX_RECORDS
"""Lists and objects in the header: three a record, and some for the rest."""
MAX_VALUES = 20 * MAX_RECORDS
"""Texts and numbers in the header, a record has 24, and so long a text that fewer fit into the header."""
MAX_OTHER_VALUES = 2_000_000
MAX_OTHER_CONTAINERS = 1_000_000
"""The same outside of the records: what may have any keys and texts takes more memory for each."""
MAX_DIRECTORY = 128 << 20
"""Bytes of the zip file's list of members."""
MAX_DEPTH = 64
"""Lists and objects of the recipe or config inside one another."""
MAX_COUNT = 2**63 - 1


def too_large(document: bytes, longest: str = "") -> str:
    """Why a JSON document is not read, before it is parsed: objects take far more memory than their text.

    longest: the one field that may hold more than all others together; empty if each may.
    """
    if len(document) > MAX_HEADER:
        return f"is larger than {MAX_HEADER:,} bytes, got {len(document):,}"
    values, containers = _counts(document)
    if containers > MAX_CONTAINERS:
        return f"holds more than {MAX_CONTAINERS:,} lists and objects, got {containers:,}"
    if values > MAX_VALUES:
        return f"holds more than {MAX_VALUES:,} values"
    if longest and (values > MAX_OTHER_VALUES or containers > MAX_OTHER_CONTAINERS):
        of_longest = _counts(_field(document, longest))
        if values - of_longest[0] > MAX_OTHER_VALUES:
            return f"holds more than {MAX_OTHER_VALUES:,} values beside its {longest}"
        if (others := containers - of_longest[1]) > MAX_OTHER_CONTAINERS:
            return f"holds more than {MAX_OTHER_CONTAINERS:,} lists and objects beside its {longest}, got {others:,}"
    return ""


def _counts(text: bytes | memoryview) -> tuple[int, int]:
    """About how many values a JSON text holds, and how many lists and objects."""
    content = bytes(text)
    return content.count(b","), content.count(b"[") + content.count(b"{")


def _field(document: bytes, name: str) -> bytes | memoryview:
    """The text of one field of an object; nothing where there is none, or where this is no JSON."""
    # Not before numpy: it brings typing_extensions, with which all that is generic in numpy is made more slowly.
    import msgspec

    form: Any = msgspec.defstruct("Form", [("field", msgspec.Raw, msgspec.Raw())], rename={"field": name})
    try:
        return memoryview(msgspec.json.decode(document, type=form).field)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return b""
