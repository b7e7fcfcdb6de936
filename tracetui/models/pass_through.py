"""What stands where a layer was left out: the residual stream goes out as it came in."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

from tracetui.errors import InputError, RunError
from tracetui.models.weights.placeholder import put_placeholder


@dataclass(frozen=True, slots=True)
class NamedForm:
    """What a layer returns by names, as a family of two residual streams does."""

    kind: Any
    """The named tuple or dataclass."""
    arguments: tuple[tuple[str, str], ...]
    """Pairs of a field and the layer's argument that the field returns."""
    others: tuple[str, ...]
    """The fields that the layer alone computes."""

    def of(self, values: Mapping[str, object]) -> Any:
        """The return value of a layer that was given these values and changed nothing."""
        handed_on = {name: values.get(argument) for name, argument in self.arguments}
        return self.kind(**handed_on, **dict.fromkeys(self.others))


Form = tuple[str, ...] | NamedForm | None
"""The names in the tuple that a layer returns, the residual stream first; a NamedForm if it returns them by name; None
if it returns the stream alone."""


class PassThrough(nn.Module):
    """Stands in for a layer that was left out; other attributes, such as the kind of attention, are the layer's own."""

    def __init__(self, form: Form = None, layer: nn.Module | None = None) -> None:
        super().__init__()
        self._form = form
        # In a list, so that nothing of it is part of the model.
        self._stands_for = [] if layer is None else [layer]

    def forward(self, hidden_states: torch.Tensor, *args: object, **kwargs: object) -> Any:
        """Returns the residual stream unchanged, and other states as they came in under the same name."""
        if self._form is None:
            return hidden_states
        if isinstance(self._form, NamedForm):
            return self._form.of({"hidden_states": hidden_states, **kwargs})
        return (hidden_states, *(kwargs.get(name) for name in self._form[1:]))

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            for layer in self.__dict__.get("_stands_for", ()):
                return getattr(layer, name)
            raise


class _LeftOut:
    """The weights of layers that were left out are nowhere."""

    def lend(self, name: str) -> torch.Tensor:
        raise RunError(f"{name}: the model reads it, and its layer was left out (--layers); run all layers")

    def lend_rows(self, name: str, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raise RunError(f"{name}: the model reads it, and its layer was left out (--layers); run all layers")


_LEFT_OUT = _LeftOut()


def pass_through(path: str, layer: nn.Module) -> PassThrough:
    """What stands for the layer at a path. Raises InputError if its family hands on more than the residual stream."""
    try:
        form = returned_form(type(layer))
    except _UnknownFormError as error:
        raise InputError(
            f"layers: {type(layer).__name__} returns a {error}; this family runs with all its layers only"
        ) from None
    for inner, module in layer.named_modules(prefix=path):
        for name, parameter in module._parameters.items():
            if parameter is not None:
                held = put_placeholder(f"{inner}.{name}", parameter, parameter.dtype, _LEFT_OUT)
                module._parameters[name] = held
    return PassThrough(form, layer)


class _UnknownFormError(Exception):
    """A layer returns neither tensors in a known order nor any that it was given."""


def returned_form(kind: type[nn.Module]) -> Form:
    """What a class's forward returns beside the residual stream, as its code says: older families a tuple."""
    return _form_of(kind.forward)


@cache
def _form_of(forward: Any) -> Form:
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(forward))).body
    assert isinstance(function, ast.FunctionDef)
    values = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value is not None]
    for value in values:
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id.endswith("Output"):
            return _named(value.func.id, value, function, inspect.unwrap(forward).__globals__)
    known = _assigned(function.body)
    forms = (_items(value, known) for value in values)
    return next((form for form in forms if form), None)


def _named(name: str, made: ast.Call, function: ast.FunctionDef, known: Mapping[str, Any]) -> NamedForm:
    """The form of a named tuple that is made of the layer's arguments, each with something added to it or not."""
    parameters = {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}
    begun_with = {each: each for each in parameters}
    assignments = [node for node in ast.walk(function) if isinstance(node, ast.Assign)]
    for assignment in sorted(assignments, key=lambda node: node.lineno):
        match assignment:
            case ast.Assign(targets=[ast.Name(id=target)], value=ast.BinOp(left=ast.Name(id=left), op=ast.Add())):
                begun_with[target] = begun_with.get(left, "")
            case ast.Assign(targets=[ast.Name(id=target)]):
                begun_with[target] = ""
    values = {each.arg: each.value for each in made.keywords if each.arg}
    sources = {field: begun_with.get(value.id, "") for field, value in values.items() if isinstance(value, ast.Name)}
    if "hidden_states" not in sources.values() or made.args or name not in known:
        raise _UnknownFormError(name)
    arguments = tuple((field, source) for field, source in sources.items() if source)
    return NamedForm(known[name], arguments, tuple(field for field in values if not sources.get(field)))


def _assigned(statements: Sequence[ast.stmt]) -> dict[str, tuple[str, ...]]:
    """The tuples that names stand for after statements have run; of a condition what follows if it doesn't hold."""
    known: dict[str, tuple[str, ...]] = {}
    for statement in statements:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                known[name] = _items(value, known)
            case ast.AugAssign(target=ast.Name(id=name), value=value):
                known[name] = known.get(name, ()) + _items(value, known)
            case ast.If(orelse=otherwise):
                for name, items in _assigned(otherwise).items():
                    known[name] = known.get(name, ()) + items
    return known


def _items(value: ast.expr, known: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The names of the items of a tuple or list, empty for those that have none; nothing for what is no tuple."""
    match value:
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return tuple(item.id if isinstance(item, ast.Name) else "" for item in items)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _items(left, known) + _items(right, known)
        case ast.Name(id=name):
            return known.get(name, ())
    return ()
