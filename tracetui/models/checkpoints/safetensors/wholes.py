"""The text model's tensors in files of several parts whose names only transformers' rules for the whole lead to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracetui.models.checkpoints.safetensors.name_forms import NameForm, form_key, forms_of
from tracetui.models.checkpoints.safetensors.names import Names, match_names
from tracetui.models.checkpoints.safetensors.parts import TextNames, TextPrefix, text_prefix
from tracetui.recipe.class_defaults import wholes_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tracetui.models.checkpoints.safetensors.files import SafetensorsFiles
    from tracetui.models.checkpoints.safetensors.renaming import Renaming


@dataclass(frozen=True, slots=True)
class InWhole:
    """How a folder's tensors are called in the model of several parts that they are of."""

    kind: str
    """The type of the whole."""
    prefix: TextPrefix
    """How the text model's names begin there."""
    places: Mapping[str, str]
    """What each tensor is called there, by the name that it goes by now."""


def renamed_in_whole(
    model: PreTrainedModel, files: SafetensorsFiles, weights: Collection[str], names: Names
) -> InWhole | None:
    """Rename a folder's tensors as transformers would in reading the whole, where more of the model is found that way.

    weights: the names of all tensors but scales. names: what is found of the model without. None, and nothing is
    renamed, where no type of several parts explains the file better.
    """
    fitness = names.count, -len(names.spare)
    reading: tuple[str, Mapping[str, str], TextPrefix] | None = None
    for kind, places in _as_in_wholes(str(model.config.model_type), files, TextNames(model)):
        prefix = text_prefix(model, {places[name]: stored for name, stored in files.tensors.items()})
        if prefix is None:
            continue
        inner = (prefix.published(places[name]) for name in weights)
        matched = match_names(model, (own for own in inner if own is not None), kind)
        if (matched.count, -len(matched.spare)) > fitness:
            fitness, reading = (matched.count, -len(matched.spare)), (kind, places, prefix)
    if reading is None:
        return None
    kind, places, prefix = reading
    renamed = {name: prefix.published(place) or place for name, place in places.items()}
    files.rename(renamed.get, prefix.file_name)
    return InWhole(kind, prefix, {renamed[name]: place for name, place in places.items()})


def _as_in_wholes(kind: str, files: SafetensorsFiles, text: TextNames) -> Iterator[tuple[str, Mapping[str, str]]]:
    """What each type of several parts around such a text model calls a folder's tensors, where it changes any and some
    may be the text model's then.

    Types with the same rules are looked at once.
    """
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping
    from transformers.core_model_loading import WeightRenaming

    from tracetui.models.checkpoints.safetensors.renaming import Renaming

    rules_of: dict[tuple[str, ...], tuple[str, Sequence[Any]]] = {}
    for whole in wholes_of(kind):
        if rules := get_checkpoint_conversion_mapping(whole):
            rules_of.setdefault(tuple(map(_rule_key, rules)), (whole, rules))
    if not rules_of:
        return
    own_names = [files.own_name(name) for name in files.tensors]
    forms = forms_of(own_names)
    for whole, rules in rules_of.values():
        renaming = Renaming([rule for rule in rules if isinstance(rule, WeightRenaming)], [])
        if not any(_may_end(form, renaming, text) for form in dict.fromkeys(forms)):
            continue
        places = [renaming(own, form).plain for own, form in zip(own_names, forms, strict=True)]
        has_converters = not all(isinstance(rule, WeightRenaming) for rule in rules)
        if (has_converters or places != own_names) and len(set(places)) == len(places):
            yield whole, dict(zip(files.tensors, places, strict=True))


def _may_end(form: NameForm | None, renaming: Renaming, text: TextNames) -> bool:
    """Whether names of a form may stand in a text model when they are renamed; any may whose form isn't known."""
    known = None if form is None else renaming.known(form)
    if form is None or known is None:
        return True
    return text.may_end(form_key(known.plain.format(*("0" for _ in form.numbers))))


def _rule_key(rule: Any) -> str:
    """What two rules have in common that do the same."""
    operations = [type(operation).__name__ for operation in getattr(rule, "operations", ())]
    return repr((type(rule).__name__, rule.source_patterns, rule.target_patterns, operations))
