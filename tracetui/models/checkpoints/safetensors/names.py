"""From a checkpoint's names to a model's, by transformers' own rules and tables.

transformers renames (older names, a missing or additional base prefix) and converts (one tensor per expert into one
for all). Both are asked for each name of the file; the tensors themselves are not touched here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from tracetui.models.checkpoints.safetensors.name_forms import NameForm, form_key
from tracetui.models.checkpoints.safetensors.order import FormOrder, natural_order
from tracetui.models.pass_through import PassThrough
from tracetui.recipe.class_defaults import wholes_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tracetui.models.checkpoints.safetensors.renaming import Renamed, Renaming


@dataclass(eq=False, slots=True)
class Conversion:
    """Several tensors of a file, or parts of one, that transformers makes into a model's parameter."""

    converter: Any
    """transformers' WeightConverter, in which nothing is collected yet."""
    first_target: str
    """The parameter that the conversion is known by; it may make others too."""
    sources: dict[str, list[str]] = field(default_factory=dict)
    """The file's names under each of the converter's source patterns, in the order of their numbers."""
    numbers: dict[str, list[int]] = field(default_factory=dict)
    """For patterns that stand for many tensors, the number of each."""
    _known_places: dict[str, dict[int, int | None]] = field(default_factory=dict)

    def add(self, pattern: str, name: str, renamed: str) -> None:
        """Note a tensor of the file that matches a pattern under the name that renaming gives it."""
        self.sources.setdefault(pattern, []).append(name)
        if "*." in pattern:
            # A pattern is a regular expression but for its star, as transformers reads it.
            match = _numbered(pattern).search(renamed)
            self.numbers.setdefault(pattern, []).append(int(match[1]) if match else -1)

    @property
    def names(self) -> list[str]:
        return [name for names in self.sources.values() for name in names]

    def is_complete(self, rows: int) -> bool:
        """Whether each of the converter's lists is there, and the numbered ones have 0 … rows - 1 once each."""
        return self._has_all_lists and all(list(numbers) == list(range(rows)) for numbers in self.numbers.values())

    def names_of_row(self, row: int) -> dict[str, str] | None:
        """The file's name under each pattern of what makes row `row`; None unless each has it exactly once."""
        if not (self._has_all_lists and self.is_row_by_row() and self.numbers.keys() == self.sources.keys()):
            return None
        places = {pattern: self._places(pattern).get(row) for pattern in self.sources}
        row_names = {
            pattern: names[place] for pattern, names in self.sources.items() if (place := places[pattern]) is not None
        }
        return row_names if len(row_names) == len(self.sources) else None

    def _places(self, pattern: str) -> dict[int, int | None]:
        """The index of each number in a pattern's list; None for a number that occurs more than once."""
        if pattern not in self._known_places:
            places: dict[int, int | None] = {}
            for place, number in enumerate(self.numbers[pattern]):
                places[number] = None if number in places else place
            self._known_places[pattern] = places
        return self._known_places[pattern]

    @property
    def _has_all_lists(self) -> bool:
        return self.sources.keys() == set(self.converter.source_patterns)

    def is_row_by_row(self) -> bool:
        """Whether row i of the result comes from the i-th tensor of each list alone."""
        first, *others = self.converter.operations
        stacks = type(first).__name__ == "MergeModulelist" and first.dim == 0
        return stacks and all(type(op).__name__ == "Concatenate" and op.dim > 0 for op in others)


@cache
def _numbered(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace("*.", r"(\d+)\."))


@dataclass(slots=True)
class Names:
    """Where each of a model's tensors stands in a file."""

    direct: dict[str, str] = field(default_factory=dict)
    """The model's name to the file's."""
    converted: dict[str, Conversion] = field(default_factory=dict)
    spare: list[str] = field(default_factory=list)
    """The file's names of tensors that no module asks for; those of layers left out don't count."""

    @property
    def count(self) -> int:
        """How many of the model's tensors are there."""
        return len(self.direct) + len(self.converted)


def match_names(model: PreTrainedModel, names: Iterable[str], whole: str = "") -> Names:
    """Match a file's names with a model's parameters and persistent buffers, as from_pretrained would.

    whole: the type of several parts whose conversions apply too.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming

    from tracetui.models.checkpoints.safetensors.renaming import Renaming

    parameters = model.state_dict()
    transforms = [*get_model_conversion_mapping(model), *_of_the_whole(model, whole)]
    converters = [matched for matched in transforms if isinstance(matched, WeightConverter)]
    renaming = Renaming([matched for matched in transforms if isinstance(matched, WeightRenaming)], converters)
    places = _Places(parameters, model.base_model_prefix)
    skipped = tuple(_skipped_prefixes(model))
    matched = Names()
    candidates: list[_Candidate] = []
    asked = [name for name in names if not name.startswith(skipped)] if skipped else list(names)
    if not renaming.is_of_each_name:
        asked.sort(key=natural_order)
    plans: dict[NameForm | None, _FormPlan | None] = {None: None}
    for name, form in zip(asked, renaming.forms_of(asked), strict=True):
        if form is not None and form not in plans:
            plans[form] = _plan(form, renaming, places, bool(skipped))
        plan = plans[form]
        numbers = form.distinct_numbers(name) if plan is not None and form is not None else ()
        if plan is None or not numbers:
            plan, numbers = _FormPlan(renaming(name), None), ()
        elif plan.is_lost:
            matched.spare.append(name)
            continue
        renamed, pattern = places.of(plan.renamed.converted_with(numbers)), plan.renamed.pattern
        if renamed not in parameters and name in parameters:
            renamed, pattern = places.of(name), None
        if renamed in parameters:
            order = natural_order(name) if plan.order is None else plan.order.of(numbers)
            candidates.append(_Candidate(order, name, plan.renamed.plain_with(numbers), renamed, pattern))
        elif not (skipped and renamed.startswith(skipped)):
            matched.spare.append(name)
    _settle(matched, candidates, parameters, {pattern: rule for rule in converters for pattern in rule.source_patterns})
    return matched


class _FormPlan(NamedTuple):
    """What becomes of the names of one form whose numbers differ, or of a single name."""

    renamed: Renamed
    order: FormOrder | None
    """None for a single name."""
    is_lost: bool = False
    """Whether none of them leads to one of the model's parameters."""


