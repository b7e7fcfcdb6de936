"""The code behind a record: the class of its module, and the statement of its forward that makes it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from torch import nn

from tracetui.debugger.session import Sourced
from tracetui.models.made_at import Statement, call_of, statement_of
from tracetui.models.pass_through import PassThrough

_KERNEL = (r"attention_interface\(", r"scaled_dot_product_attention\(", r"self\._attn\(", r"softmax\(")
_LATENT = (r"kv_b_proj\(", r"kv_a_layernorm\(")
_RECURRENCE = (r"_scan\(", r"gated_delta_rule\(", r"delta_attention\(", r"linear_attention\(", r"set_linear_cache\(")
_ROUTER = (r"topk\(", r"self\.gate\(", r"self\.router\(", r"router_logits")
_MAKERS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("q", "k", "v", "mask", "sinks", "position_bias", "scores", "masked", "probs", "heads"), _KERNEL),
    **dict.fromkeys(("kv_latent", "k_rope", "q_absorbed"), _LATENT),
    **dict.fromkeys(("router_logits", "router_scores", "selection_scores", "selection_bias"), _ROUTER[1:]),
    **dict.fromkeys(("experts", "routing_weights"), (*_ROUTER, r"self\.experts\(")),
    **dict.fromkeys(("tokens", "in"), (r"self\.experts\(", r"index_add_\(")),
    **dict.fromkeys(("conv", "conv_state"), (r"causal_conv1d_fn\(", r"update_conv_state\(")),
    **dict.fromkeys(("x", "dt", "decay", "beta", "B", "C", "query", "key", "value", "gate"), _RECURRENCE),
    **dict.fromkeys(("update", "scan_output", "state"), _RECURRENCE),
    "attn_residual": (r"residual \+ ", r"\+ residual"),
}
"""What the line may look like that makes a role, the likeliest first."""
NOWHERE: Mapping[str, Sequence[tuple[str, int]]] = MappingProxyType({})
_LIBRARIES = ("site-packages", "dist-packages")


def source_of(model: nn.Module, site: str, raised: Mapping[str, Sequence[tuple[str, int]]] = NOWHERE) -> Sourced:
    """The class of the module that a site belongs to, from its first line on, at the statement that makes the tensor.

    Of torch's own modules that is the statement that calls them.

    site: as in a key, with `#1` behind it for the second tensor that was returned. raised: by module
    path the files and lines that an error came through; of such a module the last one in its class.
    """
    site, _, part = site.partition("#")
    path, _, role = site.partition(":")
    holder, module = _nearest(model, "" if path in ("logits", "output") else path)
    if isinstance(module, PassThrough):
        return Sourced(site, error=f"{holder}: this layer was left out, and nothing of the model runs there")
    shower = _shower(model, holder, raised)
    kind = type(model.get_submodule(shower))
    if (place := _where_it_was_raised(kind, raised.get(shower, ()))) is not None:
        (text, first, file), line = place
        remark = "raised here" if shower == holder else f"calls what failed, {holder}"
        return Sourced(site, shower, kind.__name__, _shown(file), first, text, line - first, remark)
    if not role and (caller := _caller(model, holder)) is not None:
        shower, (text, first, file), statement = caller
        kind = type(model.get_submodule(shower))
        return Sourced(site, shower, kind.__name__, _shown(file), first, text, statement.line, statement.says)
    try:
        text, first, file = _code(_with_forward(type(module)))
    except (OSError, TypeError):
        return Sourced(site, holder, type(module).__name__, error=f"{type(module).__name__}: its source isn't there")
    at, says = _line(text, role, int(part or 0), path)
    return Sourced(site, holder, type(module).__name__, _shown(file), first, text, at, says)


def _with_forward(kind: type) -> type:
    """The class that a class has its forward from."""
    return next((each for each in kind.__mro__ if "forward" in vars(each) and each is not nn.Module), kind)


def _caller(model: nn.Module, path: str) -> tuple[str, Code, Statement] | None:
    """Of one of torch's own modules the one whose forward calls it, that one's code, and the statement."""
    outer, _, name = path.rpartition(".")
    if not type(model.get_submodule(path)).__module__.startswith("torch.") or not name:
        return None
    try:
        code = _code(_with_forward(type(model.get_submodule(outer))))
    except (OSError, TypeError):
        return None
    statement = call_of(code[0], name)
    return None if statement is None else (outer, code, statement)


def _shower(model: nn.Module, path: str, raised: Mapping[str, Sequence[tuple[str, int]]]) -> str:
    """The module whose line says most about an error: for torch's own layers the module that called them."""
    while path in raised and type(model.get_submodule(path)).__module__.startswith("torch."):
        outer = path.rpartition(".")[0]
        if not path or outer not in raised:
            break
        path = outer
    return path


Code = tuple[tuple[str, ...], int, str]
"""The lines of a class, the number of the first, and the file."""


def _code(kind: type) -> Code:
    """The lines of a class, the number of the first, and the file. Raises OSError or TypeError."""
    lines, first = inspect.getsourcelines(kind)
    return tuple(line.rstrip("\n") for line in lines), first, inspect.getsourcefile(kind) or ""


def _where_it_was_raised(
    kind: type, places: Sequence[tuple[str, int]]
) -> tuple[tuple[tuple[str, ...], int, str], int] | None:
    """The class (or the base class with its forward) that contains the last of these lines, and that line."""
    for inherited in kind.__mro__ if places else ():
        try:
            code = _code(inherited)
        except (OSError, TypeError):
            continue
        inside = [line for file, line in places if file == code[2] and 0 <= line - code[1] < len(code[0])]
        if inside:
            return code, inside[-1]
    return None


def _nearest(model: nn.Module, path: str) -> tuple[str, nn.Module]:
    """The module at a path, or the nearest one around it: one of many experts in one tensor is none of its own."""
    while path:
        try:
            return path, model.get_submodule(path)
        except AttributeError:
            path = path.rpartition(".")[0]
    return "", model


def _line(lines: Sequence[str], role: str, part: int, site: str) -> tuple[int, str]:
    """The place of the line to look at, and in words what it is."""
    start = next((place for place, line in enumerate(lines) if re.match(r"\s*def forward\(", line)), -1)
    if start < 0:
        # A class that inherits its forward.
        return 0, "the class"
    for pattern in _MAKERS.get(role, ()):
        for place in range(start, len(lines)):
            if re.search(pattern, lines[place]):
                return place, f"what looks like the line behind {role}"
    made = None if role else statement_of(lines, part, site)
    return (start, "forward") if made is None else (made.line, made.says)


def _shown(file: str) -> str:
    """The file without the folder that libraries lie in: `transformers/models/llama/modeling_llama.py`."""
    parts = Path(file).parts
    for library in _LIBRARIES:
        if library in parts:
            return "/".join(parts[parts.index(library) + 1 :])
    return Path(file).name
