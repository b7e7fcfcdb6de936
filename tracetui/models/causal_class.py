"""The class of transformers that makes a causal language model of a configuration."""

from __future__ import annotations

import importlib
import inspect
import re
from types import ModuleType
from typing import TYPE_CHECKING, Any

from torch import nn

from tracetui.errors import InputError
from tracetui.recipe.class_defaults import wholes_of

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_CAUSAL = "ForCausalLM"
_CHANGED_LOGITS = re.compile(r"\blogits = [^\n]*\blogits\b(?!_)(?!\[)")
"""How a line looks that makes other logits of those that the head gave."""


def causal_class(model_type: str, config: PreTrainedConfig, origin: str) -> Any:
    """The model's class, imported alone: transformers' auto classes would import much more.

    A text model that has a class of its own without a head, because only a model of several parts is made with it,
    gets one. Raises InputError where there is none.
    """
    from transformers.models.auto.configuration_auto import model_type_to_module_name
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_MAPPING_NAMES

    package = importlib.import_module(f"transformers.models.{model_type_to_module_name(model_type)}")
    if (name := MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type)) is not None:
        # Some families are built by another one's class.
        return getattr(package, name, None) or getattr(importlib.import_module("transformers"), name)
    modelling = _modelling(package)
    for ending in (_CAUSAL, "LMHeadModel"):
        if (own := _of_config(modelling, type(config), ending)) is not None:
            return own
    bare = getattr(modelling, str(MODEL_MAPPING_NAMES.get(model_type)), None)
    bare = bare or _of_config(modelling, type(config), "TextModel")
    if bare is None or not wholes_of(model_type):
        raise InputError(f"{origin}: model_type: transformers has no causal language model for {model_type!r}")
    if (whole := _with_another_head(modelling)) is not None:
        problem = f"{whole} makes more of its head's output than a product, and has no text model of its own"
        raise InputError(f"{origin}: model_type: {problem}; give its model to tracetui.trace() from Python")
    return _with_head(bare)


def _modelling(package: ModuleType) -> ModuleType | None:
    """The module of a family's package that its models stand in."""
    name = f"{package.__name__}.modeling_{package.__name__.rpartition('.')[2]}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


def _of_config(modelling: ModuleType | None, config_class: type, ending: str) -> Any:
    """The class of that ending which is made of these configurations; None if there is none."""
    kinds = [kind for name, kind in vars(modelling or object).items() if name.endswith(ending)]
    return next((kind for kind in kinds if getattr(kind, "config_class", None) is config_class), None)


def _with_another_head(modelling: ModuleType | None) -> str | None:
    """The name of a class around the text model that scales or caps its logits; None where no class does."""
    for name, kind in vars(modelling or object).items():
        code = inspect.getsource(kind.forward) if name.endswith("ForConditionalGeneration") else ""
        if "self.lm_head(" in code and _CHANGED_LOGITS.search(code):
            return name
    return None


def _with_head(text: Any) -> Any:
    """A class with the text model as `model` and a head as `lm_head`, as causal models of transformers have them."""
    from transformers import GenerationMixin

    def prepared(self: Any, config: PreTrainedConfig) -> None:
        text.__bases__[0].__init__(self, config)
        self.model = text(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        embedding = self.model.get_input_embeddings()
        inner = next(path for path, module in self.model.named_modules() if module is embedding)
        self._tied_weights_keys = {"lm_head.weight": f"model.{inner}.weight"}
        self.post_init()

    name = text.__name__.removesuffix("Model") + _CAUSAL
    body = {
        "__init__": prepared,
        "forward": _forward,
        "__module__": text.__module__,
        "__doc__": f"{text.__name__} and a head.",
        "config_class": text.config_class,
        "base_model_prefix": "model",
    }
    return type(name, (text.__bases__[0], GenerationMixin), body)


def _forward(
    self: Any,
    input_ids: Any = None,
    attention_mask: Any = None,
    position_ids: Any = None,
    inputs_embeds: Any = None,
    use_cache: bool | None = None,
    logits_to_keep: int = 0,
    **kwargs: Any,
) -> Any:
    """Logits of the last `logits_to_keep` tokens, or of all, [B,T,V]."""
    from transformers.modeling_outputs import CausalLMOutputWithPast

    from tracetui.models.cache_argument import CACHE

    outputs = self.model(
        input_ids=input_ids,
        attention_mask=attention_mask,
        position_ids=position_ids,
        inputs_embeds=inputs_embeds,
        use_cache=use_cache,
        **kwargs,
    )
    kept = outputs.last_hidden_state[:, -logits_to_keep:]  # [B,T or kept,D]
    return CausalLMOutputWithPast(logits=self.lm_head(kept), **{CACHE: getattr(outputs, CACHE)})
