"""How large the parts of a trace file may be, so that a hostile one can't take the machine's memory."""

from __future__ import annotations

MAX_RECORDS = 500_000
MAX_HEADER = 128 << 20
"""Bytes of the JSON header, and of the timing."""
MAX_CONTAINERS = 5 * MAX_RECORDS
"""Lists and objects in the header: three a record, and some for the rest."""
MAX_VALUES = 20 * MAX_RECORDS
"""Texts and numbers in the header, a record has 24, and so long a text that fewer fit into the header."""
MAX_DIRECTORY = 128 << 20
"""Bytes of the zip file's list of members."""
MAX_DEPTH = 64
"""Lists and objects of the recipe or config inside one another."""
MAX_COUNT = 2**63 - 1


def too_large(document: bytes) -> str:
    """Why a JSON document is not read, before it is parsed: objects take far more memory than their text."""
    if len(document) > MAX_HEADER:
        return f"is larger than {MAX_HEADER:,} bytes, got {len(document):,}"
    containers = document.count(b"[") + document.count(b"{")
    if containers > MAX_CONTAINERS:
        return f"holds more than {MAX_CONTAINERS:,} lists and objects, got {containers:,}"
    if document.count(b",") > MAX_VALUES:
        return f"holds more than {MAX_VALUES:,} values"
    return ""
