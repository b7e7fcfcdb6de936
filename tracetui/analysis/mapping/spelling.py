"""Other spellings of a module's path: with slashes and calls, as flax keeps what modules return, or as nnsight's."""

from __future__ import annotations

import re

_FLAX = re.compile(r"^(?:(?:intermediates|params)/)*(?P<path>\w+(?:/\w+)+)$")
_CALL = re.compile(r"/__call__(?:/(?P<call>\d{1,6}))?(?:/(?P<part>\d{1,6}))?$")
_NUMBERED = re.compile(r"(?<=/)(layers|h|blocks)_(\d{1,6})(?=/|$)")
_PARAMETERS = {"kernel": "weight", "scale": "weight", "embedding": "weight", "bias": "bias"}
_PLACES = re.compile(r"\b(layers|blocks|h)\[(\d{1,6})\]")
_OUTPUT = re.compile(r"(?<=\w)\.output(?:\[(?P<part>\d{1,6})\]|\.(?P<number>\d{1,6}))?$")
_INPUT = re.compile(r"(?<=\w)\.inputs?(?:\[0\]|\.0)*$")
_DOUBLE = re.compile(r"^model\.(?=model\.|lm_head\b)")


def dotted(name: str) -> str:
    """The path with dots that a name spells otherwise, with `#1` and `@0.1` for parts and calls; else the name."""
    found = _FLAX.match(name) if "/" in name else None
    return _of_slashes(found["path"]) if found else _of_brackets(name)


def is_transposed(name: str) -> bool:
    """Whether a name is a matrix that flax keeps as [in, out]."""
    return name.endswith("/kernel") and _FLAX.match(name) is not None


def _of_slashes(path: str) -> str:
    call = _CALL.search(path)
    end = ""
    if call:
        path = path[: call.start()]
        end = (f"#{int(call['part'])}" if int(call["part"] or 0) else "") + (
            f"@0.{int(call['call'])}" if int(call["call"] or 0) else ""
        )
    stem, _, leaf = _NUMBERED.sub(r"\1/\2", path).rpartition("/")
    leaf = _PARAMETERS.get(leaf, leaf)
    return "/".join(filter(None, (stem, leaf))).replace("/", ".") + end


def _of_brackets(name: str) -> str:
    """nnsight's `model.layers[0].self_attn.output[0]`, `.input`."""
    path = _PLACES.sub(r"\1.\2", name) if "[" in name else name
    if "put" not in path:
        return _DOUBLE.sub("", path)
    if entered := _INPUT.search(path):
        path = f"{path[: entered.start()]}:input"
    elif returned := _OUTPUT.search(path):
        number = int(returned["part"] or returned["number"] or 0)
        path = path[: returned.start()] + (f"#{number}" if number else "")
    return _DOUBLE.sub("", path)
