"""A recipe's configuration with all that is known of its fields; no weights are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from tracetui.models.build import build_model
from tracetui.models.checkpoints.tree import checkpoint_tree
from tracetui.models.config_help.class_docs import documented_fields
from tracetui.models.config_help.decides import Decider
from tracetui.models.config_help.unread import class_fields
from tracetui.recipe import Layers, Recipe
from tracetui.recipe.fields.contradictions import contradictions
from tracetui.recipe.fields.explain import ROPE, explanation
from tracetui.recipe.fields.field import NOTHING, ConfigField, ConfigReport, FieldOrigin
from tracetui.recipe.fields.params import META, explained_params, params_of
from tracetui.recipe.reference import READ_HERE, is_reference

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_IN_ROPE = (ROPE, "rope_scaling", "rope_theta")
"""Fields that transformers takes into one, whose keys are told one by one."""
_OF_LOADING = ("torch_dtype", "quantization_config", "quantization", "auto_map")
"""Fields that no class declares and transformers knows."""
_NOT_THE_MODEL_S = frozenset({"output_attentions"})
"""What every configuration shows without declaring it."""
_MISSING = object()


def read_config(recipe: Recipe) -> ConfigReport:
    """The report on a recipe's whole model. Raises InputError if it can't be built."""
    whole = replace(recipe, layers=Layers(0, recipe.layer_count))
    built = build_model(whole, torch.bfloat16)
    reader = _FieldReader(whole, built.config, Decider(whole, checkpoint_tree(built.module)))
    language, params = params_of(recipe) or (META, {})
    file = dict(recipe.config)
    wrong = contradictions(file, {**built.config.to_dict(), "model_type": file["model_type"]})
    return ConfigReport(
        name=recipe.name,
        family=str(file["model_type"]),
        class_name=type(built.config).__name__,
        params=tuple(explained_params(language, params)),
        fields=tuple(reader.fields()),
        contradictions=(*wrong, *_other_class(file, type(built.module).__name__)),
        language=language.name,
    )


def _other_class(file: Mapping[str, object], built: str) -> Iterator[str]:
    classes = file.get("architectures")
    if is_reference(file):
        return
    if isinstance(classes, list) and classes and built not in classes:
        yield f"architectures: says {classes[0]}, model_type makes it a {built}"


class _FieldReader:
    def __init__(self, recipe: Recipe, config: PreTrainedConfig, decider: Decider) -> None:
        self._given: Mapping[str, object] = recipe.config
        self._family = str(recipe.config["model_type"])
        self._decider = decider
        self._values: dict[str, Any] = config.to_dict()
        self._documented = documented_fields(type(config))
        self._aliases = aliases = dict(type(config).attribute_map)
        own = [name for name in _declared(type(config)) if name not in _base_fields() and not name.startswith("_")]
        self._own_fields = [aliases.get(name, name) for name in own]
        self._known: set[str] = (
            set(_declared(type(config))) | set(aliases) | set(aliases.values()) | {*_IN_ROPE, *_OF_LOADING}
        )
        if is_reference(recipe.config):
            self._known |= READ_HERE
        self._following = class_fields(config) - self._known

    def fields(self) -> Iterator[ConfigField]:
        """The file's fields in its order, then what the class adds."""
        for name in self._given:
            if name not in _IN_ROPE:
                yield self._field(name)
        own = {self._aliases.get(name, name) for name in self._given}
        for name in dict.fromkeys([*self._own_fields, *self._derived()]):
            if name not in own and name != ROPE:
                yield self._field(name)
        yield from self._rope()

    def _derived(self) -> Iterator[str]:
        for name in self._values:
            if not name.startswith("_") and name not in {*self._known, *_base_fields(), *_NOT_THE_MODEL_S}:
                yield name

    def _field(self, name: str) -> ConfigField:
        own = self._given.get(name, _MISSING)
        # What every configuration has is about loading, which is not done here by the file's word.
        is_model_s = own is _MISSING or name not in _base_fields()
        value = self._values.get(name, own) if is_model_s else own
        text = explanation(name, self._family)
        source = "" if text else "transformers"
        text = text or self._documented.get(name, "")
        return ConfigField(
            name=name,
            value=value,
            origin=self._origin(name),
            explanation=text,
            source=source if text else "",
            said=own if own is not _MISSING and own != value else None,
            decides=self._decider.decides(name, value) if self._may_vary(name) else NOTHING,
        )

    def _origin(self, name: str) -> FieldOrigin:
        if name in self._known:
            return FieldOrigin.GIVEN if name in self._given else FieldOrigin.DEFAULT
        # transformers' own files write down, too, what the class works out of other fields.
        return FieldOrigin.UNDECLARED if name in self._given and name not in self._following else FieldOrigin.DERIVED

    def _may_vary(self, name: str) -> bool:
        return self._origin(name) in (FieldOrigin.GIVEN, FieldOrigin.DEFAULT) and not name.endswith("_token_id")

    def _rope(self) -> Iterator[ConfigField]:
        """The keys of rope_parameters, into which older fields are taken."""
        table_built = self._values.get(ROPE)
        built: dict[str, object] = table_built if isinstance(table_built, dict) else {}
        own: dict[str, object] = {}
        for table in (self._given.get("rope_scaling"), self._given.get(ROPE)):
            own.update(table if isinstance(table, Mapping) else {})
        if "rope_theta" in self._given:
            own.setdefault("rope_theta", self._given["rope_theta"])
        for key, value in built.items():
            if key == "type" and "rope_type" in built:
                continue
            origin = FieldOrigin.GIVEN if key in own or (key == "rope_type" and "type" in own) else FieldOrigin.DEFAULT
            yield ConfigField(f"{ROPE}.{key}", value, origin, explanation(f"{ROPE}.{key}", self._family))


def _declared(config_class: type) -> tuple[str, ...]:
    return tuple(getattr(config_class, "__dataclass_fields__", ()))


def _base_fields() -> frozenset[str]:
    """What every configuration has: nothing of the model's own."""
    from transformers import PreTrainedConfig

    return frozenset(_declared(PreTrainedConfig))
