"""The text model's tensors in files of several parts, under whatever prefix they stand there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracetui.models.checkpoints.safetensors.name_forms import form_key, forms_of
from tracetui.text import visible

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tracetui.models.checkpoints.safetensors.header import Stored

_SHOWN = 6


@dataclass(frozen=True, slots=True)
class TextPrefix:
    """How the names of a text model begin in a file, and how they do in the model itself."""

    prefix: str
    """`language_model.model.`, before the names of layers and embedding."""
    own: str
    """`model.`: the same in the text model alone."""
    heads: Mapping[str, str]
    """Maps the file's names for modules outside the layers, such as the head, to the model's names."""

    @property
    def is_another(self) -> bool:
        """Whether the prefix is neither the model's own nor that of a model without a head."""
        return self.prefix not in ("", self.own)

    def is_of_another_part(self, name: str) -> bool:
        """Whether a tensor of the file stands in a module beside the text model."""
        return bool(self.prefix) and ("." in name or self.is_another) and self.published(name) is None

    def published(self, name: str) -> str | None:
        """The model's name for one of the file's; None for another part's."""
        if name.startswith(self.prefix):
            return self.own + name.removeprefix(self.prefix)
        return next((own + name.removeprefix(head) for head, own in self.heads.items() if name.startswith(head)), None)

    def file_name(self, name: str) -> str | None:
        """The file's name for one of the model's."""
        if name.startswith(self.own):
            return self.prefix + name.removeprefix(self.own)
        return next((head + name.removeprefix(own) for head, own in self.heads.items() if name.startswith(own)), None)


def text_prefix(model: PreTrainedModel, tensors: Mapping[str, Stored]) -> TextPrefix | None:
    """Where a file has the layers of a model; None if it has none of its tensors."""
    text = TextNames(model)
    names = list(tensors)
    forms = forms_of(names)
    near = {form for form in set(forms) if form is None or text.may_end(form.key)}
    ending = (name for name, form in zip(names, forms, strict=True) if form in near)
    places = [(name, prefix) for name in ending if (prefix := text.before(name)) is not None]
    if not places:
        return None
    embedding = embedding_name(model).removeprefix(text.own)
    shapes = text.shapes
    alike = Counter(prefix for name, prefix in places if tensors[name].shape == shapes[name.removeprefix(prefix)])
    votes = Counter(prefix for _, prefix in places)
    # Each prefix asks, and there may be as many as names.
    heads_keys = [form_key(head) for head in text.outside]
    headed = {form for form in set(forms) if form is None or any(key in form.key for key in heads_keys)}
    asked = [name for name, form in zip(names, forms, strict=True) if form in headed]
    there = {name[:stop] for head in text.outside for name in asked for stop in _stops(head, name)}

    def heads(prefix: str) -> dict[str, str]:
        return {outer + head: head for head in text.outside for outer in _outer(prefix) if outer + head in there}

    def fitness(prefix: str) -> tuple[bool, int, int, int]:
        """A vision tower has layers of the same names, but no embedding; a model that speaks has another head."""
        return prefix + embedding in tensors, alike[prefix], len(heads(prefix)), votes[prefix]

    best = max(votes, key=fitness)
    return TextPrefix(best, text.own, heads(best))


class TextNames:
    """What a text model's tensors are called, in whatever stands around it."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.own = _own_prefix(model)
        """`model.`: what stands before its layers in the model alone."""
        parameters = model.state_dict()
        inside = [name for name in parameters if name.startswith(self.own)]
        self.shapes = {name.removeprefix(self.own): tuple(parameters[name].shape) for name in inside}
        """Of what stands behind that prefix."""
        self.outside = sorted({name.split(".")[0] + "." for name in parameters if not name.startswith(self.own)})
        """The modules beside it, the head above all."""
        self._ends = {name[start:] for name in self.shapes for start in _starts(name)}
        self._keys = set(map(form_key, self.shapes))
        self._key_ends = {key[start:] for key in self._keys for start in _starts(key)}

    def before(self, name: str) -> str | None:
        """The part of another name before the longest of these names that it ends with; None if it ends with none."""
        return _before(name, self.shapes, self._ends)

    def may_end(self, key: str) -> bool:
        """Whether a name with this key, as `form_key` has it, may end with one of these."""
        return _before(key, self._keys, self._key_ends) is not None


def other_parts(used: Collection[str], apart: Collection[str]) -> dict[str, int]:
    """The parts of a file that are none of the text model, by the names of their modules, with how many tensors.

    used, apart: the file's names of tensors that modules ask for, and of those of other parts.
    """
    around = {outer for name in used for outer in _outer(name)}
    return dict(Counter(_first_apart(name, around) for name in apart))


def told(parts: Mapping[str, int]) -> str:
    """`vision_tower (437 tensors), multi_modal_projector (1 tensor)`."""
    counts = {name: f"{count:,} tensor{'s' if count > 1 else ''}" for name, count in list(parts.items())[:_SHOWN]}
    names = ", ".join(f"{visible(name, 40)} ({count})" for name, count in counts.items())
    return names + (f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else "")


def _before(name: str, inner: Collection[str], ends: Collection[str]) -> str | None:
    """The part of another name before the longest of these names that it ends with; None if it ends with none.

    ends: the last parts of each of these names, and the whole.
    """
    shortest = None
    start = len(name)
    while start and (end := name[(start := name.rfind(".", 0, start - 1) + 1) :]) in ends:
        if end in inner:
            shortest = name[:start]
    return shortest


def _starts(name: str) -> Iterator[int]:
    """Where the parts of a name begin."""
    yield 0
    yield from (place + 1 for place, letter in enumerate(name) if letter == ".")


def _own_prefix(model: PreTrainedModel) -> str:
    """What stands before the names of a model's layers: where the model without its head is."""
    from transformers import PreTrainedModel

    inner = (path for path, child in model.named_children() if isinstance(child, PreTrainedModel))
    return f"{next(inner, model.base_model_prefix)}."


def embedding_name(model: PreTrainedModel) -> str:
    """What the model calls its table of tokens; empty where it has none that it tells of."""
    try:
        table = model.get_input_embeddings()
    except NotImplementedError:
        return ""
    return next((f"{path}.weight" for path, module in model.named_modules() if module is table), "")


def _outer(path: str) -> Iterator[str]:
    """`a.b.`, `a.` and nothing: what stands before the parts of `a.b.c`, or of `a.b.`."""
    for place in range(len(path) - 1, -1, -1):
        if path[place] == ".":
            yield path[: place + 1]
    if path:
        yield ""


def _stops(head: str, name: str) -> Iterator[int]:
    """Where parts of a name end that are a module's, `lm_head.`."""
    start = name.find(head)
    while start >= 0:
        if start == 0 or name[start - 1] == ".":
            yield start + len(head)
        start = name.find(head, start + 1)


def _first_apart(name: str, around: Collection[str]) -> str:
    """The outermost module that a tensor doesn't share with any that is used."""
    parts = name.split(".")
    depths = range(1, len(parts))
    return next((".".join(parts[:n]) for n in depths if ".".join(parts[:n]) + "." not in around), name)
