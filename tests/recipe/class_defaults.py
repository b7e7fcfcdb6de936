"""What transformers' configuration classes have where a file is silent, asked of the classes themselves.

`python -m tests.recipe.class_defaults > tracetui/recipe/class_defaults.toml` writes the table that is shipped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
    MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
)

Sizes = tuple[int, int, int, int, int]
Parts = tuple[str, bool | None, bool]
_NAMES = (
    ("decoder_layers", "num_decoder_layers", "num_hidden_layers"),
    ("hidden_size",),
    ("decoder_attention_heads", "num_decoder_attention_heads", "num_attention_heads"),
    ("vocab_size",),
    ("head_dim",),
)
_SPEAKING = {
    *MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    *MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    *MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
    *MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
}
"""Types of models that predict text."""
SAMPLE = ("gemma3", "gemma3_text", "llama", "llava", "nemotron_h", "qwen2_audio", "qwen2_vl", "qwen2_vl_text")
_ODD = 1536
"""A width that no class has by itself."""


def families(some: Collection[str] = ()) -> dict[str, Sizes]:
    """The sizes of every causal model's class, and of those of text models in others; of `some` if given."""
    types = set(some) or {*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *(text for text, _, _ in several_parts().values())}
    made = {kind: _made(kind) for kind in sorted(types)}
    sizes = {kind: _sizes(config) for kind, config in made.items() if config is not None}
    return {kind: found for kind, found in sizes.items() if any(found)}


def several_parts(some: Collection[str] = ()) -> dict[str, Parts]:
    """Every class of several parts: the text model's type, whether the head is tied, whether fields may be flat."""
    return dict(_several_parts(set(some) or _SPEAKING))


def _several_parts(some: Collection[str]) -> Iterator[tuple[str, Parts]]:
    for kind in sorted({*some} & {*CONFIG_MAPPING_NAMES}):
        config = _made(kind)
        text = config.get_text_config(decoder=True) if config is not None else None
        if config is None or text is config or not isinstance(text, PreTrainedConfig) or text.model_type == kind:
            continue
        if any(isinstance(getattr(config, key, None), PreTrainedConfig) for key in ("text_config", "thinker_config")):
            yield kind, (text.model_type, getattr(config, "tie_word_embeddings", None), _is_flat(kind))


def _made(kind: str, **fields: int) -> Any:
    try:
        return CONFIG_MAPPING[kind](**fields)
    except Exception:
        # A few classes have no values of their own.
        return None


def _sizes(config: Any) -> Sizes:
    layers, width, heads, tokens, head = (_size(config, names) for names in _NAMES)
    other = _made(config.model_type, hidden_size=_ODD)
    # Where it follows from the width it is none of the class's own.
    return layers, width, heads, tokens, head if other is not None and _size(other, _NAMES[-1]) == head else 0


def _size(config: Any, names: tuple[str, ...]) -> int:
    for name in names:
        try:
            value = getattr(config, name, None)
        except Exception:
            # It differs from layer to layer.
            return 0
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return 0


def _is_flat(kind: str) -> bool:
    config = _made(kind, hidden_size=_ODD)
    return config is not None and getattr(config.get_text_config(decoder=True), "hidden_size", None) == _ODD


_SIZES_REMARK = (
    "# Layers, width, heads, tokens, and a head's width where the class has one of its own; 0 where it doesn't say."
)
_PARTS_REMARK = """# Models of several parts: the type of the text model, whether its head is its embedding ("own": as
# the text model's own field says), and whether its fields may stand outside of any part."""


def written() -> str:
    """The file as it should be."""
    lines = [_SIZES_REMARK, "[sizes]", *(f"{_key(kind)} = {list(sizes)}" for kind, sizes in families().items())]
    lines += ["", _PARTS_REMARK, "[parts]"]
    for kind, (text, tied, flat) in several_parts().items():
        says = '"own"' if tied is None else str(tied).lower()
        lines.append(f'{_key(kind)} = {{ text = "{text}", tied = {says}, flat = {str(flat).lower()} }}')
    return "\n".join(lines) + "\n"


def _key(kind: str) -> str:
    return kind if kind.replace("-", "").replace("_", "").isalnum() else f'"{kind}"'


if __name__ == "__main__":
    print(written(), end="")
