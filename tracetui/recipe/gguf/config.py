"""A GGUF file's metadata as transformers' configuration."""

from __future__ import annotations

from collections.abc import Mapping

from tracetui.errors import FieldError, bad_field
from tracetui.formats.gguf.files import GgufFiles
from tracetui.recipe.config import check_config
from tracetui.recipe.gguf.end_tokens import end_token_ids
from tracetui.recipe.gguf.families import BY_LAYER, FAMILIES, WITHOUT_HEADS
from tracetui.recipe.gguf.field_keys import by_key
from tracetui.recipe.gguf.keys import Keys
from tracetui.recipe.gguf.rope import rope_parameters
from tracetui.text import visible

EMBEDDING, HEAD = "token_embd.weight", "output.weight"
_TOKENS = {"bos_token_id": "bos", "pad_token_id": "padding"}
_MAY_BE_NONE = ("eos_token_id", "q_lora_rank", "sliding_window")
_NO_MODEL = {
    "adapter": "holds an adapter, no model; merge it into its model first",
    "mmproj": "holds the part of a model that reads pictures or sounds; the file of the language model is another one",
    "imatrix": "holds statistics for quantising, no model",
    "vocab": "holds a vocabulary, no model",
}
"""By `general.type`."""
_SAYS_NOTHING = ("vocab_size", "attention.causal", "attention.value_length", "pooling_type")


def gguf_config(files: GgufFiles) -> tuple[dict[str, object], tuple[str, ...]]:
    """transformers' configuration of the model in a file, and the keys of the file that are read over.

    Raises InputError naming file and key for what holds no language model, and for architectures that aren't known.
    """
    _refuse_others(files)
    keys = Keys(files, BY_LAYER.get(files.architecture, ()))
    family = FAMILIES.get(keys.architecture)
    if family is None:
        problem = (
            "is an architecture of which tracetui reads no GGUF files (docs/recipes.md lists those it reads); "
            "take the model in Hugging Face's form"
        )
        raise bad_field(files.path, "general.architecture", problem, visible(keys.architecture, 60))
    common = _without_heads(keys) if keys.architecture in WITHOUT_HEADS else _common(keys)
    config = {**common, **_tokens(files)}
    config |= family(keys, config)
    keys.ignore(*_SAYS_NOTHING)
    try:
        return check_config(_without_none(config), files.path), keys.unread()
    except FieldError as error:
        raise by_key(error, keys) from None


def _refuse_others(files: GgufFiles) -> None:
    metadata = files.metadata
    kind = metadata.text("general.type") or "model"
    if files.architecture == "clip":
        kind = "mmproj"
    if kind in _NO_MODEL:
        metadata.fail("general.type", _NO_MODEL[kind])
    if not files.tensors:
        raise bad_field(files.path, "tensors", "there are none: it " + _NO_MODEL["vocab"])
    if metadata.flag(f"{files.architecture}.attention.causal") is False:
        metadata.fail(
            f"{files.architecture}.attention.causal",
            "the model reads texts both ways, and tracetui runs those that go on",
        )


def _common(keys: Keys) -> dict[str, object]:
    """What nearly all families have under one name."""
    width, heads = keys.needed_integer("embedding_length"), keys.needed_integer("attention.head_count")
    for name, number in (("embedding_length", width), ("attention.head_count", heads)):
        if number < 1:
            keys.fail(name, "must be at least 1")
    head_size = keys.integer("attention.key_length") or width // heads
    latent = keys.integer("attention.kv_lora_rank")
    turned_alone = keys.integer("rope.dimension_count") if latent else None
    layers = keys.needed_integer("block_count") - (keys.integer("nextn_predict_layers") or 0)
    return {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "intermediate_size": keys.integer("feed_forward_length"),
        "num_attention_heads": heads,
        "num_key_value_heads": keys.integer("attention.head_count_kv") or heads,
        "head_dim": head_size,
        "vocab_size": _vocabulary(keys),
        "max_position_embeddings": keys.integer("context_length"),
        "rms_norm_eps": keys.number("attention.layer_norm_rms_epsilon"),
        "rope_parameters": rope_parameters(keys, turned_alone or head_size),
        "attention_bias": keys.has_tensor("blk.0.attn_q.bias") or keys.has_tensor("blk.0.attn_qkv.bias"),
        "tie_word_embeddings": not keys.has_tensor(HEAD),
    }


def _without_heads(keys: Keys) -> dict[str, object]:
    """What models without attention have in common."""
    return {
        "hidden_size": keys.needed_integer("embedding_length"),
        "num_hidden_layers": keys.needed_integer("block_count"),
        "vocab_size": _vocabulary(keys),
        "tie_word_embeddings": not keys.has_tensor(HEAD),
    }


def _vocabulary(keys: Keys) -> int:
    """As many as the embedding has rows: keys and tokens may say another number."""
    place = keys.files.tensors.get(EMBEDDING)
    if place is None or len(place.shape) != 2:
        shape = None if place is None else list(place.shape)
        raise bad_field(keys.files.path, EMBEDDING, "must be there, with a row for each token", shape)
    return place.shape[0]


def _tokens(files: GgufFiles) -> dict[str, object]:
    """The ids of tokens that a configuration names; null where the file has none, for classes have ids of their own."""
    ids = {field: files.metadata.integer(f"tokenizer.ggml.{name}_token_id") for field, name in _TOKENS.items()}
    ends = end_token_ids(files.metadata)
    return {**ids, "eos_token_id": ends if len(ends) > 1 else next(iter(ends), None)}


def _without_none(config: Mapping[str, object]) -> dict[str, object]:
    """What is known; of some fields also that there is none, for their classes have values of their own."""
    return {name: value for name, value in config.items() if value is not None or name in (*_TOKENS, *_MAY_BE_NONE)}
