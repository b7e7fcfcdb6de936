"""What transformers' own documentation says of a configuration's fields, read from the class at run time."""

from __future__ import annotations

import inspect
import re

_FIELD = re.compile(r"^( *)(\w+) \(`.*\):\s*$")
_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)", re.DOTALL)


def documented_fields(config_class: type) -> dict[str, str]:
    """Each documented field's text on one line, without links and marks; empty where there is no documentation.

    A field's text is indented further than its name, and ends where something is not.
    """
    texts: dict[str, list[str]] = {}
    name, depth = "", 0
    for line in inspect.cleandoc(config_class.__doc__ or "").splitlines():
        if start := _FIELD.match(line):
            depth, name = len(start[1]), start[2]
            texts.setdefault(name, [])
        elif name and line.strip() and len(line) - len(line.lstrip()) <= depth:
            name = ""
        elif name:
            texts[name].append(line.strip())
    return {field: _plain(" ".join(lines)) for field, lines in texts.items() if any(lines)}


def _plain(text: str) -> str:
    return " ".join(_LINK.sub(r"\1", text).replace("`", "").split())
