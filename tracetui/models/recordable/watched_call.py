"""A module's call of which somebody is told before and after: what a pair of hooks does, for a tenth of its price.

nn.Module calls what stands in its `_compiled_call_impl` in place of its own `_call_impl`; here that is a function
around it. Private API, and of no use where hooks of somebody else's stand: those run inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType
from typing import Any

from torch import nn

INSTEAD = "_compiled_call_impl"
"""The attribute that is asked for at each call."""
Site = Any


def watched_by(
    before: Callable[[Site, nn.Module, tuple[Any, ...], dict[str, Any]], None],
    after: Callable[[Site, nn.Module, tuple[Any, ...], Any], Any],
) -> Callable[[nn.Module, Site], Callable[..., Any]]:
    """Makes of a module and its site a call of it around which both are called.

    `after` may return what is given back instead, or None. One of the inner functions for each module: the fewer
    objects it consists of, the less often the collector comes.
    """

    def watched_call(module: nn.Module, site: Site) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            before(site, module, args, kwargs)
            output = _CALL(module, *args, **kwargs)
            instead = after(site, module, args, output)
            return output if instead is None else instead

        return call

    return watched_call


def is_watched_call(call: object) -> bool:
    """Whether something is such a function."""
    return is_watched_call_code(getattr(call, "__code__", None))


def is_watched_call_code(code: object) -> bool:
    """Whether this is what runs in one."""
    return code in _CODES


def may_be_watched(module: nn.Module) -> bool:
    """Whether a module's own attribute decides how it is called, and it has no hooks of its own."""
    own = module.__dict__
    if own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"]:
        return False
    kind: Any = module.__class__
    return own.get(INSTEAD) is None and _is_called_plainly(kind)


@cache
def _is_called_plainly(kind: Any) -> bool:
    return all(getattr(kind, name) is getattr(nn.Module, name) for name in _CALLS)


def asks_for_hooks(kind: type[nn.Module]) -> bool:
    """Whether a class runs otherwise where its modules have hooks, as torch's encoder layer does, fused without."""
    return _names_hooks(getattr(kind.forward, "__code__", None))


@cache
def _names_hooks(code: CodeType | None) -> bool:
    if code is None:
        return False
    inside = [each for each in code.co_consts if isinstance(each, CodeType)]
    return _HOOKS in (*code.co_names, *code.co_consts) or any(map(_names_hooks, inside))


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Of the functions in it, the innermost."""
    inside = [each for each in code.co_consts if isinstance(each, CodeType)]
    yield from (found for each in inside for found in _codes(each)) if inside else (code,)


_HOOKS = "_forward_hooks"
_CALL: Callable[..., Any] = nn.Module._call_impl
_CALLS = ("__call__", "_wrapped_call_impl", "_call_impl")
_CODES = tuple(_codes(watched_by.__code__))
