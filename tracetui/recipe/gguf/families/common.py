"""What functions of several architectures share: kinds of layers, experts, and the sizes of recurrent layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tracetui.recipe.gguf.keys import Keys

Config = Mapping[str, object]
Family = Callable[[Keys, Config], dict[str, object]]
"""From the keys, and the fields that nearly all families have, to what is added and changed."""

SIGMOID = 2
"""Of `expert_gating_func`."""


def layer_count_of(config: Config) -> int:
    layers = config["num_hidden_layers"]
    assert isinstance(layers, int)
    return layers


def head_size_of(config: Config) -> int:
    size = config["head_dim"]
    assert isinstance(size, int)
    return size


def rope_of(config: Config) -> dict[str, object]:
    rope = config["rope_parameters"]
    assert isinstance(rope, dict)
    return rope


def routed(keys: Keys, name: str) -> dict[str, object]:
    """How many experts there are, under a configuration's name for it, and how many a token gets."""
    keys.ignore("expert_weights_norm", "expert_gating_func", "moe_every_n_layers")
    count, used = keys.needed_integer("expert_count"), keys.needed_integer("expert_used_count")
    if not 0 < used <= count:
        keys.fail("expert_used_count", f"must be between 1 and expert_count, {count}")
    return {name: count, "num_experts_per_tok": used}


def window_kind(slides: bool) -> str:
    return "sliding_attention" if slides else "full_attention"


def window_kinds(keys: Keys, config: Config, period: int) -> list[str]:
    """What each layer sees: all but one in each period only a window, unless the file says it of each."""
    pattern = keys.pattern("attention.sliding_window_pattern", period, layer_count_of(config))
    return [window_kind(slides) for slides in pattern]


def linear_kinds(recurrent: Sequence[bool]) -> list[str]:
    return ["linear_attention" if kind else "full_attention" for kind in recurrent]


def without_keys(keys: Keys, config: Config) -> list[bool]:
    """For each layer whether it has no attention: the file says that it has no heads of keys.

    Raises InputError where layers with attention differ in how many they have.
    """
    heads = keys.integers("attention.head_count_kv", layer_count_of(config))
    if len(set(heads) - {0}) > 1:
        keys.fail("attention.head_count_kv", "must be one number for all layers with attention, and 0 for the others")
    return [count == 0 for count in heads]