def _plan(form: NameForm, renaming: Renaming, places: _Places, skips: bool) -> _FormPlan | None:
    """None where names of a form must be asked about one by one. skips: whether layers are left out."""
    if (known := renaming.known(form)) is None:
        return None
    converted = known.converted_with(["0"] * len(form.numbers))
    is_lost = not skips and not (places.may_hold(form.sample) or places.may_hold(converted))
    return _FormPlan(known, FormOrder(form.sample), is_lost)


class _Places:
    """Where names stand in a model with its base model's prefix or without, as transformers looks for them."""

    def __init__(self, parameters: Mapping[str, torch.Tensor], prefix: str) -> None:
        self._parameters = parameters
        self._prefix = prefix
        self._keys = frozenset(map(form_key, parameters))

    def of(self, name: str) -> str:
        """A name as it stands in the model, or the name itself."""
        prefix, parameters = self._prefix, self._parameters
        if name.startswith(prefix) and (inner := name[len(prefix) + 1 :]) in parameters:
            return inner
        outer = f"{prefix}.{name}"
        return outer if outer in parameters else name

    def may_hold(self, name: str) -> bool:
        """Whether one of the names that differ from this one in their numbers alone stands in the model."""
        key = form_key(name)
        inner = key[len(self._prefix) + 1 :] if key.startswith(self._prefix) else key
        return not self._keys.isdisjoint((key, inner, f"{self._prefix}.{key}"))


class _Candidate(NamedTuple):
    """A name of a file that leads to one of a model's parameters."""

    order: str
    """What sorts them as transformers does."""
    name: str
    plain_name: str
    """As the rules rename it that convert nothing."""
    parameter: str
    pattern: str | None
    """Of the converter that makes the parameter of it and others; None where it is the parameter."""


def _settle(
    matched: Names,
    candidates: list[_Candidate],
    parameters: Mapping[str, torch.Tensor],
    converters: Mapping[str, Any],
) -> None:
    """Note what each of the model's parameters is read from; of two names for one the first in order.

    converters: transformers' converters by their source patterns.
    """
    conversions: dict[str, Conversion] = {}
    for _, name, plain_name, parameter, pattern in sorted(candidates, key=itemgetter(0)):
        if pattern is not None:
            if (conversion := conversions.get(parameter)) is None:
                conversion = conversions[parameter] = Conversion(converters[pattern], parameter)
            conversion.add(pattern, name, plain_name)
        elif parameter not in matched.direct:
            matched.direct[parameter] = name
        else:
            matched.spare.append(name)
    for conversion in conversions.values():
        _add(matched, conversion, parameters)


def _of_the_whole(model: PreTrainedModel, known: str) -> list[Any]:
    """What transformers does to the text model's tensors only where it reads the model of several parts around it."""
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    kind = str(model.config.model_type)
    if get_checkpoint_conversion_mapping(kind):
        return []
    # A llama is a text model of many that have nothing else to do with it.
    wholes = [known] if known else [whole for whole in wholes_of(kind) if kind.startswith(f"{whole}_")]
    rules = [rule for whole in wholes for rule in get_checkpoint_conversion_mapping(whole) or ()]
    # Those that lead to a part of the whole are for names that have found their part already.
    apart = re.compile(r"\^|language_model|vision|projector")
    return [rule for rule in rules if not apart.search(" ".join((*rule.source_patterns, *rule.target_patterns)))]


def tied_names(model: nn.Module) -> list[list[str]]:
    """The names of each tensor that stands in several places, the first one first."""
    places: dict[nn.Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        places.setdefault(parameter, []).append(name)
    return [names for names in places.values() if len(names) > 1]


def _add(matched: Names, conversion: Conversion, parameters: Mapping[str, torch.Tensor]) -> None:
    """Note a conversion under every parameter that it makes; a file that has it made already counts first."""
    targets = conversion.converter.target_patterns
    for target in targets:
        name = conversion.first_target.replace(targets[0], target)
        if name in matched.direct:
            matched.spare.extend(conversion.names)
            return
        if name in parameters:
            matched.converted[name] = conversion


def _skipped_prefixes(model: PreTrainedModel) -> Iterable[str]:
    """How names begin in layers that were left out, with the base model's prefix and without."""
    for path, module in model.named_modules():
        if isinstance(module, PassThrough):
            yield f"{path}."
            yield f"{path}.".removeprefix(f"{model.base_model_prefix}.")
